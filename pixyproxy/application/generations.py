"""The generations of this process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Final
from uuid import UUID
from weakref import WeakValueDictionary

from pixyproxy.application.generate_image import ImageHandedOverError
from pixyproxy.domain.errors import DBConnectionError
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import ImageRepository
from pixyproxy.domain.user import UserName

# The interval at which other processes' work is polled: short at first, then longer to spare the database.
_POLL_SECONDS: Final = 0.25
_POLL_SECONDS_MAX: Final = 2.0

# Partial images last no longer than their generation.
_POLL_SECONDS_FOR_PARTIALS: Final = 0.5

# The most that cancelled tasks may take to end: a hanging disk must not hold up the shutdown.
_BREAK_SECONDS: Final = 10.0


class Generations:
    """Runs each generation in a task of its own, which goes on after its client has left.

    `on_end` gets the guid of each generation that ended, and its error if there was one.
    """

    def __init__(self, on_end: Callable[[UUID, BaseException | None], None] = lambda _guid, _error: None) -> None:
        self._on_end = on_end
        self._tasks: dict[UUID, asyncio.Task[Image]] = {}
        self._news: dict[UUID, asyncio.Future[None]] = {}
        self._stop_waiting = asyncio.Event()
        self._stop_following = False
        self._started: asyncio.Future[None] | None = None
        self._authors: dict[UUID, UserName | None] = {}
        # Without a stream that waits for it, an author's next news is forgotten.
        self._news_of: WeakValueDictionary[UserName, asyncio.Future[None]] = WeakValueDictionary()
        self._stop_watching = False

    def __contains__(self, guid: UUID) -> bool:
        """Whether this process is generating the image."""
        return guid in self._tasks

    def __len__(self) -> int:
        """The number of images that this process is generating."""
        return len(self._tasks)

    def start(self, guid: UUID, work: Coroutine[Any, Any, Image], *, author: UserName | None = None) -> None:
        """Run `work`, which takes the image to a final state."""
        task = asyncio.create_task(work, name=f"generation {guid}")
        self._tasks[guid] = task
        self._news[guid] = asyncio.get_running_loop().create_future()
        self._authors[guid] = author
        self._tell(author)
        task.add_done_callback(lambda task: self._end(guid, task))
        if self._started is not None:
            self._started.set_result(None)
            self._started = None

    async def result(self, images: ImageRepository, guid: UUID, seconds: float) -> Image | None:
        """Return the image when it is ready, or raise the error of its generation; None after `seconds`.

        Any process may be generating it. Raises `RecordNotFoundError` for an image that is deleted, and outlasts a
        database that does not answer.
        """
        clock = asyncio.get_running_loop().time
        ends_at = clock() + seconds
        poll = _POLL_SECONDS
        while (rest := ends_at - clock()) > 0 and not self.is_stopping:
            if task := self._tasks.get(guid):
                await self._wait([task], rest)
                if not task.done():
                    return None
                if not isinstance(_outcome(task), ImageHandedOverError):
                    return task.result()
            image = await _found(images, guid)
            if image is not None and image.generation_error:
                raise image.generation_error
            if image is not None and image.status.is_final:
                return image
            if self._stop_following:
                return None
            await self._wait_for_start(guid, min(rest, poll))
            poll = min(poll * 1.5, _POLL_SECONDS_MAX)
        return None

    def announce(self, guid: UUID) -> None:
        """Have those that poll the image in this process look at it at once; ignore an image of another process."""
        if news := self._news.get(guid):
            self._news[guid] = news.get_loop().create_future()
            news.set_result(None)
            self._tell(self._authors[guid])

    def news_of(self, author: UserName) -> asyncio.Future[None]:
        """Return a future that ends when this process next begins or ends an image of the author, or announces one.

        After `stop_watching` it has ended.
        """
        news = self._news_of.get(author)
        if news is None:
            news = self._news_of[author] = asyncio.get_running_loop().create_future()
            if self._stop_watching:
                news.set_result(None)
        return news

    async def results(
        self, images: ImageRepository, guids: Sequence[UUID], seconds: float
    ) -> Sequence[Image | BaseException | None]:
        """Return what `result` returns or raises for each image."""
        return await asyncio.gather(*(self.result(images, guid, seconds) for guid in guids), return_exceptions=True)

    async def follow(self, images: ImageRepository, guid: UUID, seconds: float | None = None) -> AsyncIterator[Image]:
        """Yield the image now and on each change of state, until it is final or `seconds` are over.

        Any process may be generating it.
        """
        last = None
        async for image in self.poll(images, guid, seconds):
            if image.status is not last:
                last = image.status
                yield image

    async def poll(self, images: ImageRepository, guid: UUID, seconds: float | None = None) -> AsyncIterator[Image]:
        """Yield the image now and whenever it may have changed, until it is final or `seconds` are over."""
        clock = asyncio.get_running_loop().time
        ends_at = None if seconds is None else clock() + seconds
        poll = _POLL_SECONDS
        while True:
            # Take it before the look, so that no announcement is missed.
            news = self._news.get(guid)
            image = await images.get(guid)
            yield image
            rest = poll if ends_at is None else min(poll, ends_at - clock())
            poll = min(poll * 1.5, _POLL_SECONDS_FOR_PARTIALS if image.request.partial_images else _POLL_SECONDS_MAX)
            running = self._tasks.get(guid)
            if image.status.is_final or rest <= 0 or self.is_stopping or (self._stop_following and running is None):
                return
            await self._wait([waker for waker in (running, news) if waker is not None], rest)

    async def watch(self, guid: UUID) -> AsyncIterator[Image | BaseException | None]:
        """Yield None now and whenever the image may have another partial image, and at last its result or its error.

        Yields nothing for an image of another process, and no result after `stop_waiting`. Asks no database.
        """
        task = self._tasks.get(guid)
        while task is not None and not task.done():
            # Take it before the look, so that no announcement is missed.
            news = self._news[guid]
            yield None
            await self._wait([task, news])
            if self.is_stopping:
                break
        if task is not None and task.done():
            yield _outcome(task)

    async def pause(self, seconds: float) -> None:
        """Wait `seconds`, or until `stop_waiting` is called."""
        await self._wait([], seconds)

    @property
    def is_stopping(self) -> bool:
        """Whether `stop_waiting` was called."""
        return self._stop_waiting.is_set()

    @property
    def is_unwatched(self) -> bool:
        """Whether `stop_watching` was called."""
        return self._stop_watching

    def stop_watching(self) -> None:
        """End the streams of authors' images, which have no end of their own; clients go on in another process."""
        self._stop_watching = True
        for author in list(self._news_of):
            self._tell(author)

    def stop_following(self) -> None:
        """Do what `stop_watching` does, and end the waits for images that others make, or that wait in the queue."""
        self.stop_watching()
        self._stop_following = True

    def stop_waiting(self) -> None:
        """End all waiting at once; the generations go on until `close`."""
        self.stop_watching()
        self._stop_waiting.set()

    async def close(self, seconds: float) -> Sequence[UUID]:
        """Wait up to `seconds` for all generations, cancel the rest, and return their guids.

        The cancelled images stay as they are in the database and are recovered when their leases end.
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

    async def _wait_for_start(self, guid: UUID, seconds: float) -> None:
        """Return when this process begins to generate the image, or `seconds` are over."""
        clock = asyncio.get_running_loop().time
        ends_at = clock() + seconds
        while guid not in self._tasks and clock() < ends_at and not self.is_stopping:
            if self._started is None:
                self._started = asyncio.get_running_loop().create_future()
            await self._wait([self._started], ends_at - clock())

    async def _wait(self, tasks: Sequence[asyncio.Future[Any]], seconds: float | None = None) -> None:
        """Return when a task has ended, `seconds` are over, or `stop_waiting` was called.

        The tasks go on, even if the caller is cancelled.
        """
        stop_waiting = asyncio.create_task(self._stop_waiting.wait())
        try:
            await asyncio.wait([*tasks, stop_waiting], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop_waiting.cancel()

    def _end(self, guid: UUID, task: asyncio.Task[Image]) -> None:
        del self._tasks[guid], self._news[guid]
        self._tell(self._authors.pop(guid))
        outcome = _outcome(task)
        self._on_end(guid, outcome if isinstance(outcome, BaseException) else None)

    def _tell(self, author: UserName | None) -> None:
        if author is not None and (news := self._news_of.pop(author, None)):
            news.set_result(None)


async def _found(images: ImageRepository, guid: UUID) -> Image | None:
    try:
        return await images.get(guid)
    except DBConnectionError:
        return None


def _outcome(task: asyncio.Task[Image]) -> Image | BaseException:
    if task.cancelled():
        return asyncio.CancelledError()
    return task.exception() or task.result()
