"""Fair queue of password verifications."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from pixyproxy.domain.errors import OverloadedError
from pixyproxy.domain.user import UserName

RETRY_AFTER: Final = 2.0


class LoginQueue:
    """Two lanes that each verify one password at a time: one for familiar logins, one for all others.

    A password hash takes a core, so a flood of wrong passwords takes one core at most and never the familiar lane. Each
    lane has `places` places; one name, or one address, has at most `share` of them. Addresses take turns.
    """

    def __init__(self, *, places: int = 256, share: int = 64) -> None:
        self._familiar = _Lane(places, share)
        self._others = _Lane(places, share)

    @asynccontextmanager
    async def turn(self, name: UserName, address: str, *, is_familiar: bool) -> AsyncIterator[None]:
        """Wait for a turn and hold it for the block; raise `OverloadedError` when the lane is full."""
        lane = self._familiar if is_familiar else self._others
        async with lane.turn(name, address):
            yield


class _Lane:
    def __init__(self, places: int, share: int) -> None:
        self._places = places
        self._share = share
        self._held: Counter[tuple[str, str]] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._is_busy = False

    @asynccontextmanager
    async def turn(self, name: UserName, address: str) -> AsyncIterator[None]:
        shares = ("name", name), ("address", address)
        if self._held.total() >= self._places * len(shares) or any(self._held[key] >= self._share for key in shares):
            raise OverloadedError("Too many logins are being verified at once.", retry_after=RETRY_AFTER)
        self._held.update(shares)
        try:
            await self._wait(address)
            try:
                yield
            finally:
                self._pass_on()
        finally:
            self._held -= Counter(shares)

    async def _wait(self, address: str) -> None:
        if not self._is_busy:
            self._is_busy = True
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(address, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            address, line = next(iter(self._waiting.items()))
            turn = line.popleft()
            if line:
                self._waiting.move_to_end(address)
            else:
                del self._waiting[address]
            if not turn.done():
                turn.set_result(None)
                return
        self._is_busy = False
