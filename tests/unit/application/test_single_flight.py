"""Single-flight with bounded concurrency."""

import asyncio
import gc

import pytest

from pixyproxy.application.single_flight import SingleFlight
from pixyproxy.domain.errors import ContentStoreError, OverloadedError


class Workshop:
    """Makes a number of things, each when it is told to; `begun` are those that were begun."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.may_end = asyncio.Event()
        self.error: Exception | None = None

    async def make(self, name: str) -> str:
        self.begun.append(name)
        await self.may_end.wait()
        if self.error is not None:
            raise self.error
        return name


async def ask(flight: SingleFlight[str], workshop: Workshop, name: str) -> asyncio.Task[str]:
    """Return a task that has asked."""
    task = asyncio.create_task(flight.result(name, lambda: workshop.make(name)))
    for _ in range(3):
        await asyncio.sleep(0)
    return task


async def test_concurrent_calls_for_one_key_share_one_run() -> None:
    flight, workshop = SingleFlight[str](), Workshop()
    tasks = [await ask(flight, workshop, "a") for _ in range(50)]
    workshop.may_end.set()
    assert await asyncio.gather(*tasks) == ["a"] * 50
    assert workshop.begun == ["a"]


async def test_a_finished_run_is_not_reused_by_later_calls() -> None:
    flight, workshop = SingleFlight[str](), Workshop()
    workshop.may_end.set()
    for _ in range(2):
        assert await flight.result("a", lambda: workshop.make("a")) == "a"
    assert workshop.begun == ["a", "a"]


async def test_all_waiters_get_the_error_and_the_next_call_tries_again() -> None:
    flight, workshop = SingleFlight[str](), Workshop()
    tasks = [await ask(flight, workshop, "a") for _ in range(3)]
    workshop.error = ContentStoreError("The content store is full.")
    workshop.may_end.set()
    assert await asyncio.gather(*tasks, return_exceptions=True) == [workshop.error] * 3
    workshop.error = None
    assert await flight.result("a", lambda: workshop.make("a")) == "a"


async def test_a_cancelled_waiter_does_not_stop_the_others() -> None:
    flight, workshop = SingleFlight[str](), Workshop()
    first, second = [await ask(flight, workshop, "a") for _ in range(2)]
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled()
    workshop.may_end.set()
    assert await second == "a"
    assert workshop.begun == ["a"]


async def test_a_run_without_waiters_goes_on_and_its_error_is_dropped() -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    flight, workshop = SingleFlight[str](), Workshop()
    only = await ask(flight, workshop, "a")
    only.cancel()
    await asyncio.wait([only])
    workshop.error = ContentStoreError("The content store is full.")
    workshop.may_end.set()
    await asyncio.sleep(0.01)
    assert workshop.begun == ["a"]
    # asyncio reports an exception that was never retrieved when its task is collected.
    del only
    gc.collect()
    assert reported == []


async def test_no_more_run_or_wait_than_may() -> None:
    flight, workshop = SingleFlight[str](max_running=2, max_waiting=1), Workshop()
    tasks = [await ask(flight, workshop, name) for name in "abc"]
    assert workshop.begun == ["a", "b"]
    with pytest.raises(OverloadedError) as caught:
        await flight.result("d", lambda: workshop.make("d"))
    assert caught.value.retry_after > 0
    # Joining a running call takes no slot.
    tasks.append(await ask(flight, workshop, "c"))
    workshop.may_end.set()
    assert await asyncio.gather(*tasks) == ["a", "b", "c", "c"]
    assert await flight.result("d", lambda: workshop.make("d")) == "d"


async def test_it_is_idle_when_nothing_runs_or_waits() -> None:
    flight, workshop = SingleFlight[str](max_running=1), Workshop()
    await asyncio.wait_for(flight.idle(), 1)
    tasks = [await ask(flight, workshop, name) for name in "ab"]
    idle = asyncio.create_task(flight.idle())
    await asyncio.sleep(0)
    tasks.append(await ask(flight, workshop, "c"))
    assert not idle.done()
    workshop.may_end.set()
    await idle
    assert [task.result() for task in tasks] == ["a", "b", "c"]


async def test_closing_fails_the_waiters_and_starts_nothing() -> None:
    flight, workshop = SingleFlight[str](max_running=1), Workshop()
    tasks = [await ask(flight, workshop, name) for name in "aab"]
    await asyncio.wait_for(flight.close(), 1)
    for error in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(error, OverloadedError)
    with pytest.raises(OverloadedError):
        await flight.result("c", lambda: workshop.make("c"))
    assert workshop.begun == ["a"]


async def test_without_anything_to_break_off_the_end_is_at_once() -> None:
    await asyncio.wait_for(SingleFlight[str]().close(), 1)
