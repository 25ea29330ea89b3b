"""Detecting servers that hang."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from pymysql import err
from pymysql.constants import CR

# Work that takes longer has its server asked whether it still answers, again and again.
_SECONDS: Final = 2.0


class SlowWork:
    """Ends the work on a server that hangs, long before its own time-out.

    A frozen server keeps its connections, and the system of its machine acknowledges what is sent: on a connection, it
    looks like a server that works for long. So slow work has its server asked on a connection of its own: takes
    `answers`, which says whether the server at a place does.
    """

    def __init__(self, answers: Callable[[int], Awaitable[bool]]) -> None:
        self._answers = answers
        self._bounds: dict[asyncio.Timeout, int] = {}
        self._lost: set[asyncio.Timeout] = set()
        self._inquiries: dict[int, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def watch(self, place: int, seconds: float | None) -> AsyncIterator[None]:
        """Give the block `seconds`, and raise the driver's error of a lost connection if the server hangs."""
        timer = asyncio.get_running_loop().call_later(_SECONDS, self._inquire, place)
        bound = asyncio.timeout(seconds)
        try:
            async with bound:
                self._bounds[bound] = place
                try:
                    yield
                finally:
                    timer.cancel()
                    self._bounds.pop(bound, None)
        except TimeoutError as exc:
            if bound in self._lost:
                raise err.OperationalError(CR.CR_SERVER_LOST, "The server hangs.") from exc
            raise
        finally:
            self._lost.discard(bound)

    async def close(self) -> None:
        """Ask no more."""
        for inquiry in (inquiries := list(self._inquiries.values())):
            inquiry.cancel()
        await asyncio.gather(*inquiries, return_exceptions=True)

    def _inquire(self, place: int) -> None:
        if place not in self._inquiries:
            self._inquiries[place] = asyncio.create_task(self._ask_while_working(place))

    async def _ask_while_working(self, place: int) -> None:
        try:
            while place in self._bounds.values():
                if not await self._answers(place):
                    self._end(place)
                    return
                await asyncio.sleep(_SECONDS)
        finally:
            del self._inquiries[place]

    def _end(self, place: int) -> None:
        now = asyncio.get_running_loop().time()
        for bound in [bound for bound, at in self._bounds.items() if at == place]:
            del self._bounds[bound]
            if not bound.expired():
                self._lost.add(bound)
                bound.reschedule(now)
