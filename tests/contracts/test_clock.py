"""The contract of `Clock`."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.system.clock import SystemClock
from pixyproxy.domain.ports import Clock


@pytest.fixture(params=[InMemoryClock, SystemClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    clock: Clock = request.param()
    return clock


@pytest.fixture(params=["UTC", "America/St_Johns", "Pacific/Kiritimati"])
def machine_time_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setitem(os.environ, "TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def test_the_time_is_in_utc(clock: Clock) -> None:
    assert clock.now().tzinfo is UTC


def test_the_time_does_not_go_back(clock: Clock) -> None:
    times = [clock.now() for _ in range(100)]
    assert times == sorted(times)


@pytest.mark.usefixtures("machine_time_zone")
def test_the_time_zone_of_the_machine_changes_nothing() -> None:
    now = SystemClock().now()
    assert now.utcoffset() == timedelta(0)
    assert abs(now.timestamp() - time.time()) < 5


def test_the_systems_clock_tells_microseconds() -> None:
    clock = SystemClock()
    assert any(clock.now().microsecond % 1000 for _ in range(100))


def test_the_clock_in_memory_goes_on_by_its_step_alone() -> None:
    start = datetime(2030, 5, 6, tzinfo=UTC)
    clock = InMemoryClock(start, step=timedelta(microseconds=1))
    assert [clock.now() for _ in range(3)] == [start + timedelta(microseconds=number) for number in range(3)]
