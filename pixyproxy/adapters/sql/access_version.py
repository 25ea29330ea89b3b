"""The access version in a database."""

from dataclasses import dataclass
from typing import Final

from pixyproxy.adapters.sql.counters import count_up, read_counter
from pixyproxy.adapters.sql.database import SQLDatabase, Transaction
from pixyproxy.domain.ports import AccessVersion

_ACCESS: Final = "access"


@dataclass(frozen=True, slots=True, kw_only=True)
class SQLAccessVersion(AccessVersion):
    """Reads the row `access` of table `counters`."""

    database: SQLDatabase

    async def current(self) -> int:
        return await read_counter(self.database, _ACCESS)


async def note_access_change(transaction: Transaction) -> None:
    """Let the access version grow when the transaction takes effect; others that do the same wait for its end."""
    await count_up(transaction, _ACCESS)
