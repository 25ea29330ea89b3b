"""The cost of hostile clients to the service and its other users, one attack at a time.

    make bench-hostile                                        # all of them; writes docs/benchmarks.md
    PYTHONPATH=. .venv/bin/python bench/hostile.py            # the same, but the page stays as it is
    PYTHONPATH=. .venv/bin/python bench/hostile.py pipelining head-lines [--seconds 15] [--before ../older]

For each attack `pixyproxy serve` is started anew, on SQLite and a free port of the loopback. A process of its own asks
`/health/live` every 10 ms meanwhile. The table has the longest that this took, by how much the memory (RSS) grew at
most, and by how much it is still above what it was three seconds after the attackers have gone. `--before` names a
folder with another version of the code, which is attacked first.

The attacks are in `hostile_TOPIC.py`; `hostile_kit.py` says how to add one.
"""

import argparse
import importlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from hostile_kit import ATTACKS, MIB, Attack, Target
from page import write_results

from tests.doubles.service import Service

HERE: Final = Path(__file__).parent
REST: Final = 3.0


class Cost(msgspec.Struct, frozen=True):
    """An attack's cost: the longest wait of others in seconds (None: no answer) and memory in bytes."""

    wait: float | None
    growth: int
    kept: int
    seen: str


def measure(attack: Attack, seconds: float, code: Path) -> Cost:
    """Start the service from the folder `code`, attack it, and stop it."""
    with tempfile.TemporaryDirectory(prefix="pixyproxy-hostile-") as name:
        folder = Path(name)
        if attack.prepare is not None:
            attack.prepare(folder)
        with serving(attack, folder, code) as service:
            target = Target(
                port=service.port,
                pid=service.process.pid,
                folder=folder,
                login=service.login,
                seconds=seconds,
                log=lambda: service.output,
            )
            with probing(target) as waits:
                time.sleep(0.5)
                # From now on the kernel's peak is that of the attack.
                Path(f"/proc/{target.pid}/clear_refs").write_text("5", encoding="ascii")
                before = memory(target.pid, "VmRSS")
                seen = attack.run(target)
                peak = memory(target.pid, "VmHWM")
                time.sleep(REST)
            kept = memory(target.pid, "VmRSS") - before
            return Cost(wait=max(waits, default=None), growth=peak - before, kept=kept, seen=seen)


@contextmanager
def serving(attack: Attack, folder: Path, code: Path) -> Iterator[Service]:
    """Run the service."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if attack.descriptors is not None:
        # The service inherits it.
        resource.setrlimit(resource.RLIMIT_NOFILE, (attack.descriptors, hard))
    try:
        service = Service(folder, {**attack.environment, "PYTHONPATH": str(code)})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        _wait_until_live(service)
        yield service
    finally:
        # Attackers may have left work that a stop would wait for.
        service.stop(9)


def _wait_until_live(service: Service) -> None:
    for _ in range(5):
        try:
            service.wait_until_live()
        except AssertionError:
            # The machine may be busy.
            if service.process.poll() is not None:
                raise
        else:
            return


@contextmanager
def probing(target: Target) -> Iterator[list[float]]:
    """Probe in a process of its own, and fill the list with the waits at the end."""
    waits: list[float] = []
    with subprocess.Popen(  # noqa: S603 -- our own command
        [sys.executable, str(HERE / "hostile_probe.py"), str(target.port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise SystemExit("the probe did not start")
        try:
            yield waits
        finally:
            output, _ = process.communicate("\n")
            waits.extend(json.loads(output))


def memory(pid: int, name: str) -> int:
    """Return a value of the process's status in bytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


def table(rows: Sequence[tuple[Attack, Sequence[tuple[str, Cost]]]]) -> str:
    """Return the table."""
    lines = [
        "| attack | code | longest wait of others | memory at most | memory kept | seen |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    lines += [
        f"| {attack.what} (`{attack.name}`) | {name} | {_wait(cost)} | {cost.growth / MIB:+.0f} MiB |"
        f" {cost.kept / MIB:+.0f} MiB | {cost.seen} |"
        for attack, costs in rows
        for name, cost in costs
    ]
    return "\n".join(lines)


def _wait(cost: Cost) -> str:
    return "no answer" if cost.wait is None else f"{cost.wait * 1000:,.0f} ms"


def main() -> None:
    """Run the chosen attacks, and print the table."""
    for path in sorted(HERE.glob("hostile_*.py")):
        if path.stem not in {"hostile_kit", "hostile_probe"}:
            importlib.import_module(path.stem)
    names = [attack.name for attack in ATTACKS]
    parser = argparse.ArgumentParser(description="Attack the service, one attack at a time.")
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=", ".join(names))
    parser.add_argument("--seconds", type=float, default=20.0, help="how long an attack may take")
    parser.add_argument("--before", type=Path, help="a folder with another version of the code, to be attacked first")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    arguments = parser.parse_args()
    if unknown := set(arguments.attacks) - set(names):
        parser.error(f"no attack {', '.join(unknown)}; there are {', '.join(names)}")
    codes = [("before", arguments.before.resolve())] if arguments.before else []
    codes.append(("now", HERE.parent))
    rows = []
    for attack in ATTACKS:
        if arguments.attacks and attack.name not in arguments.attacks:
            continue
        costs = []
        for name, code in codes:
            cost = measure(attack, arguments.seconds, code)
            costs.append((name, cost))
            print(table([(attack, [(name, cost)])]).splitlines()[-1], flush=True)
        rows.append((attack, costs))
    text = table(rows)
    print(text)
    if arguments.write:
        command = "PYTHONPATH=. .venv/bin/python " + " ".join([f"bench/{Path(__file__).name}", *sys.argv[1:]])
        write_results("hostile", f"Measured on {datetime.now(UTC):%-d %B %Y} with `{command}`.\n\n{text}")


if __name__ == "__main__":
    main()
