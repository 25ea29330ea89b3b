"""API keys in a database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from pixyproxy.adapters.sql.access_version import note_access_change
from pixyproxy.adapters.sql.database import SQLDatabase, Transaction
from pixyproxy.adapters.sql.rows import key_from_row, key_to_row, time_to_text
from pixyproxy.domain.api_key import APIKey, key_not_found
from pixyproxy.domain.ports import APIKeyRepository
from pixyproxy.domain.user import UserName

_ADD: Final = """
    INSERT INTO api_keys (
        guid, name, user_name, prefix, digest, scopes, visibility, tags, created_at, expires_at, last_used_at,
        revoked_at
    ) VALUES (
        :guid, :name, :user_name, :prefix, :digest, :scopes, :visibility, :tags, :created_at, :expires_at,
        :last_used_at, :revoked_at
    )
"""

_SELECT: Final = """
    SELECT guid, name, user_name, prefix, digest, scopes, visibility, tags, created_at, expires_at, last_used_at,
        revoked_at
    FROM api_keys
"""

_REVOKE: Final = "UPDATE api_keys SET revoked_at = COALESCE(revoked_at, :at) WHERE guid = :guid"

_NOTE_USE: Final = """
    UPDATE api_keys SET last_used_at = :at WHERE guid = :guid AND (last_used_at IS NULL OR last_used_at < :at)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SQLAPIKeyRepository(APIKeyRepository):
    """Keeps keys in table `api_keys`."""

    database: SQLDatabase

    async def add(self, key: APIKey) -> None:
        await self.database.execute(_ADD, key_to_row(key))

    async def get(self, guid: UUID) -> APIKey:
        rows = await self.database.fetch_all(f"{_SELECT} WHERE guid = :guid", {"guid": str(guid)})
        if not rows:
            raise key_not_found()
        return key_from_row(rows[0])

    async def find(self, digest: str) -> APIKey | None:
        rows = await self.database.fetch_all(f"{_SELECT} WHERE digest = :digest", {"digest": digest})
        return key_from_row(rows[0]) if rows else None

    async def list(self, user: UserName | None = None) -> Sequence[APIKey]:
        condition = "" if user is None else f"WHERE {self.database.dialect.equal('user_name', 'user_name')}"
        sql = f"{_SELECT} {condition} ORDER BY created_at, guid"
        return [key_from_row(row) for row in await self.database.fetch_all(sql, {"user_name": user})]

    async def revoke(self, guid: UUID, at: datetime) -> None:
        async def update(transaction: Transaction) -> None:
            if not await transaction.execute(_REVOKE, {"guid": str(guid), "at": time_to_text(at)}):
                raise key_not_found()
            await note_access_change(transaction)

        await self.database.write(update)

    async def note_use(self, guid: UUID, at: datetime) -> None:
        await self.database.execute(_NOTE_USE, {"guid": str(guid), "at": time_to_text(at)})
