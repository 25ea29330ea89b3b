"""Shared keys in a database."""

import secrets
from dataclasses import dataclass
from typing import Final

from pixyproxy.adapters.sql.database import SQLDatabase
from pixyproxy.domain.ports import SecretStore

_FIND: Final = "SELECT value FROM secrets WHERE name = :name"

_ADD: Final = "INSERT INTO secrets (name, value) VALUES (:name, :value) {skip_taken}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SQLSecretStore(SecretStore):
    """Keeps keys in table `secrets`."""

    database: SQLDatabase

    async def get(self, name: str) -> bytes:
        if not await self._find(name):
            await self.database.execute(_ADD, {"name": name, "value": secrets.token_hex(32)})
        return bytes.fromhex(await self._find(name))

    async def _find(self, name: str) -> str:
        rows = await self.database.fetch_all(_FIND, {"name": name})
        return str(rows[0][0]) if rows else ""
