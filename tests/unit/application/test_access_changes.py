"""Whether what is remembered still holds."""

import asyncio

import pytest

from pixyproxy.adapters.memory.access_version import InMemoryAccessVersion
from pixyproxy.application import access_changes
from pixyproxy.application.access_changes import LOOK_SECONDS, TRUST_SECONDS, AccessChanges
from pixyproxy.domain.errors import DBConnectionError
from tests.doubles.seconds import Seconds

SOON = 60.0


class WatchedAccessVersion(InMemoryAccessVersion):
    """Counts the looks, and answers when `is_open` is set, with an error if it is away."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0
        self.is_away = False
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def current(self) -> int:
        self.looks += 1
        if self.is_away:
            raise DBConnectionError("The database is away.")
        version = await super().current()
        await self.is_open.wait()
        return version


@pytest.fixture
def seconds() -> Seconds:
    return Seconds(1_000.0)


@pytest.fixture
def version() -> WatchedAccessVersion:
    return WatchedAccessVersion()


@pytest.fixture
def access(version: WatchedAccessVersion, seconds: Seconds) -> AccessChanges:
    return AccessChanges(version, monotonic=seconds)


async def test_many_requests_look_once_in_two_seconds(
    access: AccessChanges, version: WatchedAccessVersion, seconds: Seconds
) -> None:
    mark = await access.mark()
    for passed in (0.0, LOOK_SECONDS - 0.001):
        seconds.passed = 1_000.0 + passed
        assert all(await asyncio.gather(*(access.holds(mark) for _ in range(100))))
    assert version.looks == 1
    seconds.passed = 1_000.0 + LOOK_SECONDS
    assert all(await asyncio.gather(*(access.holds(mark) for _ in range(100))))
    assert version.looks == 2


async def test_a_change_of_another_process_counts_at_the_next_look(
    access: AccessChanges, version: WatchedAccessVersion, seconds: Seconds
) -> None:
    mark = await access.mark()
    version.grow()
    assert await access.holds(mark)
    seconds.passed += LOOK_SECONDS
    assert not await access.holds(mark)
    assert await access.holds(await access.mark())


async def test_a_version_that_goes_back_is_a_change_too(
    access: AccessChanges, version: WatchedAccessVersion, seconds: Seconds
) -> None:
    """As after a restored backup, or on a replica that lags behind."""
    version.grow()
    mark = await access.mark()
    version._changes = 0
    seconds.passed += LOOK_SECONDS
    assert not await access.holds(mark)


async def test_a_change_of_this_process_counts_at_once_and_asks_no_database(
    access: AccessChanges, version: WatchedAccessVersion
) -> None:
    mark = await access.mark()
    access.note_change()
    assert not await access.holds(mark)
    assert await access.has_changed_since(mark)
    assert version.looks == 1


async def test_after_five_seconds_nothing_holds_whatever_the_version(access: AccessChanges, seconds: Seconds) -> None:
    mark = await access.mark()
    seconds.passed += TRUST_SECONDS - 0.001
    assert await access.holds(mark)
    seconds.passed += 0.001
    assert not await access.holds(mark)
    assert not await access.has_changed_since(mark)


async def test_a_change_during_a_look_counts_at_the_next_one(
    access: AccessChanges, version: WatchedAccessVersion, seconds: Seconds
) -> None:
    """The look confirms only the moment of its start."""
    await access.mark()
    seconds.passed += LOOK_SECONDS
    mark = await access.mark()
    version.is_open.clear()
    look = asyncio.create_task(access.holds(mark))
    await asyncio.sleep(0.01)
    version.grow()
    seconds.passed += 1.0
    version.is_open.set()
    assert await look
    seconds.passed += LOOK_SECONDS - 1.0
    assert not await access.holds(mark)


async def test_a_database_that_is_away_is_done_without_for_five_seconds(
    access: AccessChanges, version: WatchedAccessVersion, seconds: Seconds
) -> None:
    await access.mark()
    version.is_away = True
    seconds.passed += LOOK_SECONDS
    mark = await access.mark()
    assert await access.holds(mark)
    seconds.passed += TRUST_SECONDS - LOOK_SECONDS - 0.001
    assert await access.holds(mark)
    seconds.passed += 0.001
    for _ in range(2):
        with pytest.raises(DBConnectionError):
            await access.holds(mark)
    version.is_away = False
    assert await access.holds(mark)


async def test_a_hanging_database_holds_no_request_up_while_it_may_be_done_without(
    access: AccessChanges, version: WatchedAccessVersion, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_changes, "PATIENCE_SECONDS", 0.01)
    mark = await access.mark()
    version.is_open.clear()
    seconds.passed += LOOK_SECONDS
    async with asyncio.timeout(SOON):
        assert all(await asyncio.gather(*(access.holds(mark) for _ in range(20))))
        assert await access.holds(mark)
    assert version.looks == 2


async def test_a_hanging_database_is_given_up(
    access: AccessChanges, version: WatchedAccessVersion, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_changes, "TRUST_SECONDS", 0.01)
    mark = await access.mark()
    version.is_open.clear()
    seconds.passed += TRUST_SECONDS
    async with asyncio.timeout(SOON):
        with pytest.raises(DBConnectionError, match="does not answer"):
            await access.has_changed_since(mark)


async def test_a_look_goes_on_when_the_request_that_began_it_is_gone(
    access: AccessChanges, version: WatchedAccessVersion, seconds: Seconds
) -> None:
    mark = await access.mark()
    seconds.passed += TRUST_SECONDS
    version.is_open.clear()
    looks = [asyncio.create_task(access.has_changed_since(mark)) for _ in range(2)]
    await asyncio.sleep(0.01)
    looks[0].cancel()
    version.is_open.set()
    async with asyncio.timeout(SOON):
        assert not await looks[1]
    assert version.looks == 2


async def test_without_any_answer_of_the_database_there_is_no_mark(
    access: AccessChanges, version: WatchedAccessVersion
) -> None:
    version.is_away = True
    with pytest.raises(DBConnectionError):
        await access.mark()
