"""Look-ups of one record each, which a busy service makes by the thousand, joined into queries for many."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final

# The records of one query are read in one go, and everybody else waits that long.
_MAX_JOINED: Final = 100

Ask = Callable[[Collection[str]], Awaitable[Mapping[str, str]]]


class LookUps:
    """Joins the look-ups that begin in the same turn of the event loop into one query.

    Takes the function `ask`, which asks the database for the records with some keys and gives those that are there by
    key. It is called after the last of its look-ups has begun, so that each sees what was stored before. All of them
    get its error, and one that is cancelled leaves it to the others.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._query: _Query | None = None

    async def find(self, key: str) -> str | None:
        """Return the record with this key, or None; raise what `ask` raises."""
        query = self._query
        if query is None or not query.can_be_joined():
            query = self._query = _Query(self._ask)
        query.keys.add(key)
        return (await asyncio.shield(query.records)).get(key)


class _Query:
    """A query that begins in the next turn of the event loop."""

    def __init__(self, ask: Ask) -> None:
        self.keys: set[str] = set()
        self.records = asyncio.get_running_loop().create_task(self._run(ask))
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

    async def _run(self, ask: Ask) -> Mapping[str, str]:
        self._has_begun = True
        return await ask(self.keys)
