"""Several processes that do the same at the same time."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence

_WAIT = """
import sys
print("ready", flush=True)
sys.stdin.read()
"""


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
