"""What it costs to deliver content from S3, in each way, beside files and beside the client for S3 alone.

    make bench-s3-delivery                                     # writes docs/benchmarks.md
    PYTHONPATH=. .venv/bin/python bench/s3_delivery.py         # the same, but the page stays as it is

PixyProxy, and nginx in front of it, run on the first processor, each with one process that works. The clients and
SeaweedFS share the second one, so that the speeds are theirs more than PixyProxy's; what one core of PixyProxy could
send follows from its CPU per picture. obstore alone runs in the place of PixyProxy, reads the same and sends nothing.
"""

import argparse
import http.client
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import s3
from delivery_servers import CLIENTS_CORE, SERVERS_CORE, on_core
from downloads import Downloads
from page import write_results

from tests.doubles.library import Painting, fill, paint
from tests.doubles.nginx import Nginx, for_s3
from tests.doubles.seaweedfs import CREDENTIALS, SeaweedFS
from tests.doubles.service import running_service

SECONDS: Final = float(os.environ.get("PIXYPROXY_BENCH_SECONDS", "5"))
AT_ONCE: Final = 16
REDIRECTS: Final = 1_000
MB: Final = 1_000_000
SIZES: Final = (1_500_000, 8_000_000)
TICKS: Final = os.sysconf("SC_CLK_TCK")

FILES: Final = "files, by `sendfile`"
DELIVERIES: Final[Mapping[str, Mapping[str, str]]] = {
    "S3, `proxy`": {},
    "S3, `x-accel`": {"PIXYPROXY_CONTENT_DELIVERY": "x-accel:/s3/"},
    "S3, `redirect`": {"PIXYPROXY_CONTENT_DELIVERY": "redirect"},
}
CLIENT_CASES: Final = {case.byte_size: index for index, case in enumerate(s3.CASES) if case.kind == "download"}


class Server(NamedTuple):
    """A service: the port that clients use, its process, and that of nginx in front, if any."""

    port: int
    pid: int
    nginx: int | None = None

    def cpu(self) -> tuple[float, float]:
        """Return the seconds of CPU that PixyProxy and nginx have used."""
        return cpu_of(self.pid), sum(map(cpu_of, family_of(self.nginx))) if self.nginx else 0.0


class Figures(NamedTuple):
    """Answers: how many, their bytes, the seconds they took, and those of CPU of PixyProxy and of nginx."""

    count: float
    byte_count: int
    seconds: float
    service: float
    nginx: float


def cpu_of(pid: int) -> float:
    """Return the seconds of CPU that a process has used, in all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def family_of(pid: int) -> Sequence[int]:
    """Return a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [pid, *map(int, children)]


@contextmanager
def running(name: str, seaweedfs: SeaweedFS, paintings: Sequence[Painting]) -> Iterator[Server]:
    """Run PixyProxy with one kind of delivery, as a user does, and nginx in front where that takes part."""
    url = None if name == FILES else seaweedfs.url(public_endpoint=f"http://localhost:{seaweedfs.port}")
    settings = {} if url is None else {"PIXYPROXY_CONTENT_URL": url, **CREDENTIALS, **DELIVERIES[name]}
    with tempfile.TemporaryDirectory() as folder, on_core(SERVERS_CORE), ExitStack() as stack:
        fill(Path(folder), paintings, {}, content_url=url)
        service = stack.enter_context(running_service(Path(folder), settings))
        if "x-accel" not in name:
            yield Server(service.port, service.process.pid)
            return
        nginx = stack.enter_context(Nginx(for_s3(service.port, seaweedfs.port)))
        yield Server(nginx.port, service.process.pid, nginx.pid)


