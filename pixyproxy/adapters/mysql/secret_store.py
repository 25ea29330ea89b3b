"""Shared keys in MySQL."""

import secrets
from dataclasses import dataclass
from typing import Final

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.domain.ports import SecretStore

_FIND: Final = "SELECT value FROM secrets WHERE name = %(name)s"

_ADD: Final = "INSERT INTO secrets (name, value) VALUES (%(name)s, %(value)s) ON DUPLICATE KEY UPDATE name = name"


@dataclass(frozen=True, slots=True, kw_only=True)
class MySQLSecretStore(SecretStore):
    """Keeps keys in table `secrets`."""

    database: MySQLDatabase

    async def get(self, name: str) -> bytes:
        if not await self._find(name):
            await self.database.execute(_ADD, {"name": name, "value": secrets.token_hex(32)})
        return bytes.fromhex(await self._find(name))

    async def _find(self, name: str) -> str:
        async with self.database.autocommit() as cursor:
            await cursor.execute(_FIND, {"name": name})
            row = await cursor.fetchone()
        return str(row[0]) if row else ""
