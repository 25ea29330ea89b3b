"""The access version in a database."""

from dataclasses import dataclass
from typing import Final

from pixyproxy.adapters.sql.database import SQLDatabase, Transaction
from pixyproxy.domain.ports import AccessVersion

_FIND: Final = "SELECT value FROM counters WHERE name = 'access'"

_GROW: Final = "INSERT INTO counters (name, value) VALUES ('access', 1) {add_one}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SQLAccessVersion(AccessVersion):
    """Reads the row `access` of table `counters`."""

    database: SQLDatabase

    async def current(self) -> int:
        rows = await self.database.fetch_all(_FIND)
        return int(rows[0][0]) if rows else 0


async def note_access_change(transaction: Transaction) -> None:
    """Let the access version grow when the transaction takes effect; others that do the same wait for its end."""
    await transaction.execute(_GROW)
