"""Single-flight with bounded concurrency."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from pixyproxy.domain.errors import OverloadedError

T = TypeVar("T")

RETRY_AFTER: Final = 5.0

# The most that cancelled calls may take to end: a hanging thread can't be ended.
_BREAK_SECONDS: Final = 10.0


class SingleFlight(Generic[T]):
    """Runs at most `max_running` calls at once, queues at most `max_waiting` more and refuses the rest.

    Each call goes on after its callers have left.
    """

    def __init__(self, *, max_running: int = 2, max_waiting: int = 256) -> None:
        self._slots = asyncio.Semaphore(max_running)
        self._max_count = max_running + max_waiting
        self._tasks: dict[Hashable, asyncio.Task[T]] = {}
        self._is_closed = False

    async def result(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """Return the result of `make`, or raise its error; calls with the same `key` share one run.

        Raises `OverloadedError` when the queue is full.
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

    async def idle(self) -> None:
        """Return when no call is running or queued."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    async def close(self) -> None:
        """Cancel all calls, and refuse new ones."""
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
                # The callers themselves were not cancelled.
                raise _closed() from None
            raise

    def _end(self, key: Hashable, task: asyncio.Task[T]) -> None:
        del self._tasks[key]
        if not task.cancelled():
            # Retrieve the error: its callers may be gone.
            task.exception()


def _closed() -> OverloadedError:
    return OverloadedError("PixyProxy is being stopped.", retry_after=RETRY_AFTER)
