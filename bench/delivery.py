"""How fast pictures are delivered, beside nginx, and the effect on other requests and on memory.

    make bench-delivery

Needs wrk, nginx, MariaDB, openssl and two processors. All servers run on the first one, each with one process that
works: nginx, which sends the same files by `sendfile`; PixyProxy as `pixyproxy serve` starts it, alone and behind it;
PixyProxy on uvicorn as it comes; and handlers of Litestar that do nothing but answer. The clients and a MariaDB of its
own run on the second one. nginx and PixyProxy both write their logs to files. Neither processor ever falls asleep.

Each comparison is made in rounds, in which each contender has a turn; a ratio is the median of those of the rounds.
PIXYPROXY_BENCH_SECONDS (how long a turn is; 4) and PIXYPROXY_BENCH_ROUNDS (7) make it shorter, for a quick try; the
results are only written to docs/benchmarks.md if neither is set.
"""

import asyncio
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import msgspec
from delivery_servers import (
    BARE,
    CLIENTS_CORE,
    H11,
    HTTPTOOLS,
    LARGE,
    MIDDLE,
    NGINX,
    PIXYPROXY,
    SIZES,
    SMALL,
    TLS,
    X_ACCEL,
    Pictures,
    Server,
    all_servers,
    awake,
    on_core,
    on_uvicorn,
    pixyproxy,
    store_pictures,
)
from downloads import Downloads
from slow_disk import is_possible, slow_disk

from tests.doubles.mariadb import ThrowawayServer

SECONDS: Final = int(os.environ.get("PIXYPROXY_BENCH_SECONDS", "4"))
ROUNDS: Final = int(os.environ.get("PIXYPROXY_BENCH_ROUNDS", "7"))
IS_QUICK: Final = bool({"PIXYPROXY_BENCH_SECONDS", "PIXYPROXY_BENCH_ROUNDS"} & os.environ.keys())
PAGE: Final = Path(__file__).parent.parent / "docs" / "benchmarks.md"
BEGIN: Final = "<!-- delivery -->"
END_MARK: Final = "<!-- end of delivery -->"

CONGESTION_CONTROL: Final = Path("/proc/sys/net/ipv4/tcp_congestion_control")

CONNECTIONS: Final = 16
MANY_CONNECTIONS: Final = 32

# How many cold pictures are read at once, and how slowly a slow disk gives them.
COLD_DOWNLOADS: Final = 16
DISK_BYTES_PER_SECOND: Final = 50_000_000
STALL_MAX: Final = 3.0
# The shortest probe in seconds: p99 of fewer requests would be a single one.
PROBE_SECONDS: Final = 2 * SECONDS

MEMORY_DOWNLOADS: Final = 50
SLOW_BYTES_PER_SECOND: Final = 32 * 1024
MEMORY_MAX_MIB: Final = 32.0


class Contender(msgspec.Struct, frozen=True):
    """A contender in a comparison: its URL, the number of connections, and a header."""

    name: str
    url: str
    connections: int = CONNECTIONS
    header: str | None = None


class Comparison(msgspec.Struct, frozen=True):
    """Two contenders by their names, the ratio of their speeds in each round, and the ratio that is wanted, if any."""

    what: str
    name: str
    beside: str
    ratios: Sequence[float]
    wanted: float | None

    @property
    def ratio(self) -> float:
        """The median."""
        return statistics.median(self.ratios)


