"""What clients see of dying machines, and what becomes of their images.

    make cluster                                               # plays all events, writes docs/scale.md
    PYTHONPATH=. .venv/bin/python bench/cluster.py replica s3  # plays these two, and the page stays as it is

Needs MariaDB with Galera, SeaweedFS, nginx and libfaketime, all on this machine. Each event is played for
PIXYPROXY_CLUSTER_SECONDS, a minute by default, under the load of some clients. Then each image that a client was told
of is checked, and what the stand-in for OpenAI has billed. The exit status is 1 if an image is lost, billed twice or
not made though it was promised, or if what is planned costs a request.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from page import SCALE, write_results

from tests.cluster.clients import CLIENTS
from tests.cluster.events import EVENTS, Happening
from tests.cluster.verdict import Verdict, play
from tests.cluster.world import running_world

SECONDS: Final = float(os.environ.get("PIXYPROXY_CLUSTER_SECONDS", "60"))
HEAD: Final = (
    "| event | requests | errors | longest stall | slowest read · write | images acknowledged | lost | billed twice"
    " | 202s kept | unknown |\n"
    "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def row(event: Happening, verdict: Verdict) -> str:
    """Return the line of the table."""
    ledger = verdict.ledger
    errors = ", ".join(f"{number} {kind}" for kind, number in ledger.errors.most_common()) or "0"
    kept = verdict.promised - len(verdict.broken)
    cells = (
        event.title,
        f"{len(ledger.requests):,}",
        errors,
        f"{ledger.stall:.1f} s",
        f"{verdict.slowest_read:.1f} · {verdict.slowest_write:.1f} s",
        f"{verdict.acknowledged:,}",
        str(len(verdict.lost)),
        str(len(verdict.twice)),
        f"{kept:,} of {verdict.promised:,}",
        str(verdict.unknown),
    )
    return f"| {' | '.join(cells)} |"


def faults(event: Happening, verdict: Verdict) -> Sequence[str]:
    """Return what must not be."""
    errors = [f"{number} {kind}" for kind, number in verdict.ledger.errors.items()] if event.costs_nothing else []
    return [f"{event.name}: {each}" for each in (*verdict.faults, *errors)]


def machine(loads: Sequence[float]) -> str:
    """Say on what was measured, and how much else it had to do."""
    model = next(
        (
            line.partition(": ")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        "an unknown processor",
    )
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{cores} cores ({model}) and {memory:.0f} GiB for all of it, with a load average of {min(loads):.0f} to"
        f" {max(loads):.0f}, Python {sys.version.split()[0]}"
    )


def main() -> None:
    """Play the events, and print the table."""
    parser = argparse.ArgumentParser(description="Play what may happen to machines.")
    parser.add_argument("--write", action="store_true", help="write docs/scale.md")
    parser.add_argument(
        "events", nargs="*", help=f"some of {', '.join(event.name for event in EVENTS)}; all by default"
    )
    arguments = parser.parse_args()
    rows, wrong, loads = [HEAD], [], [os.getloadavg()[0]]
    print(HEAD, flush=True)
    with running_world() as world:
        for event in EVENTS:
            if arguments.events and event.name not in arguments.events:
                continue
            verdict = play(world, event, SECONDS)
            rows.append(row(event, verdict))
            wrong += faults(event, verdict)
            loads.append(os.getloadavg()[0])
            print(rows[-1], flush=True)
    if arguments.write:
        said = (
            f"Measured on {datetime.now(UTC):%-d %B %Y} with `make cluster`: {CLIENTS} clients, {SECONDS:.0f} s for"
            f" each event, {machine(loads)}."
        )
        if not wrong:
            said += " `pixyproxy doctor` found nothing wrong after any of them."
        write_results("events", "\n".join([said, "", *rows]), page=SCALE)
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
