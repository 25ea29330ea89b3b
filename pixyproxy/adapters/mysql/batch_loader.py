"""One query for records that several requests ask for at once."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from itertools import islice
from typing import Final, Generic, TypeVar

_MAX_KEYS: Final = 100

# More would make the batches smaller; with one, a slow query would block all others.
_MAX_RUNNING: Final = 2

T = TypeVar("T")
Load = Callable[[Collection[str]], Awaitable[Mapping[str, T]]]
Batch = Mapping[str, list[asyncio.Future[T | None]]]


class BatchLoader(Generic[T]):
    """Loads a key at once while fewer than two queries run; otherwise all keys that wait share the next query.

    So an idle service answers without delay, and a busy one makes one query for up to 100 requests. Takes `load`, which
    returns those records that exist by key. It is called after `find`, so a caller sees all that was stored before.
    """

    def __init__(self, load: Load[T]) -> None:
        self._load = load
        self._waiting: dict[str, list[asyncio.Future[T | None]]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def find(self, key: str) -> T | None:
        """Return the record with this key, or None; raise what `load` raises."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T | None] = loop.create_future()
        self._waiting.setdefault(key, []).append(result)
        # Not in a callback: a key added between the end of a task and its callback would wait forever.
        self._tasks = [task for task in self._tasks if not task.done()]
        if len(self._tasks) < _MAX_RUNNING:
            self._tasks.append(loop.create_task(self._work()))
        return await result

    async def _work(self) -> None:
        while self._waiting:
            batch = dict(islice(self._waiting.items(), _MAX_KEYS))
            for key in batch:
                del self._waiting[key]
            await self._answer(batch)

    async def _answer(self, batch: Batch[T]) -> None:
        try:
            records = await self._load(batch.keys())
        except Exception as exc:  # noqa: BLE001 -- each caller raises it
            for _, result in _pending(batch):
                result.set_exception(exc)
        except asyncio.CancelledError:
            for _, result in _pending(batch):
                result.cancel()
            raise
        else:
            for key, result in _pending(batch):
                result.set_result(records.get(key))


def _pending(batch: Batch[T]) -> Iterator[tuple[str, asyncio.Future[T | None]]]:
    """Yield the keys and results whose callers still wait."""
    for key, results in batch.items():
        for result in results:
            if not result.done():
                yield key, result
