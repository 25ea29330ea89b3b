"""Look-ups that are joined into one query."""

import asyncio
import gc
from collections.abc import Collection, Mapping

import pytest

from pixyproxy.adapters.mysql import batch_loader as batch_loader_module
from pixyproxy.adapters.mysql.batch_loader import BatchLoader
from pixyproxy.domain.errors import DBConnectionError


class Records:
    """A table of records that writes down what it is asked for, and answers when it may."""

    def __init__(self) -> None:
        self.stored: dict[str, str] = {}
        self.queries: list[set[str]] = []
        self.error: Exception | None = None
        self.is_asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def ask(self, keys: Collection[str]) -> Mapping[str, str]:
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
    return BatchLoader(records.ask)


async def test_keys_that_are_looked_up_at_once_share_one_query(
    records: Records, batch_loader: BatchLoader[str]
) -> None:
    records.stored = {"a": "A", "b": "B"}
    assert await asyncio.gather(*(batch_loader.find(key) for key in "abca")) == ["A", "B", None, "A"]
    assert records.queries == [{"a", "b", "c"}]


async def test_a_key_that_comes_a_little_later_joins_the_query(
    records: Records, batch_loader: BatchLoader[str]
) -> None:
    records.stored = {"a": "A", "b": "B"}
    early = asyncio.create_task(batch_loader.find("a"))
    for _ in range(batch_loader_module._TURNS):
        await asyncio.sleep(0)
    assert (await batch_loader.find("b"), await early) == ("B", "A")
    assert records.queries == [{"a", "b"}]


async def test_a_query_asks_for_a_hundred_records_at_most(records: Records, batch_loader: BatchLoader[str]) -> None:
    records.stored = {str(number): f"record {number}" for number in range(250)}
    assert await asyncio.gather(*map(batch_loader.find, records.stored)) == list(records.stored.values())
    assert [len(query) for query in records.queries] == [100, 100, 50]


async def test_no_key_is_answered_by_a_query_that_ran_already(records: Records, batch_loader: BatchLoader[str]) -> None:
    records.may_answer.clear()
    early = asyncio.create_task(batch_loader.find("a"))
    await records.is_asked.wait()
    records.stored = {"a": "A"}
    late = asyncio.create_task(batch_loader.find("a"))
    await asyncio.sleep(0)
    records.may_answer.set()
    assert (await early, await late) == (None, "A")


async def begin(batch_loader: BatchLoader[str], keys: str) -> list[asyncio.Task[str | None]]:
    """Look keys up one after the other, all before any of them is answered."""
    asking = []
    for key in keys:
        asking.append(asyncio.create_task(batch_loader.find(key)))
        for _ in range(2 * batch_loader_module._TURNS):
            await asyncio.sleep(0)
    return asking


