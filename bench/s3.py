"""What content in S3 costs: memory, CPU and speed of S3ContentStore beside obstore, the client that it uses.

    make bench-s3                                        # writes docs/benchmarks.md
    PYTHONPATH=. .venv/bin/python bench/s3.py            # the same, but the page stays as it is

The bucket is on SeaweedFS on the same machine. Each case runs in a process of its own: its memory is that of the
process at its peak, beside that after it has stored and read one content.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

import uvloop
from page import write_results

from pixyproxy.adapters.s3.content_store import S3ContentStore
from pixyproxy.adapters.s3.url import parse_s3_url
from pixyproxy.domain.content import ContentKey
from tests.doubles.seaweedfs import CREDENTIALS, SeaweedFS

HERE: Final = Path(__file__)
MB: Final = 1_000_000
SMALL: Final = 1_500_000
LARGE: Final = 8_000_000
CHUNK: Final = 256 * 1024


class Case(NamedTuple):
    """Operations on contents of a size, some of them at a time."""

    kind: str
    byte_size: int
    at_once: int
    count: int


CASES: Final = (
    Case("download", LARGE, 50, 100),
    Case("download", SMALL, 16, 400),
    Case("upload", LARGE, 16, 48),
    Case("upload", LARGE, 50, 100),
    Case("upload", SMALL, 8, 100),
)
CLIENTS: Final = ("obstore", "S3ContentStore")

Operation = Callable[[str], Awaitable[None]]


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    """Yield the data as an upload comes in."""
    for start in range(0, len(data), CHUNK):
        yield data[start : start + CHUNK]
        await asyncio.sleep(0)


def with_store(url: str, data: bytes) -> tuple[Operation, Operation]:
    """Return how S3ContentStore stores and reads a content."""
    store = S3ContentStore(parse_s3_url(url))

    async def put(key: str) -> None:
        await store.put(ContentKey(key), pieces(data))

    async def get(key: str) -> None:
        stored = await store.open(ContentKey(key))
        size = 0
        async for chunk in stored.chunks:
            size += len(chunk)
        if size != len(data):
            raise ValueError("The content breaks off.")

    return put, get


def with_obstore(url: str, data: bytes) -> tuple[Operation, Operation]:
    """Return how obstore stores and reads a content, if all of it is in memory and nothing is checked."""
    from obstore.store import S3Store  # noqa: PLC0415 -- for this client alone

    parts = urlsplit(url)
    store = S3Store(
        parts.netloc,
        endpoint=parse_qs(parts.query)["endpoint"][0],
        region="us-east-1",
        client_options={"allow_http": True, "timeout": timedelta(seconds=120)},
    )
    folder = f"{parts.path.strip('/')}/images"

    async def put(key: str) -> None:
        await store.put_async(f"{folder}/{key}", b"".join([chunk async for chunk in pieces(data)]), use_multipart=False)

    async def get(key: str) -> None:
        result = await store.get_async(f"{folder}/{key}")
        size = 0
        async for chunk in result.stream(min_chunk_size=CHUNK):
            size += len(chunk)
        if size != len(data):
            raise ValueError("The content breaks off.")

    return put, get


async def run(client: str, url: str, case: Case) -> dict[str, float]:
    """Run one case, and return its figures."""
    data = os.urandom(case.byte_size)
    put, get = (with_store if client == "S3ContentStore" else with_obstore)(url, data)
    await put("0000-key")
    await get("0000-key")
    before, begun, cpu = peak(), time.perf_counter(), time.process_time()
    free = asyncio.Semaphore(case.at_once)

    async def work(number: int) -> None:
        async with free:
            await (put(f"{number % 8:04}-key") if case.kind == "upload" else get("0000-key"))

    await asyncio.gather(*(work(number) for number in range(case.count)))
    seconds = time.perf_counter() - begun
    figures = {
        "before": before,
        "peak": peak(),
        "rate": case.count * case.byte_size / MB / seconds,
        "cpu": (time.process_time() - cpu) * 1_000 / case.count,
    }
    # obstore's threads must not outlive the interpreter.
    await asyncio.sleep(0.5)
    return figures


def peak() -> float:
    """Return the most memory that the process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024 / MB


def measured(client: str, url: str, index: int) -> dict[str, float]:
    """Run one case in a process of its own."""
    done = subprocess.run(  # noqa: S603 -- our own command
        [sys.executable, str(HERE), "--client", client, "--url", url, "--case", str(index)],
        env={**os.environ, **CREDENTIALS},
        stdout=subprocess.PIPE,
        check=True,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def row(case: Case, client: str, figures: dict[str, float]) -> str:
    """Return a line of the table."""
    before, most, rate, cpu = (figures[name] for name in ("before", "peak", "rate", "cpu"))
    what = f"{case.count} {case.kind}s of {case.byte_size / MB:g} MB, {case.at_once} at once"
    return f"| {what} | {client} | {before:.0f} MB | {most:.0f} MB | {rate:.0f} MB/s | {cpu:.1f} ms |"


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description="Measure content in S3.")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--client", choices=CLIENTS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.client:
        figures: Any = uvloop.run(run(arguments.client, arguments.url, CASES[arguments.case]))
        print(json.dumps(figures))
        return
    rows = list(lines())
    if arguments.write:
        write_results("s3", "\n".join([f"Measured on {datetime.now(UTC):%-d %B %Y} with `make bench-s3`.\n", *rows]))


def lines() -> Sequence[str]:
    """Run all cases, and return the table, each line of which is printed as soon as it is there."""
    table = [
        "| what | by | memory before | memory at most | speed | CPU each |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    with SeaweedFS() as server:
        for index, case in enumerate(CASES):
            for client in CLIENTS:
                table.append(row(case, client, measured(client, server.url(), index)))
                print(table[-1], flush=True)
    return table


if __name__ == "__main__":
    main()
