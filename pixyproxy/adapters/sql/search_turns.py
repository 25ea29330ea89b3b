"""A limit on concurrent searches for words, which may take long."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pixyproxy.domain.errors import OverloadedError

# Waiting searches per running one.
_WAITING_EACH = 8


class SearchTurns:
    """Limits how many searches a process runs at once, and how long each takes.

    Takes the number of concurrent searches, and the seconds that each may take or wait.
    """

    def __init__(self, *, max_running: int, seconds: float) -> None:
        self._seconds = seconds
        self._slots = asyncio.Semaphore(max_running)
        self._max_count = max_running * (1 + _WAITING_EACH)
        self._count = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[float]:
        """Wait for a turn and hold it for the block; yield the time of `time.monotonic` at which it must end.

        Raises `OverloadedError` if too many wait, or the turn does not come in time.
        """
        if self._count >= self._max_count:
            raise self.overloaded()
        self._count += 1
        try:
            try:
                async with asyncio.timeout(self._seconds):
                    await self._slots.acquire()
            except TimeoutError:
                raise self.overloaded() from None
            try:
                yield time.monotonic() + self._seconds
            finally:
                self._slots.release()
        finally:
            self._count -= 1

    def overloaded(self) -> OverloadedError:
        """Return the error of a search that does not get its turn."""
        return OverloadedError("Too many searches run at once.", retry_after=self._seconds)

    def too_slow(self) -> OverloadedError:
        """Return the error of a search that takes too long."""
        detail = "The search takes too long: leave out its count, or look for fewer or longer words."
        return OverloadedError(detail, retry_after=self._seconds)
