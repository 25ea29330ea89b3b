"""Look-ups of one record each, which a busy service makes by the thousand, joined into queries for many."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from itertools import islice
from typing import Final, Generic, TypeVar

# The records of one query are read in one go, and everybody else waits that long.
_MAX_JOINED: Final = 100

# A query waits so many turns of the event loop for others to join it. Where nothing else is to be done they are over at
# once; where pictures are sent, those who have theirs ask for the next meanwhile.
_TURNS: Final = 2

# The fewer queries run at once, the more look-ups each joins, and the less each costs. But one that the database takes
# long for should not hold up all others.
_PATIENCE_SECONDS: Final = 0.01
_MAX_RUNNING: Final = 2

T = TypeVar("T")
Ask = Callable[[Collection[str]], Awaitable[Mapping[str, T]]]
Asker = asyncio.Future[T | None]


class BatchLoader(Generic[T]):
    """Joins the look-ups that begin in the same few turns of the event loop, or while a query runs, into one query.

    Takes the function `ask`, which asks the database for the records with some keys and gives those that are there by
    key. It is called after the last of its look-ups has begun, so that each sees what was stored before. All of them
    get its error, and one that is cancelled leaves it to the others.
    """

    def __init__(self, ask: Ask[T]) -> None:
        self._ask = ask
        self._queue: _Queue[T] | None = None

    async def find(self, key: str) -> T | None:
        """Return the record with this key, or None; raise what `ask` raises."""
        loop = asyncio.get_running_loop()
        queue = self._queue
        if queue is None or queue.loop is not loop:
            queue = self._queue = _Queue(self._ask, loop)
        return await queue.add(key)


class _Queue(Generic[T]):
    """Who waits in one event loop, and the tasks that make one query after the other as long as somebody does.

    There is one such task, and another while a query takes long.
    """

    def __init__(self, ask: Ask[T], loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._ask = ask
        self._waiting: dict[str, list[Asker[T]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun = 0
        self._is_watched = False

    def add(self, key: str) -> Asker[T]:
        """Ask for one more key; return what will have the record, or None, or the error."""
        asker: Asker[T] = self.loop.create_future()
        self._waiting.setdefault(key, []).append(asker)
        if not self._tasks:
            self._start()
        elif not self._is_watched:
            self._watch()
        return asker

    def _start(self) -> None:
        task = self.loop.create_task(self._work())
        self._tasks.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        # Somebody may have come since its last look, or it was cancelled, as an event loop that ends cancels all tasks.
        if not self._tasks and any(_still_waiting(self._waiting)):
            self._start()

    def _watch(self) -> None:
        self._is_watched = True
        self.loop.call_later(_PATIENCE_SECONDS, self._look_after, self._begun)

    def _look_after(self, begun: int) -> None:
        """Start another task if no query has begun since the last look, although somebody waits."""
        self._is_watched = False
        if self._waiting:
            if begun == self._begun and len(self._tasks) < _MAX_RUNNING:
                self._start()
            self._watch()

    async def _work(self) -> None:
        number = self._begun
        while self._waiting:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            if number != self._begun:
                # This one's query took long, and whoever has begun the last one goes on.
                return
            number = self._begun = self._begun + 1
            await self._ask_for(self._take())

    def _take(self) -> Mapping[str, list[Asker[T]]]:
        taken, self._waiting = self._waiting, {}
        if len(taken) > _MAX_JOINED:
            pairs = iter(taken.items())
            taken, self._waiting = dict(islice(pairs, _MAX_JOINED)), dict(pairs)
        return taken

    async def _ask_for(self, taken: Mapping[str, list[Asker[T]]]) -> None:
        try:
            records = await self._ask(taken.keys())
        except asyncio.CancelledError:
            for _, asker in _still_waiting(taken):
                asker.cancel()
            raise
        except Exception as exc:  # noqa: BLE001 -- each of them raises it
            for _, asker in _still_waiting(taken):
                asker.set_exception(exc)
        else:
            for key, asker in _still_waiting(taken):
                asker.set_result(records.get(key))


def _still_waiting(askers: Mapping[str, list[Asker[T]]]) -> Iterator[tuple[str, Asker[T]]]:
    """Yield who was not cancelled meanwhile, with the key."""
    for key, several in askers.items():
        for asker in several:
            if not asker.done():
                yield key, asker
