"""The figures of `reads.py` that need no wrk: memory, creations, and requests per worker."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Final

from delivery_servers import CLIENTS_CORE, Server, on_core
from reads_figures import Target
from reads_servers import BARE, Library, cpu_seconds, create, peer, pixyproxy, process_tree, rss_mib

# Pictures of which size are made, how many of them in a round, and the CPU and the wait that are wanted.
CREATIONS: Final = (
    ("2 MB", 2_000_000, 6, 20.0, 3.0),
    ("20 MB", 20_000_000, 2, None, 10.0),
)
SHARED: Final = 10_000
CLIENTS: Final = 32


def memory(library: Library, rounds: int) -> Iterator[Target]:
    """Compare the memory of new processes."""
    ours, theirs = [], []
    for _ in range(rounds):
        with pixyproxy(library) as service, peer(library, "bare") as bare:
            ours.append(rss_mib(service.pid))
            theirs.append(rss_mib(bare.pid))
    yield Target("RSS idle, MiB", ours)
    yield Target(f"RSS idle, {BARE}, MiB", theirs)
    yield Target(f"RSS idle beside {BARE}", [one / other for one, other in zip(ours, theirs, strict=True)], at_most=1.6)


def creation(library: Library, rounds: int) -> Iterator[Target]:
    """Measure `POST /image` with an OpenAI that answers at once, and its effect on `GET /health/live`."""
    with pixyproxy(library) as service, on_core(CLIENTS_CORE):
        for name, size, count, cpu_max, wait_max in CREATIONS:
            prompt = f"noise [[big {size}]]"
            create(service.url, library.login, prompt)
            cpu, alone, meanwhile = [], [], []
            for _ in range(rounds):
                before, start = cpu_seconds(service.pid), time.perf_counter()
                for _ in range(count):
                    create(service.url, library.login, prompt)
                seconds = time.perf_counter() - start
                cpu.append((cpu_seconds(service.pid) - before) / count * 1e3)
                with probe(service) as waits:
                    time.sleep(seconds)
                alone.append(max(waits))
                with probe(service) as waits:
                    for _ in range(count):
                        create(service.url, library.login, prompt)
                meanwhile.append(max(waits))
            what = f"`POST /image`, {name}"
            yield Target(f"{what}: CPU per image, ms", cpu, at_most=cpu_max)
            yield Target(f"{what}: longest wait of `/health/live` meanwhile, ms", meanwhile, at_most=wait_max)
            yield Target(f"{what}: its longest wait without, ms", alone)


@contextmanager
def probe(server: Server) -> Iterator[Sequence[float]]:
    """Ask for `/health/live` every millisecond; give a list that has the waits, in ms, at the end."""
    script = Path(__file__).with_name("hostile_probe.py")
    waits: list[float] = []
    with subprocess.Popen(  # noqa: S603 -- our own script
        [sys.executable, script, str(server.port), "0.001"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101
        process.stdout.readline()
        yield waits
        output, _ = process.communicate("stop")
        waits += (seconds * 1e3 for seconds in json.loads(output))


def shares(library: Library, rounds: int) -> Iterator[Target]:
    """Measure which share of the requests the less busy one of two workers serves, on all processors."""
    found = []
    with pixyproxy(library, workers=2) as service:
        workers = process_tree(service.pid)
        for pid in workers:
            os.sched_setaffinity(pid, range(os.cpu_count() or 1))
        for _ in range(rounds):
            served = asyncio.run(served_by(workers, service.port, [f"/image/{guid}" for guid in library.guids]))
            # Two of the processes serve, the others watch over them.
            _, less, *_ = sorted(served, reverse=True)
            found.append(less / sum(served))
    yield Target(f"the smaller share of two workers, of {SHARED:,} requests", found, at_least=0.4)


async def served_by(pids: Sequence[int], port: int, paths: Sequence[str]) -> Sequence[int]:
    """Ask for the paths in turn over kept connections; return how many requests each process has served."""
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CLIENTS)]
    by_port: Counter[int] = Counter()
    turns = zip(range(SHARED), cycle(paths), strict=False)

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own_port = writer.get_extra_info("sockname")[1]
        for _, path in turns:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            if " 200 " not in head:
                raise SystemExit(head)
            await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r")[0]))
            by_port[own_port] += 1

    await asyncio.gather(*(ask(*connection) for connection in connections))
    sockets = peers_of_sockets()
    by_process = [sum(by_port[sockets.get(inode, 0)] for inode in inodes_of(pid)) for pid in pids]
    for _, writer in connections:
        writer.close()
    return by_process


def peers_of_sockets() -> Mapping[str, int]:
    """Return the port at the other end of each TCP socket, by its inode."""
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return {fields[9]: int(fields[2].rpartition(":")[2], 16) for fields in map(str.split, lines)}


def inodes_of(pid: int) -> Iterator[str]:
    """Yield the inodes of the sockets that a process has open."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        if (target := str(descriptor.readlink())).startswith("socket:"):
            yield target[len("socket:[") : -1]
