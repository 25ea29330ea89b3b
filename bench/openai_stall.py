"""How long a generation holds up the event loop, beside the wait for OpenAI.

    python bench/openai_stall.py [--bytes 2000000] [--at-once 1]

The stand-in OpenAI server runs as a process of its own, so that only PixyProxy's part is measured. For comparison the
same is done as the official client's documentation shows it (typed answer, then `base64.b64decode`), and nothing at
all, which tells how much the machine itself holds things up.
"""

import argparse
import asyncio
import base64
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import openai

from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.domain.prompt import parse_prompt

ROUNDS = 20


async def stalls_of(work: Callable[[], Awaitable[object]], at_once: int) -> list[float]:
    """Return the longest delay, in milliseconds, of a task that wants to run all the time, for each round of work."""
    longest = []
    for _ in range(ROUNDS):
        delays = [0.0]

        async def tick(delays: list[float] = delays) -> None:
            while True:
                before = time.perf_counter()
                await asyncio.sleep(0)
                delays.append((time.perf_counter() - before) * 1e3)

        ticking = asyncio.create_task(tick())
        await asyncio.gather(*(work() for _ in range(at_once)))
        ticking.cancel()
        longest.append(max(delays))
    return longest


def report(name: str, longest: list[float]) -> None:
    """Print one line of results."""
    median, worst = statistics.median(longest), max(longest)
    print(f"{name:<56} longest stall in a round: median {median:5.1f} ms, worst {worst:5.1f} ms")


async def measure(base_url: str, byte_size: int, at_once: int) -> None:
    """Measure both ways against the stand-in at `base_url`."""
    prompt = parse_prompt(f"a red fox [[big {byte_size}]]")
    generator = OpenAIImageGenerator(api_key="sk-any", base_url=base_url)
    client = openai.AsyncOpenAI(api_key="sk-any", base_url=base_url, max_retries=0)

    async def as_documented() -> bytes:
        answer = await client.images.generate(model="gpt-image-2", prompt=prompt)
        return base64.b64decode((answer.data or [])[0].b64_json or "")

    async def nothing() -> None:
        await asyncio.sleep(0.15)

    for name, work in (
        ("nothing", nothing),
        ("PixyProxy", lambda: generator.generate(prompt)),
        ("the client as documented", as_documented),
    ):
        await work()
        report(f"{name}, {byte_size:,} bytes, {at_once} at once", await stalls_of(work, at_once))
    await generator.close()
    await client.close()


def main() -> None:
    """Start the stand-in and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=2_000_000)
    parser.add_argument("--at-once", type=int, default=1)
    options = parser.parse_args()
    command = [sys.executable, "-m", "tests.doubles.openai_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 -- our own module
        assert server.stdout is not None  # noqa: S101
        base_url = server.stdout.readline().strip().removeprefix("OPENAI_BASE_URL=")
        asyncio.run(measure(base_url, options.bytes, options.at_once))
        server.terminate()


if __name__ == "__main__":
    main()
