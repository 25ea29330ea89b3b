"""The order in which passwords are verified."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pixyproxy.application.login_queue import LoginQueue
from pixyproxy.domain.errors import OverloadedError
from pixyproxy.domain.user import UserName


class Turns:
    """Takes turns in a queue, each held until `end` is called with its name."""

    def __init__(self, queue: LoginQueue) -> None:
        self.begun: list[str] = []
        self._queue = queue
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def ask(self, name: str, address: str, *, is_familiar: bool = False) -> None:
        self._ends[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._hold(name, address, is_familiar=is_familiar))
        await settle()

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self._tasks[name]
        await settle()

    async def cancel(self, *names: str) -> None:
        for name in names:
            self._tasks[name].cancel()
        await settle()

    async def _hold(self, name: str, address: str, *, is_familiar: bool) -> None:
        async with self._queue.turn(UserName(name), address, is_familiar=is_familiar):
            self.begun.append(name)
            await self._ends[name].wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def held(queue: LoginQueue, *turns: tuple[str, str]) -> AsyncIterator[Turns]:
    asked = Turns(queue)
    for name, address in turns:
        await asked.ask(name, address)
    try:
        yield asked
    finally:
        await asked.cancel(*(name for name, _ in turns))


async def test_one_login_is_verified_at_a_time() -> None:
    async with held(LoginQueue(), ("ann", "a"), ("bob", "b")) as turns:
        assert turns.begun == ["ann"]
        await turns.end("ann")
        assert turns.begun == ["ann", "bob"]


async def test_addresses_take_turns() -> None:
    flood = [(f"stranger{number}", "a") for number in range(5)]
    async with held(LoginQueue(), *flood, ("ann", "b"), ("bob", "b"), ("cat", "c")) as turns:
        for name in ("stranger0", "stranger1", "ann", "cat", "stranger2", "bob"):
            await turns.end(name)
        assert turns.begun == ["stranger0", "stranger1", "ann", "cat", "stranger2", "bob", "stranger3"]


async def test_a_familiar_login_does_not_wait_for_others() -> None:
    async with held(LoginQueue(), ("stranger", "a")) as turns:
        await turns.ask("ann", "a", is_familiar=True)
        await turns.ask("bob", "a", is_familiar=True)
        assert turns.begun == ["stranger", "ann"]
        await turns.end("ann")
        assert turns.begun == ["stranger", "ann", "bob"]


@pytest.mark.parametrize("has_turn", [False, True], ids=["waiting", "just given the turn"])
async def test_a_cancelled_waiter_passes_the_turn_on(*, has_turn: bool) -> None:
    async with held(LoginQueue(), ("ann", "a"), ("bob", "b"), ("cat", "c")) as turns:
        if has_turn:
            # The turn is passed on and taken away before the event loop wakes the one that waits for it.
            turns._ends["ann"].set()
            turns._tasks["ann"].add_done_callback(lambda _: turns._tasks["bob"].cancel())
            await settle()
        else:
            await turns.cancel("bob")
        if not has_turn:
            await turns.end("ann")
        assert turns.begun[-1] == "cat"
        await turns.end("cat")
        await turns.ask("dan", "d")
        assert turns.begun[-1] == "dan"


async def test_an_error_passes_the_turn_on() -> None:
    queue = LoginQueue()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            async with queue.turn(UserName("ann"), "a", is_familiar=False):
                raise ZeroDivisionError


async def test_neither_an_address_nor_a_name_takes_more_than_its_share() -> None:
    queue = LoginQueue(places=10, share=2)
    async with held(queue, ("ann", "a"), ("bob", "a"), ("cat", "b")), held(queue, ("cat", "c")):
        for name, address in (("dan", "a"), ("cat", "d")):
            with pytest.raises(OverloadedError):
                await queue.turn(UserName(name), address, is_familiar=False).__aenter__()
    async with queue.turn(UserName("cat"), "a", is_familiar=False):
        pass


async def test_a_full_queue_turns_logins_away_until_a_place_is_free() -> None:
    queue = LoginQueue(places=2)
    async with held(queue, ("ann", "a"), ("bob", "b")) as turns:
        with pytest.raises(OverloadedError) as caught:
            await queue.turn(UserName("cat"), "c", is_familiar=False).__aenter__()
        assert caught.value.retry_after > 0
        await turns.end("ann")
        await turns.ask("cat", "c")
        await turns.end("bob")
        assert turns.begun == ["ann", "bob", "cat"]
        await turns.end("cat")