def downloads(server: Server, painting: Painting) -> Figures:
    """Download a picture again and again."""
    image, data = painting
    path = f"/image/{image.guid}/content"
    with on_core(CLIENTS_CORE), Downloads(server.port, lambda: path, at_once=AT_ONCE) as clients:
        time.sleep(1)
        received, before, begun = clients.received, server.cpu(), time.perf_counter()
        time.sleep(SECONDS)
        received = clients.received - received
        seconds, after = time.perf_counter() - begun, server.cpu()
    if clients.problems:
        raise SystemExit(f"{clients.problems}")
    # Pictures that are on their way at the beginning and the end count by their bytes.
    return Figures(received / len(data), received, seconds, after[0] - before[0], after[1] - before[1])


def redirects(server: Server, painting: Painting) -> Figures:
    """Ask for a picture that is elsewhere."""
    image, _ = painting
    with on_core(CLIENTS_CORE), closing(http.client.HTTPConnection("127.0.0.1", server.port)) as client:
        for turn in range(REDIRECTS + 100):
            if turn == 100:  # noqa: PLR2004 -- to warm up
                before, begun = server.cpu(), time.perf_counter()
            client.request("GET", f"/image/{image.guid}/content")
            response = client.getresponse()
            response.read()
            if response.status != http.client.TEMPORARY_REDIRECT:
                raise SystemExit(f"{response.status} in place of a redirect")
        seconds, after = time.perf_counter() - begun, server.cpu()
    return Figures(REDIRECTS, 0, seconds, after[0] - before[0], after[1] - before[1])


def row(what: str, size: str, found: Figures) -> str:
    """Return a line of the table."""
    service, nginx = (1_000 * cpu / found.count for cpu in (found.service, found.nginx))
    cells = [
        what,
        size,
        f"{found.count / found.seconds:,.0f}/s",
        f"{found.byte_count / MB / found.seconds:,.0f} MB/s" if found.byte_count else "",
        f"{service:.2f} ms",
        f"{nginx:.2f} ms" if nginx else "",
        f"{found.byte_count / MB / found.service:,.0f} MB/s" if found.byte_count and not nginx else "",
    ]
    return f"| {' | '.join(cells)} |"


def client_row(seaweedfs: SeaweedFS, byte_size: int) -> str:
    """Return a line for obstore alone."""
    case = s3.CASES[CLIENT_CASES[byte_size]]
    with on_core(SERVERS_CORE):
        figures = s3.measured("obstore", seaweedfs.url(), CLIENT_CASES[byte_size])
    rate, cpu = figures["rate"], figures["cpu"] / 1_000
    count = rate * MB / byte_size
    return row(
        f"obstore alone, {case.at_once} at once",
        f"{byte_size / MB:g} MB",
        Figures(count, int(rate * MB), 1.0, cpu * count, 0.0),
    )


def lines() -> Sequence[str]:
    """Measure everything; return the table, each line of which is printed as soon as it is there."""
    table = [
        "| what | picture | answers | bytes | CPU of PixyProxy, each | CPU of nginx, each | one core of PixyProxy |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    paintings = [paint("ann", data=os.urandom(byte_size)) for byte_size in SIZES]

    def add(line: str) -> None:
        table.append(line)
        print(line, flush=True)

    with on_core(CLIENTS_CORE), SeaweedFS() as seaweedfs:
        for byte_size in SIZES:
            add(client_row(seaweedfs, byte_size))
        for name in (FILES, *DELIVERIES):
            with running(name, seaweedfs, paintings) as server:
                if "redirect" in name:
                    add(row(f"{name}, the 307 alone", "any", redirects(server, paintings[0])))
                    continue
                for byte_size, painting in zip(SIZES, paintings, strict=True):
                    add(row(name, f"{byte_size / MB:g} MB", downloads(server, painting)))
    return table


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description="Measure delivery from S3.")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    arguments = parser.parse_args()
    os.environ.update(CREDENTIALS)
    load = os.getloadavg()[0]
    table = lines()
    if arguments.write:
        measured = (
            f"Measured on {datetime.now(UTC):%-d %B %Y} with `make bench-s3-delivery`, at a load average of {load:.0f}."
        )
        write_results("s3 delivery", "\n".join([f"{measured}\n", *table]))


if __name__ == "__main__":
    main()
