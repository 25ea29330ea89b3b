"""The generations that this process runs, whoever waits for them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Final
from uuid import UUID

from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import ImageRepository

# How soon what another process does is noticed: at first, and after a while, so that many who wait are no load.
_POLL_SECONDS: Final = 0.25
_POLL_SECONDS_MAX: Final = 2.0

# How long the end of what is broken off may take: a disk that hangs must not hold up the end of the process.
_BREAK_SECONDS: Final = 10.0


class Generations:
    """Runs each generation in a task of its own, which goes on when the client that asked for it has gone away.

    `on_end` is told the guid of each that has ended, and its error if there was one.
    """

    def __init__(self, on_end: Callable[[UUID, BaseException | None], None] = lambda _guid, _error: None) -> None:
        self._on_end = on_end
        self._tasks: dict[UUID, asyncio.Task[Image]] = {}
        self._stop_waiting = asyncio.Event()

    def __contains__(self, guid: UUID) -> bool:
        """Whether this process is at work on the image."""
        return guid in self._tasks

    def __len__(self) -> int:
        """How many images this process is at work on."""
        return len(self._tasks)

    def start(self, guid: UUID, work: Coroutine[Any, Any, Image]) -> None:
        """Run `work`, which brings the image to a final state."""
        task = asyncio.create_task(work, name=f"generation {guid}")
        self._tasks[guid] = task
        task.add_done_callback(lambda task: self._end(guid, task))

    async def result(self, guid: UUID, seconds: float) -> Image | None:
        """Return what the work on the image returned, or raise its error; None when it takes longer than `seconds`."""
        task = self._tasks[guid]
        await self._wait([task], seconds)
        return task.result() if task.done() else None

    async def follow(self, images: ImageRepository, guid: UUID, seconds: float | None = None) -> AsyncIterator[Image]:
        """Yield the image as it is, then each time its state has changed, until it is final or the waiting is over.

        It may be made by any process.
        """
        clock = asyncio.get_running_loop().time
        ends_at = None if seconds is None else clock() + seconds
        last = None
        poll = _POLL_SECONDS
        while True:
            image = await images.get(guid)
            if image.status is not last:
                last = image.status
                yield image
            rest = poll if ends_at is None else min(poll, ends_at - clock())
            poll = min(poll * 1.5, _POLL_SECONDS_MAX)
            if image.status.is_final or rest <= 0 or self._stop_waiting.is_set():
                return
            await self._wait([self._tasks[guid]] if guid in self._tasks else [], rest)

    def stop_waiting(self) -> None:
        """End all waiting, as if its time were over; the generations go on until `close`."""
        self._stop_waiting.set()

    async def close(self, seconds: float) -> Sequence[UUID]:
        """Wait for at most so long until all have ended, break off the rest, and return the guids of these.

        They stay as they are in the database, and are recovered when their leases are over.
        """
        if self._tasks:
            everything = asyncio.gather(*self._tasks.values(), return_exceptions=True)
            await self._wait([asyncio.shield(everything)], seconds)
        rest = dict(self._tasks)
        for task in rest.values():
            task.cancel()
        if rest:
            await asyncio.wait(rest.values(), timeout=_BREAK_SECONDS)
        return list(rest)

    async def _wait(self, tasks: Sequence[asyncio.Future[Any]], seconds: float) -> None:
        """Return when one of the tasks has ended, the time is over, or nobody may wait any longer.

        The tasks go on, also when whoever waits is cancelled.
        """
        stop_waiting = asyncio.create_task(self._stop_waiting.wait())
        try:
            await asyncio.wait([*tasks, stop_waiting], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop_waiting.cancel()

    def _end(self, guid: UUID, task: asyncio.Task[Image]) -> None:
        del self._tasks[guid]
        self._on_end(guid, asyncio.CancelledError() if task.cancelled() else task.exception())
