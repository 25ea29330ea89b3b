"""Shared keys in a database."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pixyproxy.adapters.sql.access_version import note_access_change
from pixyproxy.adapters.sql.database import SQLDatabase, Transaction
from pixyproxy.domain.ports import SecretStore

_FIND: Final = "SELECT value FROM secrets WHERE name = :name"

# The newest first: its name is the shorter one.
_FIND_ACCEPTED: Final = "SELECT value FROM secrets WHERE name IN (:name, :earlier) ORDER BY name"

_ADD: Final = "INSERT INTO secrets (name, value) VALUES (:name, :value) {skip_taken}"

_REMOVE: Final = "DELETE FROM secrets WHERE name = :name"


@dataclass(frozen=True, slots=True, kw_only=True)
class SQLSecretStore(SecretStore):
    """Keeps keys in table `secrets`; the key before that of `NAME` is the row `NAME earlier`."""

    database: SQLDatabase

    async def get(self, name: str) -> bytes:
        if not await self._find(name):
            await self.database.execute(_ADD, {"name": name, "value": _new()})
        return bytes.fromhex(await self._find(name))

    async def accepted(self, name: str) -> Sequence[bytes]:
        if not await self._find(name):
            await self.get(name)
        rows = await self.database.fetch_all(_FIND_ACCEPTED, {"name": name, "earlier": _earlier(name)})
        return [bytes.fromhex(value) for (value,) in rows]

    async def rotate(self, name: str, *, revoke: bool = False) -> None:
        async def rotate(transaction: Transaction) -> None:
            # First, so that two rotations at once follow one another.
            await note_access_change(transaction)
            replaced = await transaction.fetch_all(_FIND, {"name": name})
            for outdated in (_earlier(name), name):
                await transaction.execute(_REMOVE, {"name": outdated})
            if replaced and not revoke:
                await transaction.execute(_ADD, {"name": _earlier(name), "value": replaced[0][0]})
            await transaction.execute(_ADD, {"name": name, "value": _new()})

        await self.database.write(rotate)

    async def _find(self, name: str) -> str:
        rows = await self.database.fetch_all(_FIND, {"name": name})
        return str(rows[0][0]) if rows else ""


def _earlier(name: str) -> str:
    return f"{name} earlier"


def _new() -> str:
    return secrets.token_hex(32)
