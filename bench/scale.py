"""What 1, 2 and 4 replicas behind nginx serve, and what a request costs.

    make bench-scale                                   # writes docs/scale.md
    PYTHONPATH=. .venv/bin/python bench/scale.py       # the same, but the page stays as it is

Needs wrk and what `bench/cluster.py` needs. Everything shares the processors of one machine: the replicas, nginx, three
database nodes, the S3 server and wrk. So requests per second stop growing when the processors are busy; CPU is the time
of processes (`utime` and `stime` of `/proc/PID/stat`) divided by the requests, and tells what more processors would
serve. PIXYPROXY_BENCH_SECONDS (of a turn; 5) makes a quick try.
"""

import argparse
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from cluster import machine
from page import SCALE, write_results
from reads_servers import cpu_seconds

from tests.cluster.clients import Client
from tests.cluster.ledger import Ledger
from tests.cluster.world import AUTHORS, RUNNING, Replica, World, nginx_before, running_world

SECONDS: Final = float(os.environ.get("PIXYPROXY_BENCH_SECONDS", "5"))
REPLICAS: Final = (1, 2, 4)
# Of each replica, so that its requests share queries to the same extent.
CONNECTIONS: Final = 16
IMAGES: Final = 100
LARGE: Final = 1_500_000
SCRIPT: Final = Path(__file__).with_name("reads.lua")
HEAD: Final = (
    "| what | replicas | requests/s | p50 · p99 | CPU of the replicas | of nginx | of the database | of S3 |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)


class Case(NamedTuple):
    """What is requested."""

    what: str
    paths: Sequence[str]


def make_cases(replica: Replica) -> Iterator[Case]:
    """Create the images, and yield what is requested of them."""
    ledger = Ledger()
    with Client(replica.url, AUTHORS[0], ledger) as client, ThreadPoolExecutor(RUNNING) as pool:
        for _ in range(IMAGES):
            pool.submit(client.create, waits=True, directive=f"[[big {LARGE}]]")
    guids = [creation.guid for creation in ledger.creations]
    if not all(guids):
        raise RuntimeError(f"Not all images were created: {ledger.errors}")
    yield Case("details", [f"/image/{guid}" for guid in guids])
    yield Case("list of 100", ["/image"])
    yield Case(
        f"content of {LARGE / 1e6:g} MB, from S3 through PixyProxy", [f"/image/{guid}/content" for guid in guids]
    )


def measure(world: World, case: Case, replicas: Sequence[Replica]) -> str:
    """Request for a while, and return the line of the table."""
    with nginx_before(replicas) as nginx:
        groups = (
            [replica.pid for replica in replicas],
            [nginx.pid],
            [node.pid for node in world.cluster.nodes],
            [world.s3.pid],
        )
        connections = CONNECTIONS * len(replicas)
        wrk(nginx.url, case.paths, 1, connections)
        before = [sum(map(cpu_seconds, pids)) for pids in groups]
        figures = wrk(nginx.url, case.paths, SECONDS, connections)
        after = [sum(map(cpu_seconds, pids)) for pids in groups]
    if figures["errors"]:
        raise RuntimeError(f"{case.what}: {figures}")
    cpu = [(late - early) / figures["requests"] * 1e3 for early, late in zip(before, after, strict=True)]
    speed = figures["requests"] / figures["seconds"]
    waits = f"{figures['p50']:.0f} · {figures['p99']:.0f} ms"
    costs = " | ".join(f"{each:.2f} ms" for each in cpu)
    return f"| {case.what} | {len(replicas)} | {speed:,.0f} | {waits} | {costs} |"


def wrk(url: str, paths: Sequence[str], seconds: float, connections: int) -> dict[str, Any]:
    """Request these paths at random, and return the figures."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(paths))
        file.flush()
        options = ("-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "30s", "-s", str(SCRIPT))
        done = subprocess.run(  # noqa: S603 -- our own command
            ["wrk", *options, url, "--", file.name],  # noqa: S607
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description="Measure 1, 2 and 4 replicas.")
    parser.add_argument("--write", action="store_true", help="write docs/scale.md")
    arguments = parser.parse_args()
    rows, loads = [HEAD], [os.getloadavg()[0]]
    print(HEAD, flush=True)
    with running_world(max(REPLICAS)) as world:
        cases = list(make_cases(world.replicas[0]))
        found = {}
        # The most at first: replicas that are not measured would take time from the others.
        for count in sorted(REPLICAS, reverse=True):
            for replica in world.replicas[count:]:
                replica.end(signal.SIGKILL)
            for case in cases:
                found[case.what, count] = measure(world, case, world.replicas[:count])
                loads.append(os.getloadavg()[0])
        for case in cases:
            for count in REPLICAS:
                rows.append(found[case.what, count])
                print(rows[-1], flush=True)
    if arguments.write:
        said = (
            f"Measured on {datetime.now(UTC):%-d %B %Y} with `make bench-scale`: {CONNECTIONS} connections for each"
            f" replica, {machine(loads)}."
        )
        write_results("replicas", "\n".join([said, "", *rows]), page=SCALE)


if __name__ == "__main__":
    main()
