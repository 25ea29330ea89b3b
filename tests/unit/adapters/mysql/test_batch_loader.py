"""Keys that share a query."""

import asyncio
import gc
from collections.abc import Collection, Mapping

import pytest

from pixyproxy.adapters.mysql.batch_loader import BatchLoader
from pixyproxy.domain.errors import DBConnectionError


class Records:
    """A table of records that notes each query, and answers when it may."""

    def __init__(self) -> None:
        self.stored: dict[str, str] = {}
        self.queries: list[set[str]] = []
        self.error: Exception | None = None
        self.is_asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def load(self, keys: Collection[str]) -> Mapping[str, str]:
        self.queries.append(set(keys))
        self.is_asked.set()
        found = {key: self.stored[key] for key in keys if key in self.stored}
        await self.may_answer.wait()
        if self.error:
            raise self.error
        return found


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def batch_loader(records: Records) -> BatchLoader[str]:
    return BatchLoader(records.load)


async def begin(batch_loader: BatchLoader[str], keys: str) -> list[asyncio.Task[str | None]]:
    """Look keys up one after the other, all before any of them is answered."""
    tasks = []
    for key in keys:
        tasks.append(asyncio.create_task(batch_loader.find(key)))
        for _ in range(3):
            await asyncio.sleep(0)
    return tasks


async def test_keys_that_are_loaded_at_once_share_one_query(records: Records, batch_loader: BatchLoader[str]) -> None:
    records.stored = {"a": "A", "b": "B"}
    assert await asyncio.gather(*(batch_loader.find(key) for key in "abca")) == ["A", "B", None, "A"]
    assert records.queries == [{"a", "b", "c"}]


async def test_keys_that_are_loaded_while_two_queries_run_share_the_next(
    records: Records, batch_loader: BatchLoader[str]
) -> None:
    records.stored = {key: key.upper() for key in "abcdef"}
    records.may_answer.clear()
    tasks = await begin(batch_loader, "abcdef")
    assert records.queries == [{"a"}, {"b"}]
    records.may_answer.set()
    assert await asyncio.gather(*tasks) == list("ABCDEF")
    assert records.queries == [{"a"}, {"b"}, {"c", "d", "e", "f"}]


async def test_a_query_asks_for_a_hundred_records_at_most(records: Records, batch_loader: BatchLoader[str]) -> None:
    records.stored = {str(number): f"record {number}" for number in range(250)}
    assert await asyncio.gather(*map(batch_loader.find, records.stored)) == list(records.stored.values())
    assert [len(query) for query in records.queries] == [100, 100, 50]


async def test_no_key_is_answered_by_a_query_that_ran_already(records: Records, batch_loader: BatchLoader[str]) -> None:
    records.may_answer.clear()
    early = await begin(batch_loader, "ab")
    records.stored = {"a": "A"}
    late = await begin(batch_loader, "a")
    records.may_answer.set()
    assert await asyncio.gather(*early, *late) == [None, None, "A"]


async def test_a_query_that_hangs_holds_up_no_others(records: Records) -> None:
    hangs = asyncio.Event()

    async def load(keys: Collection[str]) -> Mapping[str, str]:
        if "a" in keys:
            await hangs.wait()
        return await records.load(keys)

    records.stored = {key: key.upper() for key in "abc"}
    batch_loader = BatchLoader(load)
    stuck = await begin(batch_loader, "a")
    async with asyncio.timeout(10):
        assert await batch_loader.find("b") == "B"
        assert await batch_loader.find("c") == "C"
    hangs.set()
    assert await stuck[0] == "A"


async def test_all_get_the_error_of_their_query_and_the_next_query_is_a_new_one(
    records: Records, batch_loader: BatchLoader[str]
) -> None:
    records.stored = {"a": "A"}
    records.error = DBConnectionError("The database does not answer.")
    results = await asyncio.gather(*(batch_loader.find(key) for key in "abc"), return_exceptions=True)
    assert results == [records.error] * 3
    records.error = None
    assert await batch_loader.find("a") == "A"


async def test_a_query_that_is_cancelled_leaves_no_caller_waiting(
    records: Records, batch_loader: BatchLoader[str]
) -> None:
    records.stored = {"a": "A"}
    records.may_answer.clear()
    (caller,) = await begin(batch_loader, "a")
    (query,) = asyncio.all_tasks() - {asyncio.current_task(), caller}
    query.cancel()
    await asyncio.wait([caller], timeout=10)
    assert caller.cancelled()
    records.may_answer.set()
    assert await asyncio.wait_for(batch_loader.find("a"), 10) == "A"


async def test_a_caller_that_is_cancelled_takes_the_query_from_no_other(
    records: Records, batch_loader: BatchLoader[str]
) -> None:
    records.stored = {"a": "A", "b": "B"}
    records.may_answer.clear()
    tasks = [asyncio.create_task(batch_loader.find(key)) for key in "aab"]
    await records.is_asked.wait()
    tasks[0].cancel()
    await asyncio.wait(tasks[:1])
    records.may_answer.set()
    assert tasks[0].cancelled()
    assert (await tasks[1], await tasks[2]) == ("A", "B")


@pytest.mark.parametrize("fails", [False, True])
async def test_a_query_that_no_caller_waits_for_any_more_ends_without_a_complaint(
    records: Records, batch_loader: BatchLoader[str], fails: bool
) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    records.error = DBConnectionError("The database does not answer.") if fails else None
    records.may_answer.clear()
    tasks = await begin(batch_loader, "ab")
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    records.may_answer.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert all(task.cancelled() for task in tasks)
    # An exception that was not retrieved is reported when it is freed.
    tasks.clear()
    del task
    records.error = None
    await batch_loader.find("a")
    gc.collect()
    assert complaints == []


def test_one_loader_serves_one_event_loop_after_the_other(records: Records, batch_loader: BatchLoader[str]) -> None:
    records.stored = {"a": "A"}

    async def give_up() -> None:
        records.may_answer = asyncio.Event()
        await begin(batch_loader, "aab")

    async def look_up() -> str | None:
        records.may_answer = asyncio.Event()
        records.may_answer.set()
        return await asyncio.wait_for(batch_loader.find("a"), 10)

    asyncio.run(give_up())
    assert asyncio.run(look_up()) == "A"
