"""The cost of edits with large references: memory, and how long the event loop is held up.

    make bench-edits                                          # writes docs/benchmarks.md
    PYTHONPATH=. .venv/bin/python bench/edits.py              # the same, but the page stays as it is
    PYTHONPATH=. .venv/bin/python bench/edits.py --megabytes 2 --edits 2

First the ways to send edits (`edits_ways.py`), each in a new process that reads the references from a content store.
Then the whole service: `pixyproxy serve` on SQLite takes uploads over HTTP, inspects, stores and sends them.
The stand-in for OpenAI is a process of its own; it counts and hashes what it gets, and keeps nothing.
"""

import argparse
import asyncio
import io
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
from edits_ways import PROMPT, WAYS
from page import write_results
from PIL import Image

from pixyproxy.adapters.filesystem.content_store import FilesystemContentStore
from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.ports import chunks_of
from tests.doubles.service import running_service

HERE: Final = Path(__file__).parent
MIB: Final = 1 << 20
REFERENCES: Final = 16
NAMES: Final = {
    "pixyproxy": "PixyProxy: read from the store while they are sent",
    "official_files": "`images.edit` with open files",
    "official_paths": "`images.edit` with paths",
}


class Figures(msgspec.Struct, frozen=True):
    """What some edits cost; see `edits_ways.py`."""

    seconds: float
    growth: int
    processor: float
    stall: float


@contextmanager
def upstream() -> Iterator[str]:
    """Run the stand-in and give its base URL."""
    command = [sys.executable, "-m", "tests.doubles.openai_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 -- our own module
        assert process.stdout is not None  # noqa: S101
        base_url = process.stdout.readline().strip().removeprefix("OPENAI_BASE_URL=")
        try:
            yield base_url
        finally:
            process.terminate()


def picture(byte_size: int) -> bytes:
    """Return a PNG of about this size, which no compression makes smaller."""
    height = max(1, byte_size // (3 * 2_048))
    target = io.BytesIO()
    Image.frombytes("RGB", (2_048, height), os.urandom(2_048 * height * 3)).save(target, "png", compress_level=0)
    return target.getvalue()


async def fill(folder: Path, byte_size: int) -> None:
    """Store the references."""
    store = FilesystemContentStore(folder)
    await store.prepare()
    for number in range(REFERENCES):
        await store.put(ContentKey(f"reference-{number:02}"), chunks_of(picture(byte_size)))
    await store.close()


def measure_way(way: str, count: int, base_url: str, folder: Path) -> Figures:
    """Measure one way in a new process."""
    command = [sys.executable, str(HERE / "edits_ways.py"), way, str(count), base_url, str(folder)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603 -- our own
    return msgspec.json.decode(output, type=Figures)


class Memory:
    """Samples a process's memory in a thread."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.before = self.most = self._now()
        self._thread.start()

    def stop(self) -> int:
        """Return by how many bytes it grew at most."""
        self._is_over.set()
        self._thread.join()
        return self.most - self.before

    def _now(self) -> int:
        (line,) = [line for line in self._status.read_text("ascii").splitlines() if line.startswith("VmRSS:")]
        return int(line.split()[1]) * 1024

    def _sample(self) -> None:
        while not self._is_over.wait(0.02):
            self.most = max(self.most, self._now())


def measure_service(count: int, base_url: str, files: Sequence[Path]) -> Iterator[tuple[str, int, int, float]]:
    """Send edits to the whole service, one by itself and several at once.

    Yields how the references came, how many edits there were, by how many bytes the memory grew at most, and how many
    seconds they took.
    """
    environment = {
        "OPENAI_API_KEY": "sk-bench",
        "OPENAI_BASE_URL": base_url,
        "PIXYPROXY_OPENAI_SIZE": "256x256",
        "PIXYPROXY_MAX_GENERATIONS": str(count),
        "PIXYPROXY_MAX_WAIT": "1200",
        "PYTHONPATH": str(HERE.parent),
    }
    with tempfile.TemporaryDirectory(prefix="pixyproxy-edits-") as name:
        folder = Path(name)
        with running_service(folder, environment) as service:
            login = service.login
            large = f"a reference [[big {files[0].stat().st_size}]]"
            guids = [post(f"{service.url}/private/image", login, {"prompt": large})["guid"] for _ in files]

        def by_guid(url: str) -> None:
            post(url, login, {"prompt": PROMPT, "references": guids})

        def by_upload(url: str) -> None:
            post(url, login, {"prompt": PROMPT}, files)

        for how, edit in (("images, by guid", by_guid), ("uploads", by_upload)):
            # What the making of the references took is not counted.
            with running_service(folder, environment) as service:
                url = f"{service.url}/private/image"
                edit(url)
                for edits in dict.fromkeys((1, count)):
                    memory, began = Memory(service.process.pid), time.perf_counter()
                    with ThreadPoolExecutor(edits) as clients:
                        list(clients.map(edit, [url] * edits))
                    yield how, edits, memory.stop(), time.perf_counter() - began


def post(url: str, login: tuple[str, str], fields: Mapping[str, Any], files: Sequence[Path] = ()) -> Mapping[str, Any]:
    """Create an image, with uploads if there are any, and return its details."""
    with ExitStack() as stack:
        parts = [("reference", (file.name, stack.enter_context(file.open("rb")), "image/png")) for file in files]
        body: dict[str, Any] = {"data": fields, "files": parts} if parts else {"json": fields}
        answer = httpx.post(url, auth=login, timeout=1_200, **body)
    answer.raise_for_status()
    details: Mapping[str, Any] = answer.json()
    return details


def service_table(rows: Sequence[tuple[str, int, int, float]]) -> str:
    """Return the table of the whole service."""
    lines = ["| references | edits at once | memory at most | seconds |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {how} | {count} | {growth / MIB:+,.0f} MiB | {seconds:.1f} |" for how, count, growth, seconds in rows]
    return "\n".join(lines)


def table(rows: Sequence[tuple[str, int, Figures]]) -> str:
    """Return the table of the ways."""
    lines = [
        "| way | edits at once | memory at most | longest stall of the event loop | seconds | processor seconds |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {NAMES[way]} | {count} | {figures.growth / MIB:+,.0f} MiB | {figures.stall * 1000:,.0f} ms |"
        f" {figures.seconds:.1f} | {figures.processor:.1f} |"
        for way, count, figures in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure all, and print the tables."""
    parser = argparse.ArgumentParser(description="Measure edits with large references.")
    parser.add_argument("--edits", type=int, default=8, help="edits at once")
    parser.add_argument("--megabytes", type=int, default=20, help="the size of a reference")
    parser.add_argument("--without-service", action="store_true", help="measure the ways only")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pixyproxy-references-") as name, upstream() as base_url:
        folder = Path(name)
        asyncio.run(fill(folder, arguments.megabytes * 1_000_000))
        rows = []
        for way in WAYS:
            for count in dict.fromkeys((1, arguments.edits)):
                rows.append((way, count, measure_way(way, count, base_url, folder)))
                print(table(rows[-1:]).splitlines()[-1], flush=True)
        text = table(rows)
        if not arguments.without_service:
            files = sorted(folder.rglob("reference-*"))
            text = f"{text}\n\n{service_table(list(measure_service(arguments.edits, base_url, files)))}"
    print(text)
    if arguments.write:
        command = "PYTHONPATH=. .venv/bin/python " + " ".join([f"bench/{Path(__file__).name}", *sys.argv[1:]])
        write_results("edits", f"Measured on {datetime.now(UTC):%-d %B %Y} with `{command}`.\n\n{text}")


if __name__ == "__main__":
    main()
