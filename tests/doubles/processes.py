"""Several processes that do the same at the same time."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

_WAIT = """
import sys
print("ready", flush=True)
sys.stdin.read()
"""


def freeze(pid: int) -> None:
    """Stop a process, and return when all its threads have stopped: until then it may still answer."""
    os.kill(pid, signal.SIGSTOP)
    while not all(_is_stopped(path) for path in Path(f"/proc/{pid}/task").glob("*/stat")):
        time.sleep(0.001)


def _is_stopped(stat: Path) -> bool:
    with contextlib.suppress(OSError):
        # The name of the program may have spaces and parentheses.
        return stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0] in {"T", "t"}
    return True


async def run_at_once(imports: str, script: str, *arguments: str, count: int = 4) -> Sequence[str]:
    """Run `script` in `count` processes as soon as each of them has its `imports`, and return the output of each.

    Nothing may be printed to the standard error, warnings included.
    """
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", imports + _WAIT + script, *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(count)
    ]
    for process in processes:
        assert process.stdout
        assert await process.stdout.readline() == b"ready\n"
    results = await asyncio.gather(*(process.communicate(b"") for process in processes))
    assert [errors.decode() for _, errors in results] == [""] * count
    return [output.decode() for output, _ in results]
