"""What is being made, once for all who ask for it, and how much of it at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from pixyproxy.domain.errors import OverloadedError

T = TypeVar("T")

RETRY_AFTER: Final = 5.0

# How long the end of what is broken off is waited for: a thread that hangs can't be ended.
_BREAK_SECONDS: Final = 10.0


class SingleFlight(Generic[T]):
    """Lets at most `max_running` calls run and at most `max_waiting` more wait, and turns the rest away.

    Each goes on when those who asked for it have gone away.
    """

    def __init__(self, *, max_running: int = 2, max_waiting: int = 64) -> None:
        self._slots = asyncio.Semaphore(max_running)
        self._max_count = max_running + max_waiting
        self._tasks: dict[Hashable, asyncio.Task[T]] = {}
        self._is_closed = False

    async def result(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """Return what `make` returns, or raise its error; who asks for the same `key` meanwhile, gets the same.

        Raises `OverloadedError` when nothing more may wait.
        """
        task = self._tasks.get(key)
        if task is None:
            if self._is_closed:
                raise _closed()
            if len(self._tasks) >= self._max_count:
                raise OverloadedError("Too many variants are being made at once.", retry_after=RETRY_AFTER)
            task = asyncio.create_task(self._run(make), name=f"making {key}")
            self._tasks[key] = task
            task.add_done_callback(lambda task: self._end(key, task))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Break off what is being made, and let nothing be made any more."""
        self._is_closed = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_BREAK_SECONDS)

    async def _run(self, make: Callable[[], Awaitable[T]]) -> T:
        try:
            async with self._slots:
                return await make()
        except asyncio.CancelledError:
            if self._is_closed:
                # Whoever waits was not cancelled.
                raise _closed() from None
            raise

    def _end(self, key: Hashable, task: asyncio.Task[T]) -> None:
        del self._tasks[key]
        if not task.cancelled():
            # Perhaps nobody is left who would look at the error.
            task.exception()


def _closed() -> OverloadedError:
    return OverloadedError("PixyProxy is being stopped.", retry_after=RETRY_AFTER)
