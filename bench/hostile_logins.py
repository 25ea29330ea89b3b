"""Attacks with wrong passwords, and the wait of reads and logins."""

import asyncio
import base64
import http.client
import itertools
import re
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from hostile_kit import Target, attack

from pixyproxy.entrypoints.container import Container, opened
from pixyproxy.entrypoints.settings import load_settings

_CONNECTIONS: Final = 50
_USERS: Final = 21
_PASSWORD: Final = "correct horse"  # noqa: S105 -- of users that the attack makes itself
_READING_SECONDS: Final = 5

_READERS: Final = re.compile(r"99%\s+([\d.]+)(us|ms|s).*Requests/sec:\s+([\d.]+)", re.DOTALL)
_UNITS: Final = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@attack("50 connections with wrong passwords of one user, 21 users log in", environment={"PIXYPROXY_LOGIN_MEMORY": "0"})
def wrong_passwords_of_one_user(target: Target) -> str:
    """Guess the password of an existing user."""
    return _flood(target, lambda _: "user0")


@attack(
    "50 connections with wrong passwords of many names, 21 users log in", environment={"PIXYPROXY_LOGIN_MEMORY": "0"}
)
def wrong_passwords_of_many_users(target: Target) -> str:
    """Guess the passwords of names that are made up."""
    return _flood(target, lambda number: f"stranger{number}")


def _flood(target: Target, name_of: Callable[[int], str]) -> str:
    asyncio.run(_add_users(target))
    statuses: Counter[int] = Counter()
    alone = _read(target)
    with _wrong_logins(target, name_of, statuses):
        time.sleep(1)
        flooded = _read(target)
        # The first user is guessed from the same address: nothing tells the two apart before the right login is known.
        served = [_log_in(target, f"user{number}", _PASSWORD) for number in range(1, _USERS + 1)]
    rates = "no wrk" if alone is None or flooded is None else _compared(alone, flooded)
    rights = Counter(status for status, _ in served)
    slowest = max(seconds for _, seconds in served)
    return f"{rates}; logins {dict(rights)}, slowest {slowest:.1f} s; wrong ones {dict(statuses)}"


def _compared(alone: tuple[float, float], flooded: tuple[float, float]) -> str:
    p99 = f"{alone[0]:.1f} → {flooded[0]:.1f} ms ({flooded[0] / alone[0]:.1f} times)"
    return f"readers' p99 {p99}, throughput {alone[1]:,.0f} → {flooded[1]:,.0f}/s ({flooded[1] / alone[1]:.2f})"


async def _add_users(target: Target) -> None:
    database = target.folder / "data" / "pixyproxy.db"
    container = Container(settings=load_settings({"PIXYPROXY_DATABASE_URL": f"sqlite:///{database}"}))
    async with opened(container):
        for number in range(_USERS + 1):
            await container.add_user()(f"user{number}", _PASSWORD)


@contextmanager
def _wrong_logins(target: Target, name_of: Callable[[int], str], statuses: Counter[int]) -> Iterator[None]:
    numbers = itertools.count()
    is_over = threading.Event()

    def guess() -> None:
        while not is_over.is_set():
            number = next(numbers)
            status, _ = _log_in(target, name_of(number), f"wrong horse {number}")
            statuses[status] += 1

    threads = [threading.Thread(target=guess) for _ in range(_CONNECTIONS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


_connections = threading.local()


def _log_in(target: Target, name: str, password: str) -> tuple[int, float]:
    """Return the status, 0 for none, and the seconds that it took; each thread keeps its connection."""
    token = base64.b64encode(f"{name}:{password}".encode()).decode()
    began = time.perf_counter()
    connection = getattr(_connections, str(target.port), None)
    if connection is None:
        connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=30)
        setattr(_connections, str(target.port), connection)
    try:
        connection.request("GET", "/private/image?limit=1", headers={"Authorization": f"Basic {token}"})
        answer = connection.getresponse()
        answer.read()
        status = answer.status
    except OSError:
        connection.close()
        status = 0
    return status, time.perf_counter() - began


def _read(target: Target) -> tuple[float, float] | None:
    """Return the p99 in milliseconds and the requests a second of anonymous readers, or None without wrk."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return None
    output = subprocess.run(  # noqa: S603 -- our own command
        [wrk, "-t1", "-c16", f"-d{_READING_SECONDS}s", "--latency", f"http://127.0.0.1:{target.port}/image?limit=1"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = _READERS.search(output)
    if found is None:
        raise SystemExit(output)
    return float(found[1]) * _UNITS[found[2]], float(found[3])
