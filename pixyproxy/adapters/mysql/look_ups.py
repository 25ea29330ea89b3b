"""Look-ups of one record each, which a busy service makes by the thousand, joined into queries for many."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final

# The records of one query are read in one go, and everybody else waits that long.
_MAX_JOINED: Final = 100

# The fewer queries run at once, the more look-ups each joins, and the less each costs. But one that the database takes
# long for should not hold up all others.
_PATIENCE_SECONDS: Final = 0.01
_MAX_RUNNING: Final = 2

Ask = Callable[[Collection[str]], Awaitable[Mapping[str, str]]]


class LookUps:
    """Joins the look-ups that begin in the same turn of the event loop, or while a query runs, into one query.

    Takes the function `ask`, which asks the database for the records with some keys and gives those that are there by
    key. It is called after the last of its look-ups has begun, so that each sees what was stored before. All of them
    get its error, and one that is cancelled leaves it to the others.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._query: _Query | None = None
        self._running: set[asyncio.Task[Any]] = set()

    async def find(self, key: str) -> str | None:
        """Return the record with this key, or None; raise what `ask` raises."""
        query = self._query
        if query is None or not query.can_be_joined():
            query = self._query = _Query(self._ask, self._running)
        return await query.add(key)


class _Query:
    """A query that begins in the next turn of the event loop, or when the one that runs has ended or takes long."""

    def __init__(self, ask: Ask, running: set[asyncio.Task[Any]]) -> None:
        self._askers: dict[str, list[asyncio.Future[str | None]]] = {}
        self._loop = asyncio.get_running_loop()
        self._records = self._loop.create_task(self._run(ask, running))
        self._records.add_done_callback(self._answer)
        self._has_begun = False

    def can_be_joined(self) -> bool:
        """Whether one more key will be asked for."""
        return (
            not self._has_begun
            and len(self._askers) < _MAX_JOINED
            # An event loop may cancel all its tasks or end before the query has begun.
            and not self._records.done()
            and self._loop is asyncio.get_running_loop()
        )

    def add(self, key: str) -> asyncio.Future[str | None]:
        """Ask for one more key; return what will have the record, or None, or the error."""
        asker: asyncio.Future[str | None] = self._loop.create_future()
        self._askers.setdefault(key, []).append(asker)
        return asker

    async def _run(self, ask: Ask, running: set[asyncio.Task[Any]]) -> Mapping[str, str]:
        # Those of a loop that has ended never end.
        while busy := [query for query in running if query.get_loop() is self._loop]:
            patience = _PATIENCE_SECONDS if len(busy) < _MAX_RUNNING else None
            ended, _ = await asyncio.wait(busy, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if not ended:
                break
        self._has_begun = True
        running.add(self._records)
        try:
            return await ask(self._askers.keys())
        finally:
            running.discard(self._records)

    def _answer(self, records: asyncio.Task[Mapping[str, str]]) -> None:
        error = None if records.cancelled() else records.exception()
        for key, askers in self._askers.items():
            for asker in askers:
                if asker.done():
                    # Who asked has been cancelled.
                    continue
                if records.cancelled():
                    asker.cancel()
                elif error is not None:
                    asker.set_exception(error)
                else:
                    asker.set_result(records.result().get(key))