def requests_per_second(contender: Contender, seconds: int = SECONDS) -> float:
    """Let wrk ask for something; return how much it got."""
    header = ["-H", contender.header] if contender.header else []
    done = subprocess.run(  # noqa: S603 -- our own command
        [*("wrk", "-t1", f"-c{contender.connections}", f"-d{seconds}s", "--timeout", "10s", *header, contender.url)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"Requests/sec: +([0-9.]+)", done.stdout)
    if found is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise SystemExit(f"{contender.name}: {done.stdout}{done.stderr}")
    return float(found[1])


def race(contenders: Sequence[Contender]) -> Mapping[str, Sequence[float]]:
    """Return the requests per second of each, round by round."""
    speeds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    with on_core(CLIENTS_CORE):
        for contender in contenders:
            requests_per_second(contender, 1)
        for turn in range(ROUNDS):
            # The order rotates from round to round.
            for contender in contenders[turn % len(contenders) :] + contenders[: turn % len(contenders)]:
                speeds[contender.name].append(requests_per_second(contender))
    for name, found in speeds.items():
        print(f"  {name:<50} {statistics.median(found):>10,.0f}/s", flush=True)
    return speeds


def compare(
    what: str, speeds: Mapping[str, Sequence[float]], name: str, beside: str, wanted: float | None = None
) -> Comparison:
    """Return how one did beside the other in each round."""
    ratios = [one / other for one, other in zip(speeds[name], speeds[beside], strict=True)]
    return Comparison(what, name, beside, ratios, wanted)


def speed(servers: Mapping[str, Server], pictures: Pictures) -> Sequence[Comparison]:
    """Compare how many pictures of each size are sent, and how many answers without one."""
    wanted = {SMALL: 0.10, MIDDLE: 0.85, LARGE: 0.95}
    results = []
    for size in SIZES:
        print(size, flush=True)
        contenders = content_contenders(servers, pictures, size)
        if size == SMALL:
            contenders.append(Contender("bare handler, from memory", f"{servers[BARE].url}/bytes"))
        speeds = race(contenders)
        results.append(compare(size, speeds, PIXYPROXY, NGINX, wanted[size]))
        if size == SMALL:
            results.append(compare(size, speeds, PIXYPROXY, "bare handler, from memory", 0.85))
        results += [compare(size, speeds, name, NGINX) for name in (X_ACCEL, HTTPTOOLS, H11, TLS)]
    results += small_speed(servers, pictures)
    return results


def content_contenders(servers: Mapping[str, Server], pictures: Pictures, size: str) -> list[Contender]:
    """Return the contenders that serve the pictures, after a check of their answers."""
    (image, *_) = pictures.by_size[size]
    contenders = []
    for name in (NGINX, PIXYPROXY, X_ACCEL, HTTPTOOLS, H11, TLS):
        path = pictures.file(image).relative_to(pictures.folder) if name == NGINX else f"image/{image.guid}/content"
        url = f"{servers[name].url}/{path}"
        answer = httpx.get(url, verify=False)  # noqa: S501 -- a certificate of a minute ago
        if answer.status_code != httpx.codes.OK or answer.content != pictures.file(image).read_bytes():
            raise SystemExit(f"{name} answers {answer.status_code} with {len(answer.content)} bytes")
        contenders.append(Contender(name, url))
    return contenders


def small_speed(servers: Mapping[str, Server], pictures: Pictures) -> Sequence[Comparison]:
    """Compare small answers: 304, and 50 KB with more clients."""
    (image, *_) = pictures.by_size[SMALL]
    url = f"{servers[PIXYPROXY].url}/image/{image.guid}/content"
    header = f"If-None-Match: {httpx.get(url).headers['ETag']}"
    print("304", flush=True)
    hello = "bare handler, a small struct"
    speeds = race([Contender(hello, f"{servers[BARE].url}/hello"), Contender(PIXYPROXY, url, header=header)])
    unchanged = compare("304", speeds, PIXYPROXY, hello, 0.6)
    what = f"{SMALL}, {MANY_CONNECTIONS} connections"
    print(what, flush=True)
    bare = "bare handler, from memory"
    speeds = race(
        [
            Contender(
                NGINX, f"{servers[NGINX].url}/{pictures.file(image).relative_to(pictures.folder)}", MANY_CONNECTIONS
            ),
            Contender(bare, f"{servers[BARE].url}/bytes", MANY_CONNECTIONS),
            Contender(PIXYPROXY, url, MANY_CONNECTIONS),
        ]
    )
    return [unchanged, compare(what, speeds, PIXYPROXY, NGINX), compare(what, speeds, PIXYPROXY, bare)]


class Stall(msgspec.Struct, frozen=True):
    """The effect of downloads on `GET /image/{guid}`: p99 in ms without and with them in each round.

    And how many bytes they get in a second, and how many of these come from the disk.
    """

    what: str
    without: Sequence[float]
    beside: Sequence[float]
    bytes_per_second: float
    disk_bytes_per_second: float
    is_wanted: bool

    @property
    def ratio(self) -> float:
        """The median of how many times as long it takes."""
        return statistics.median(beside / without for without, beside in zip(self.without, self.beside, strict=True))


def stalls(servers: Mapping[str, Server], pictures: Pictures) -> Sequence[Stall]:
    """Measure the effect of downloads on other requests."""
    service, plain, nginx = servers[PIXYPROXY], servers[HTTPTOOLS], servers[NGINX]
    results = [
        stall("from the page cache", service, service, pictures, is_cold=False),
        stall("cold", service, service, pictures, is_wanted=True),
        stall("cold, PixyProxy on plain uvicorn", plain, plain, pictures),
        stall("cold, sent by nginx on the same processor", service, nginx, pictures),
    ]
    if is_possible():
        speed = f"{DISK_BYTES_PER_SECOND / 1e6:.0f} MB/s"
        for name, server in (("", service), (", PixyProxy on plain uvicorn", plain)):
            with slow_disk(server.pid, pictures.folder, bytes_per_second=DISK_BYTES_PER_SECOND):
                results.append(
                    stall(f"cold, from a disk of {speed}{name}", server, server, pictures, is_wanted=not name)
                )
    else:
        print("A slow disk is not measured: that takes root and control groups of version 1.")
    return results


def stall(
    what: str, probed: Server, loaded: Server, pictures: Pictures, *, is_cold: bool = True, is_wanted: bool = False
) -> Stall:
    """Measure one kind of downloads."""
    (small, *_) = pictures.by_size[SMALL]
    without, beside, received, read, seconds = [], [], 0, 0, 0.0
    with on_core(CLIENTS_CORE):
        for _ in range(ROUNDS):
            without.append(p99_of_probe(probed, f"/image/{small.guid}"))
            next_path = large_pictures(pictures, is_cold=is_cold, is_static=loaded is not probed)
            start, before = time.perf_counter(), bytes_from_disks()
            with Downloads(loaded.port, next_path, at_once=COLD_DOWNLOADS) as downloads:
                beside.append(p99_of_probe(probed, f"/image/{small.guid}"))
                received += downloads.received
                read += bytes_from_disks() - before
                seconds += time.perf_counter() - start
            if downloads.problems:
                raise SystemExit(f"{what}: {downloads.problems}")
    found = Stall(what, without, beside, received / seconds, read / seconds, is_wanted)
    print(f"  {found.what:<50} {found.ratio:.2f}, {found.bytes_per_second / 1e6:,.0f} MB/s", flush=True)
    return found


def p99_of_probe(server: Server, path: str) -> float:
    """Ask for something small all the time, from a process of its own; return p99 in ms."""
    script = Path(__file__).with_name("downloads.py")
    command = [sys.executable, script, str(server.port), path, str(PROBE_SECONDS)]
    done = subprocess.run(command, capture_output=True, check=True)  # noqa: S603 -- our own script
    times = sorted(json.loads(done.stdout))
    return float(times[int(0.99 * len(times))] * 1e3)


def large_pictures(pictures: Pictures, *, is_cold: bool, is_static: bool) -> Callable[[], str]:
    """Return a function that gives the paths of large pictures in turn, uncached if `is_cold`."""
    turns = itertools.cycle(pictures.by_size[LARGE])
    lock = threading.Lock()

    def next_path() -> str:
        with lock:
            image = next(turns)
        file = pictures.file(image)
        if is_cold:
            forget(file)
        return f"/{file.relative_to(pictures.folder)}" if is_static else f"/image/{image.guid}/content"

    return next_path


def bytes_from_disks() -> int:
    """Return how much was read from the disks of this machine so far."""
    counters = dict(line.split() for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines())
    return int(counters["pgpgin"]) * 1024


def forget(file: Path) -> None:
    """Drop a file from the page cache."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


class Growth(msgspec.Struct, frozen=True):
    """The effect of downloads on the process's memory in MiB: before, and the peak."""

    what: str
    before: float
    peak: float
    is_wanted: bool

    @property
    def growth(self) -> float:
        """By how much it grew."""
        return self.peak - self.before


def memory(pictures: Pictures) -> Sequence[Growth]:
    """Measure the memory of new processes while many large pictures are read at once."""
    results = []
    starts: Mapping[str, Callable[[], AbstractContextManager[Server]]] = {
        PIXYPROXY: lambda: pixyproxy(pictures),
        HTTPTOOLS: lambda: on_uvicorn(pictures, HTTPTOOLS),
    }
    for name, start in starts.items():
        for readers, pace in (("fast readers", None), ("readers of 32 KB/s", SLOW_BYTES_PER_SECOND)):
            with start() as server:
                found = growth(f"{name}, {readers}", server, pictures, pace, is_wanted=True)
            print(f"  {found.what:<50} {found.before:.1f} → {found.peak:.1f} MiB", flush=True)
            results.append(found)
    return results


def growth(what: str, server: Server, pictures: Pictures, pace: int | None, *, is_wanted: bool) -> Growth:
    """Measure one process."""
    with on_core(CLIENTS_CORE):
        next_path = large_pictures(pictures, is_cold=False, is_static=False)
        # Reach the memory that any request allocates for good.
        for _ in range(8):
            httpx.get(server.url + next_path())
        before = peak = rss(server.pid)
        with Downloads(server.port, next_path, at_once=MEMORY_DOWNLOADS, bytes_per_second=pace) as downloads:
            end = time.perf_counter() + max(10.0, 2 * SECONDS)
            while time.perf_counter() < end:
                peak = max(peak, rss(server.pid))
                time.sleep(0.01)
        if downloads.problems:
            raise SystemExit(f"{what}: {downloads.problems}")
    return Growth(what, before, peak, is_wanted)


def rss(pid: int) -> float:
    """Return the memory that a process has, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


def verdict(*, is_reached: bool) -> str:
    """Return how it ended."""
    return "reached" if is_reached else "**missed**"


def speed_table(results: Sequence[Comparison]) -> str:
    """Return the ratios."""
    lines = [
        "| what | who | beside | ratio | lowest and highest | wanted | |",
        "| --- | --- | --- | ---: | ---: | ---: | --- |",
    ]
    for found in results:
        wanted = (
            ("", "")
            if found.wanted is None
            else (f"≥ {found.wanted:.2f}", verdict(is_reached=found.ratio >= found.wanted))
        )
        spread = f"{min(found.ratios):.2f} to {max(found.ratios):.2f}"
        cells = [found.what, found.name, found.beside, f"{found.ratio:.2f}", spread, *wanted]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def stall_table(results: Sequence[Stall]) -> str:
    """Return the table of the effect on other requests."""
    lines = [
        "| 16 downloads of 8 MB | they get | from the disk | p99 without | p99 meanwhile | times | wanted | |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for found in results:
        wanted = (f"≤ {STALL_MAX:.0f}", verdict(is_reached=found.ratio <= STALL_MAX)) if found.is_wanted else ("", "")
        cells = [
            found.what,
            f"{found.bytes_per_second / 1e6:,.0f} MB/s",
            f"{found.disk_bytes_per_second / 1e6:,.0f} MB/s",
            f"{statistics.median(found.without):.1f} ms",
            f"{statistics.median(found.beside):.1f} ms",
            f"{found.ratio:.2f}",
            *wanted,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def memory_table(results: Sequence[Growth]) -> str:
    """Return the table of memory."""
    lines = [
        "| 50 downloads of 8 MB at once | before | at most | growth | wanted | |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for found in results:
        is_reached = found.growth <= MEMORY_MAX_MIB
        lines.append(
            f"| {found.what} | {found.before:.1f} MiB | {found.peak:.1f} MiB | {found.growth:.1f} MiB |"
            f" ≤ {MEMORY_MAX_MIB:.0f} MiB | {verdict(is_reached=is_reached)} |"
        )
    return "\n".join(lines)


def version_of(*command: str) -> str:
    """Return the number that a program prints as its version."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 -- our own commands
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else "?"


def write(results: str) -> None:
    """Put the results in their place in the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END_MARK)
    PAGE.write_text(f"{before}{BEGIN}\n{results}\n{END_MARK}{after}", encoding="utf-8")


def run(url: str, folder: Path) -> str:
    """Measure everything; return the tables."""
    pictures = asyncio.run(store_pictures(url, folder))
    with all_servers(pictures) as servers:
        speeds = speed(servers, pictures)
        print("p99 of GET /image/{guid} beside downloads, times that without", flush=True)
        stalled = stalls(servers, pictures)
    print("memory", flush=True)
    grown = memory(pictures)
    return f"""\
Measured on {datetime.now(UTC):%d %B %Y} with `make bench-delivery`, {ROUNDS} rounds of {SECONDS} s: nginx \
{version_of("nginx", "-v")}, wrk {version_of("wrk", "-v")}, Python {version_of(sys.executable, "-V")}, \
congestion control by {CONGESTION_CONTROL.read_text(encoding="ascii").strip()}.

#### Speed

{speed_table(speeds)}

#### Other requests meanwhile

{stall_table(stalled)}

#### Memory

{memory_table(grown)}
"""


@contextmanager
def storage() -> Iterator[tuple[str, Path]]:
    """Run a database on the processor of the clients; give its URL and a folder for contents."""
    with (
        tempfile.TemporaryDirectory(prefix="pixyproxy-") as folder,
        awake(),
        on_core(CLIENTS_CORE),
        ThrowawayServer() as database,
        database.new_database() as url,
    ):
        yield url, Path(folder) / "images"


def main() -> None:
    """Measure, print, and write."""
    with storage() as (url, folder):
        results = run(url, folder)
    print(results)
    if not IS_QUICK:
        write(results)


if __name__ == "__main__":
    main()
