"""The contract of `RateLimits`."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pixyproxy.adapters.memory.rate_limits import InMemoryRateLimits
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sql.database import SQLDatabase
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.ports import RateLimits

# So long that the time a test takes changes nothing.
HOUR = 3_600.0


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The rates of two processes, and how to let time pass for both."""

    limits: list[RateLimits]
    advance: Callable[[float], Awaitable[None]]

    async def take(self, *, burst: int, name: str = "key", interval: float = HOUR) -> float:
        """Ask in one process, and in the other the next time."""
        self.limits.reverse()
        return await self.limits[0].acquire(name, interval=interval, burst=burst)

    async def push_back(self, seconds: float) -> None:
        self.limits.reverse()
        await self.limits[0].push_back("key", seconds)

    async def give_back(self) -> None:
        self.limits.reverse()
        await self.limits[0].give_back("key", interval=HOUR)


@pytest.fixture
def memory_rates() -> Rates:
    passed = [0.0]

    async def advance(seconds: float) -> None:
        passed.append(seconds)

    limits = InMemoryRateLimits(monotonic=lambda: time.monotonic() + sum(passed))
    return Rates(limits=[limits, limits], advance=advance)


@pytest.fixture
async def sqlite_rates(tmp_path: Path, _migrated_sqlite_file: Path) -> AsyncIterator[Rates]:
    path = Path(shutil.copy(_migrated_sqlite_file, tmp_path))
    async with AsyncExitStack() as stack:
        databases = [SQLiteDatabase(path) for _ in range(2)]
        for database in databases:
            stack.push_async_callback(database.close)
            await database.open()
        yield rates_in(databases)


@pytest.fixture
async def mysql_rates(mysql_url: str) -> AsyncIterator[Rates]:
    async with AsyncExitStack() as stack:
        databases = [MySQLDatabase(mysql_url) for _ in range(2)]
        for database in databases:
            stack.push_async_callback(database.close)
            await database.open()
        yield rates_in(databases)


def rates_in(databases: list[SQLiteDatabase] | list[MySQLDatabase]) -> Rates:
    """Let time pass by moving what is stored into the past."""

    async def advance(seconds: float) -> None:
        database: SQLDatabase = databases[0]
        earlier = database.dialect.shifted("next_at", "microseconds")
        await database.execute(f"UPDATE rate_limits SET next_at = {earlier}", {"microseconds": round(-seconds * 1e6)})  # noqa: S608

    return Rates(limits=[database.rate_limits for database in databases], advance=advance)


@pytest.fixture(params=["memory", "sqlite", "mysql"])
def rates(request: pytest.FixtureRequest) -> Rates:
    """The rates of two processes on one database."""
    rates: Rates = request.getfixturevalue(f"{request.param}_rates")
    return rates


def about(seconds: float) -> Any:
    """Equal seconds that are left after what a test has taken."""
    return pytest.approx(seconds - 10, abs=10.001)


async def test_a_burst_passes_at_once_and_the_next_waits_for_an_interval(rates: Rates) -> None:
    assert [await rates.take(burst=3) for _ in range(3)] == [0, 0, 0]
    assert await rates.take(burst=3) == about(HOUR)
    assert await rates.take(burst=3) == about(HOUR)


async def test_after_the_wait_one_is_let_through(rates: Rates) -> None:
    for _ in range(3):
        await rates.take(burst=3)
    for _ in range(2):
        await rates.advance(await rates.take(burst=3))
        assert await rates.take(burst=3) == 0
        assert await rates.take(burst=3) == about(HOUR)


async def test_without_a_burst_each_waits_for_an_interval(rates: Rates) -> None:
    assert await rates.take(burst=1) == 0
    wait = await rates.take(burst=1)
    await rates.advance(wait / 2)
    assert await rates.take(burst=1) == about(wait / 2)
    await rates.advance(wait / 2)
    assert await rates.take(burst=1) == 0


async def test_late_askers_lose_no_turn_and_get_no_more_than_a_burst(rates: Rates) -> None:
    for intervals, let_through in ((1_000, 3), (2, 2), (1, 1), (2.5, 2), (0.75, 1), (10, 3)):
        await rates.advance(intervals * HOUR)
        assert [await rates.take(burst=3) for _ in range(let_through)] == [0] * let_through
        assert 0 < await rates.take(burst=3) <= HOUR


