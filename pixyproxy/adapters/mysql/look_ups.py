"""Look-ups of one record each, which a busy service makes by the thousand, joined into queries for many."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final

# The records of one query are read in one go, and everybody else waits that long.
_MAX_JOINED: Final = 100

# One query is answered by the database while the records of the other are made use of; with more, each joins fewer.
_MAX_RUNNING: Final = 2

Ask = Callable[[Collection[str]], Awaitable[Mapping[str, str]]]


class LookUps:
    """Joins the look-ups that begin in the same turn of the event loop, or while two queries run, into one query.

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
        query.keys.add(key)
        return (await asyncio.shield(query.records)).get(key)


class _Query:
    """A query that begins in the next turn of the event loop, or when one of the two that run has ended."""

    def __init__(self, ask: Ask, running: set[asyncio.Task[Any]]) -> None:
        self.keys: set[str] = set()
        self.records = asyncio.get_running_loop().create_task(self._run(ask, running))
        self.records.add_done_callback(_look_at_error)
        self._has_begun = False

    def can_be_joined(self) -> bool:
        """Whether one more key will be asked for."""
        return (
            not self._has_begun
            and len(self.keys) < _MAX_JOINED
            # An event loop may cancel all its tasks or end before the query has begun.
            and not self.records.done()
            and self.records.get_loop() is asyncio.get_running_loop()
        )

    async def _run(self, ask: Ask, running: set[asyncio.Task[Any]]) -> Mapping[str, str]:
        loop = asyncio.get_running_loop()
        # Those of a loop that has ended never end.
        while len(busy := [query for query in running if query.get_loop() is loop]) >= _MAX_RUNNING:
            await asyncio.wait(busy, return_when=asyncio.FIRST_COMPLETED)
        self._has_begun = True
        running.add(self.records)
        try:
            return await ask(self.keys)
        finally:
            running.discard(self.records)


def _look_at_error(records: asyncio.Task[Any]) -> None:
    """Look at the error of a query, because perhaps nobody is left who would."""
    if not records.cancelled():
        records.exception()
