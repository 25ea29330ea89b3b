"""The memory of answers below `/v1` with large pictures in base64.

    make bench-answers                                          # writes docs/benchmarks.md
    PYTHONPATH=. .venv/bin/python bench/answers.py              # the same, but the page stays as it is
    PYTHONPATH=. .venv/bin/python bench/answers.py --megabytes 2 --answers 2

`pixyproxy serve` on SQLite makes the images with the stand-in for OpenAI. Then a new process answers with them: each
request has the idempotency key of an order, so that nothing is made again.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
from edits import MIB, Memory, upstream
from page import write_results

from tests.doubles.service import Service, running_service

HERE: Final = Path(__file__).parent
IMAGES: Final = 4

# What one answer is, how many at once, how many bytes all of them had, by how many the memory grew, and the seconds.
Row = tuple[str, int, int, int, float]


def measure(answers: int, base_url: str, byte_size: int) -> Iterator[Row]:
    """Have the images made, and measure how they are answered, one order by itself and several at once."""
    environment = {
        "OPENAI_API_KEY": "sk-bench",
        "OPENAI_BASE_URL": base_url,
        "PIXYPROXY_MAX_GENERATIONS": "2",
        "PIXYPROXY_MAX_WAITING": str(answers * IMAGES),
        "PYTHONPATH": str(HERE.parent),
    }
    fields = {"prompt": f"a sea [[big {byte_size}]]", "n": IMAGES}
    with tempfile.TemporaryDirectory(prefix="pixyproxy-answers-") as name:
        folder = Path(name)
        with running_service(folder, environment) as service:
            login = service.login
            for number in range(answers):
                ask(service, login, fields, 0.0, number)
        kinds: Sequence[tuple[str, Mapping[str, Any], float]] = (
            ("one document", fields, 0.0),
            ("a stream", {**fields, "stream": True}, 0.0),
            ("one document, to clients that read 4 MiB a second", fields, 4 * MIB),
        )
        for kind, wanted, rate in kinds:
            with running_service(folder, environment) as service:
                ask(service, login, wanted, 0.0, 0)
                for count in dict.fromkeys((1, answers)):
                    memory, began = Memory(service.process.pid), time.perf_counter()
                    with ThreadPoolExecutor(count) as clients:
                        sizes = list(clients.map(partial(ask, service, login, wanted, rate), range(count)))
                    yield kind, count, sum(sizes), memory.stop(), time.perf_counter() - began


def ask(service: Service, login: tuple[str, str], fields: Mapping[str, Any], rate: float, number: int) -> int:
    """Ask for the images of an order, read them at up to `rate` bytes a second, and return how many bytes they took."""
    began, received, end = time.perf_counter(), 0, b""
    with httpx.stream(
        "POST",
        f"{service.url}/v1/images/generations",
        auth=login,
        json=fields,
        headers={"Idempotency-Key": f"order-{number}"},
        timeout=1_200,
    ) as answer:
        answer.raise_for_status()
        for chunk in answer.iter_raw(65_536):
            received += len(chunk)
            end = (end + chunk)[-4:]
            if rate:
                time.sleep(max(0.0, received / rate - (time.perf_counter() - began)))
    if not end.strip().endswith(b"}"):
        raise ValueError("The answer breaks off.")
    return received


def table(rows: Sequence[Row]) -> str:
    """Return the table of the results."""
    lines = [
        "| an answer is | answers at once | bytes sent | memory at most | seconds |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {kind} | {count} | {size / MIB:,.0f} MiB | {growth / MIB:+,.0f} MiB | {seconds:.1f} |"
        for kind, count, size, growth, seconds in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description="Measure the memory of answers with large pictures.")
    parser.add_argument("--answers", type=int, default=8, help="answers at once")
    parser.add_argument("--megabytes", type=int, default=10, help="the size of a picture")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    arguments = parser.parse_args()
    with upstream() as base_url:
        rows = []
        for row in measure(arguments.answers, base_url, arguments.megabytes * 1_000_000):
            rows.append(row)
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    text = table(rows)
    print(text)
    if arguments.write:
        command = "PYTHONPATH=. .venv/bin/python " + " ".join([f"bench/{Path(__file__).name}", *sys.argv[1:]])
        write_results("answers", f"Measured on {datetime.now(UTC):%-d %B %Y} with `{command}`.\n\n{text}")


if __name__ == "__main__":
    main()
