"""The memory of the service while it sends a zip of many images, to a fast client and to a slow one.

    PYTHONPATH=. python bench/zip_downloads.py [--images 1000] [--megabytes 2] [--rate 40]

`--rate` is that of the slow client, in MB a second. Each zip is written to a file, compared with the announced length
and read with `zipfile`. Meanwhile another client asks `/health/live` 20 times a second.
"""

import argparse
import asyncio
import base64
import json
import random
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID
from zipfile import ZipFile

import httpx
from embedded_library import fill, prepare

from pixyproxy.domain.content import ContentInfo, MediaType, filename_for
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageStatus, Visibility
from tests.doubles.service import Service, running_service

MB: Final = 1_000_000
PIECE: Final = 256 * 1024


def make_images(count: int, byte_size: int) -> Iterator[tuple[Image, bytes]]:
    """Yield public images with bytes that are random, and no pictures."""
    source = random.Random(7)  # noqa: S311 -- the same images each time
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(count):
        guid = UUID(int=source.getrandbits(128), version=4)
        at, prompt = start + timedelta(seconds=number), f"a lighthouse with {number} windows"
        image = Image(
            guid=guid,
            filename=filename_for(prompt, guid, MediaType.PNG),
            request=GenerationRequest(prompt=prompt),
            author=None,
            visibility=Visibility.PUBLIC,
            status=ImageStatus.READY,
            model="gpt-image-2",
            created_at=at,
            updated_at=at,
            content=ContentInfo(media_type=MediaType.PNG, byte_size=byte_size, sha256="0" * 64, width=1, height=1),
        )
        yield image, source.randbytes(byte_size)


class Watch(threading.Thread):
    """Samples the memory of the service that no file backs, and how long a small request takes."""

    def __init__(self, service: Service) -> None:
        super().__init__(daemon=True)
        self._service = service
        self._is_over = threading.Event()
        self.memory: list[float] = []
        self.milliseconds: list[float] = []

    def run(self) -> None:
        """Sample 20 times a second until `stop`."""
        with httpx.Client(base_url=self._service.url) as client:
            while not self._is_over.wait(0.05):
                start = time.perf_counter()
                client.get("/health/live")
                self.milliseconds.append((time.perf_counter() - start) * 1000)
                self.memory.append(anonymous_mib(self._service))

    def stop(self) -> None:
        """End the sampling."""
        self._is_over.set()
        self.join()


def anonymous_mib(service: Service) -> float:
    """Return the memory of the service that no file backs, in MiB."""
    status = Path(f"/proc/{service.process.pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(line.split()[1]) / 1024


def download(service: Service, guids: list[str], path: Path, rate: float | None) -> tuple[float, float]:
    """Download the zip to a file, at `rate` bytes a second; return the seconds to the first byte and to the last."""
    body = json.dumps({"guids": guids}).encode()
    login = base64.b64encode(":".join(service.login).encode()).decode()
    head = (
        f"POST /private/image/bulk/content HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {login}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.port)) as connection, path.open("wb") as file:
        stream = connection.makefile("rb")
        start = time.perf_counter()
        connection.sendall(head.encode() + body)
        status = stream.readline()
        if b" 200 " not in status:
            raise SystemExit(f"refused: {status!r}")
        fields = dict(line.decode().lower().split(": ", 1) for line in iter(stream.readline, b"\r\n"))
        first = time.perf_counter() - start
        left = int(fields["content-length"])
        received = 0
        while left and (piece := stream.read(min(PIECE, left))):
            file.write(piece)
            left -= len(piece)
            received += len(piece)
            if rate is not None:
                time.sleep(max(0.0, start + received / rate - time.perf_counter()))
        if left:
            raise SystemExit(f"broken off {left} bytes before the end")
        return first, time.perf_counter() - start


def measure(service: Service, guids: list[str], path: Path, rate: float | None) -> None:
    """Download the zip once, and print what that cost."""
    before = anonymous_mib(service)
    watch = Watch(service)
    watch.start()
    first, seconds = download(service, guids, path, rate)
    watch.stop()
    with ZipFile(path) as archive:
        fault, count = archive.testzip(), len(archive.namelist())
    if fault is not None or count != len(guids):
        raise SystemExit(f"{count} files, the first damaged one: {fault}")
    times = sorted(watch.milliseconds)
    client = "fast" if rate is None else f"{rate / MB:.0f} MB/s"
    sys.stdout.write(
        f"{client}: {path.stat().st_size / MB:,.0f} MB in {seconds:.1f} s, "
        f"first byte after {first:.2f} s; memory {before:.1f} MiB before and {max(watch.memory):.1f} MiB at most; "
        f"another request p50 {times[len(times) // 2]:.1f} ms, p95 {times[int(len(times) * 0.95)]:.1f} ms, "
        f"slowest {times[-1]:.1f} ms\n"
    )
    path.unlink()


def main() -> None:
    """Fill a library, and download all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--megabytes", type=float, default=2.0)
    parser.add_argument("--rate", type=float, default=40.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(prepare(folder))
        guids: list[str] = []

        def noted() -> Iterator[tuple[Image, bytes]]:
            for image, data in make_images(arguments.images, int(arguments.megabytes * MB)):
                guids.append(str(image.guid))
                yield image, data

        fill(folder, noted())
        environment = {
            "PIXYPROXY_DATABASE_URL": f"sqlite:///{folder}/pixyproxy.db",
            "PIXYPROXY_CONTENT_URL": f"file:{folder}/images",
        }
        with running_service(folder, environment) as service:
            for rate in (None, None, arguments.rate * MB):
                measure(service, guids, folder / "images.zip", rate)


if __name__ == "__main__":
    main()