async def test_what_is_looked_up_while_a_query_runs_is_asked_for_in_the_next(
    records: Records, batch_loader: BatchLoader[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_loader_module, "_PATIENCE_SECONDS", 60)
    records.stored = {key: key.upper() for key in "abcdef"}
    records.may_answer.clear()
    asking = await begin(batch_loader, "abcdef")
    assert records.queries == [{"a"}]
    records.may_answer.set()
    assert await asyncio.gather(*asking) == list("ABCDEF")
    assert records.queries == [{"a"}, {"b", "c", "d", "e", "f"}]


async def test_a_query_that_takes_long_holds_up_no_others(records: Records, batch_loader: BatchLoader[str]) -> None:
    records.stored = {key: key.upper() for key in "abcdef"}
    records.may_answer.clear()
    stuck = await begin(batch_loader, "a")
    records.is_asked.clear()
    asking = await begin(batch_loader, "bcd")
    async with asyncio.timeout(10):
        await records.is_asked.wait()
    asking += await begin(batch_loader, "ef")
    # Longer than the second had to wait: if both take long, the database does.
    await asyncio.sleep(0.1)
    assert records.queries == [{"a"}, {"b", "c", "d"}]
    records.may_answer.set()
    assert await asyncio.gather(*stuck, *asking) == list("ABCDEF")
    assert records.queries == [{"a"}, {"b", "c", "d"}, {"e", "f"}]


async def test_queries_that_do_not_take_long_run_one_by_one(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_loader_module, "_PATIENCE_SECONDS", 0.3)
    end = asyncio.get_running_loop().time() + 1.0
    running = most = 0

    async def ask(keys: Collection[str]) -> Mapping[str, str]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return await records.ask(keys)

    batch_loader = BatchLoader(ask)

    async def go_on_asking(key: str, pause: float) -> None:
        while asyncio.get_running_loop().time() < end:
            await batch_loader.find(key)
            await asyncio.sleep(pause)

    await asyncio.gather(*(go_on_asking(key, 0.003 * number) for number, key in enumerate("abcdef")))
    assert most == 1


async def test_nobody_waits_who_comes_when_the_last_was_answered(
    batch_loader: BatchLoader[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_loader_module, "_PATIENCE_SECONDS", 60)
    async with asyncio.timeout(10):
        for _ in range(3):
            assert await batch_loader.find("a") is None


async def test_whoever_loses_patience_too_early_asks_for_nothing(
    records: Records, batch_loader: BatchLoader[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_loader_module, "_PATIENCE_SECONDS", 0)
    monkeypatch.setattr(batch_loader_module, "_TURNS", 100)
    await asyncio.gather(batch_loader.find("a"), batch_loader.find("b"))
    for _ in range(200):
        await asyncio.sleep(0)
    assert records.queries == [{"a", "b"}]


async def test_who_waits_behind_a_query_that_was_cancelled_is_answered(
    records: Records, batch_loader: BatchLoader[str]
) -> None:
    records.stored = {"a": "A", "b": "B"}
    records.may_answer.clear()
    early, late = await begin(batch_loader, "a"), await begin(batch_loader, "b")
    (query,) = asyncio.all_tasks() - {asyncio.current_task(), *early, *late}
    query.cancel()
    await asyncio.wait(early, timeout=10)
    records.may_answer.set()
    assert early[0].cancelled()
    assert await asyncio.wait_for(late[0], 10) == "B"


async def test_queries_that_failed_or_were_cancelled_are_in_nobodys_way(
    records: Records, batch_loader: BatchLoader[str]
) -> None:
    records.stored = {"a": "A"}
    records.may_answer.clear()
    for _ in range(2):
        asking = asyncio.create_task(batch_loader.find("a"))
        await asyncio.sleep(0.01)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.wait([asking])
    records.may_answer.set()
    records.error = DBConnectionError("The database does not answer.")
    await asyncio.gather(*(batch_loader.find(str(number)) for number in range(300)), return_exceptions=True)
    records.error = None
    assert await asyncio.wait_for(batch_loader.find("a"), 1) == "A"


async def test_all_get_the_error_of_their_query_and_the_next_query_is_a_new_one(
    records: Records, batch_loader: BatchLoader[str]
) -> None:
    records.stored = {"a": "A"}
    records.error = DBConnectionError("The database does not answer.")
    results = await asyncio.gather(*(batch_loader.find(key) for key in "abc"), return_exceptions=True)
    assert results == [records.error] * 3
    records.error = None
    assert await batch_loader.find("a") == "A"


async def test_who_is_cancelled_takes_the_query_from_nobody(records: Records, batch_loader: BatchLoader[str]) -> None:
    records.stored = {"a": "A", "b": "B"}
    records.may_answer.clear()
    asking = [asyncio.create_task(batch_loader.find(key)) for key in "aab"]
    await records.is_asked.wait()
    asking[0].cancel()
    await asyncio.wait(asking[:1])
    records.may_answer.set()
    assert asking[0].cancelled()
    assert (await asking[1], await asking[2]) == ("A", "B")


@pytest.mark.parametrize("fails", [False, True])
async def test_a_query_that_nobody_waits_for_any_more_ends_in_peace(
    records: Records, batch_loader: BatchLoader[str], fails: bool
) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    records.error = DBConnectionError("The database does not answer.") if fails else None
    records.may_answer.clear()
    asking = [asyncio.create_task(batch_loader.find(key)) for key in "ab"]
    await records.is_asked.wait()
    for task in asking:
        task.cancel()
    await asyncio.wait(asking)
    records.may_answer.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert all(task.cancelled() for task in asking)
    # What nobody has looked at complains when it is forgotten.
    asking.clear()
    del task
    records.error = None
    await batch_loader.find("a")
    gc.collect()
    assert complaints == []


async def test_a_query_that_was_cancelled_before_it_began_is_joined_by_nobody(
    records: Records, batch_loader: BatchLoader[str]
) -> None:
    asking = asyncio.create_task(batch_loader.find("a"))
    await asyncio.sleep(0)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.wait([asking])
    records.stored = {"a": "A"}
    assert await asyncio.wait_for(batch_loader.find("a"), 1) == "A"
    assert records.queries == [{"a"}]


def test_an_event_loop_that_ended_is_no_hindrance_to_the_next(records: Records, batch_loader: BatchLoader[str]) -> None:
    records.stored = {"a": "A"}
    ended = asyncio.new_event_loop()
    asking = ended.create_task(batch_loader.find("a"))
    try:
        # One turn: the look-up begins, and its query does not.
        ended.call_soon(ended.stop)
        ended.run_forever()
        assert records.queries == []
        assert asyncio.run(batch_loader.find("a")) == "A"
    finally:
        ended.run_until_complete(asking)
        ended.close()