async def test_no_wait_is_longer_than_the_interval_even_after_a_lower_rate(rates: Rates) -> None:
    assert await rates.take(burst=1, interval=24 * HOUR) == 0
    assert await rates.take(burst=1) == about(HOUR)
    await rates.advance(HOUR + 1)
    assert await rates.take(burst=1) == 0
    assert await rates.take(burst=1) == about(HOUR)


async def test_each_name_has_a_rate_of_its_own(rates: Rates) -> None:
    names = ["key", "Key", "ke", "x" * 48]
    assert [await rates.take(name=name, burst=1) for name in names] == [0] * len(names)
    await rates.push_back(2 * HOUR)
    waits = [await rates.take(name=name, burst=1) for name in names]
    assert waits == [about(2 * HOUR), about(HOUR), about(HOUR), about(HOUR)]


async def test_without_an_interval_all_are_let_through(rates: Rates) -> None:
    assert await rates.take(burst=1) == 0
    assert [await rates.take(interval=0, burst=1) for _ in range(5)] == [0] * 5
    assert await rates.take(burst=1) == about(HOUR)


@pytest.mark.parametrize("interval", [0.0, 0.001, HOUR, 10 * HOUR])
async def test_a_push_back_holds_all_for_its_seconds(rates: Rates, interval: float) -> None:
    await rates.push_back(5 * HOUR)
    assert await rates.take(interval=interval, burst=9) == about(5 * HOUR)
    await rates.advance(4 * HOUR)
    assert await rates.take(interval=interval, burst=9) == about(HOUR)
    await rates.advance(HOUR)
    assert await rates.take(interval=interval, burst=9) == 0


async def test_a_push_back_lengthens_another_and_never_shortens_it(rates: Rates) -> None:
    await rates.push_back(2 * HOUR)
    await rates.push_back(HOUR)
    assert await rates.take(burst=1) == about(2 * HOUR)
    await rates.push_back(3 * HOUR)
    assert await rates.take(burst=1) == about(3 * HOUR)


async def test_a_push_back_shortens_no_wait(rates: Rates) -> None:
    await rates.take(burst=1)
    await rates.push_back(1)
    assert await rates.take(burst=1) == about(HOUR)


async def test_what_is_given_back_another_can_have(rates: Rates) -> None:
    assert [await rates.take(burst=2) for _ in range(2)] == [0, 0]
    await rates.give_back()
    assert await rates.take(burst=2) == 0
    assert await rates.take(burst=2) == about(HOUR)


async def test_what_is_given_back_makes_no_burst_larger(rates: Rates) -> None:
    await rates.give_back()
    assert await rates.take(burst=2) == 0
    for _ in range(5):
        await rates.give_back()
    assert [await rates.take(burst=2) for _ in range(2)] == [0, 0]
    assert await rates.take(burst=2) == about(HOUR)


async def test_what_is_given_back_ends_no_push_back(rates: Rates) -> None:
    await rates.take(burst=1)
    await rates.push_back(HOUR / 2)
    await rates.give_back()
    assert await rates.take(burst=1) == about(HOUR / 2)
    await rates.advance(HOUR / 2)
    assert await rates.take(burst=1) == 0


async def test_of_many_who_ask_at_once_no_more_than_a_burst_pass(rates: Rates) -> None:
    async def ask(limits: RateLimits) -> list[float]:
        return [await limits.acquire("key", interval=HOUR, burst=20) for _ in range(5)]

    waits = [wait for each in await asyncio.gather(*map(ask, rates.limits * 4)) for wait in each]
    assert sorted(waits) == [0] * 20 + [about(HOUR)] * 20


async def test_many_who_wait_get_through_as_fast_as_the_rate_allows_and_no_faster(rates: Rates) -> None:
    interval, burst, wanted = 0.02, 5, 55
    passed = 0

    async def ask(limits: RateLimits) -> None:
        nonlocal passed
        while passed < wanted:
            if wait := await limits.acquire("key", interval=interval, burst=burst):
                await asyncio.sleep(wait)
            else:
                passed += 1
        ended_at.append(time.monotonic())

    ended_at: list[float] = []
    started_at = time.monotonic()
    await asyncio.gather(*map(ask, rates.limits * 4))
    # SQLite's clock is up to a millisecond behind.
    least = (passed - burst) * interval - 0.002
    assert least <= max(ended_at) - started_at < 5 * least
