"""Sessions in a database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from pixyproxy.adapters.sql.access_version import note_access_change
from pixyproxy.adapters.sql.database import Parameters, SQLDatabase, Transaction
from pixyproxy.adapters.sql.rows import session_from_row, session_to_row, time_to_text
from pixyproxy.domain.ports import SessionStore
from pixyproxy.domain.session import Session, session_not_found
from pixyproxy.domain.user import UserName

_ADD: Final = """
    INSERT INTO sessions (guid, user_name, digest, password_digest, created_at, seen_at, expires_at)
    VALUES (:guid, :user_name, :digest, :password_digest, :created_at, :seen_at, :expires_at)
"""

_SELECT: Final = "SELECT guid, user_name, digest, password_digest, created_at, seen_at, expires_at FROM sessions"

_NOTE_SEEN: Final = "UPDATE sessions SET seen_at = :at WHERE guid = :guid AND seen_at < :at"

_DELETE: Final = "DELETE FROM sessions"

_EXPIRED: Final = "WHERE expires_at <= :now OR seen_at <= :idle_since"


@dataclass(frozen=True, slots=True, kw_only=True)
class SQLSessionStore(SessionStore):
    """Keeps sessions in table `sessions`."""

    database: SQLDatabase

    async def add(self, session: Session) -> None:
        await self.database.execute(_ADD, session_to_row(session))

    async def find(self, digest: str) -> Session | None:
        rows = await self.database.fetch_all(f"{_SELECT} WHERE digest = :digest", {"digest": digest})
        return session_from_row(rows[0]) if rows else None

    async def list(self, user: UserName | None = None) -> Sequence[Session]:
        sql = f"{_SELECT} {self._of(user)} ORDER BY created_at, guid"
        return [session_from_row(row) for row in await self.database.fetch_all(sql, {"user_name": user})]

    async def note_seen(self, guid: UUID, at: datetime) -> None:
        await self.database.execute(_NOTE_SEEN, {"guid": str(guid), "at": time_to_text(at)})

    async def end(self, guid: UUID) -> None:
        if not await self._end(f"{_DELETE} WHERE guid = :guid", {"guid": str(guid)}):
            raise session_not_found()

    async def end_all(self, user: UserName | None = None) -> int:
        return await self._end(f"{_DELETE} {self._of(user)}", {"user_name": user})

    async def forget_expired(self, now: datetime, idle_since: datetime) -> int:
        times = {"now": time_to_text(now), "idle_since": time_to_text(idle_since)}
        return await self.database.execute(f"{_DELETE} {_EXPIRED}", times, makes_room=True)

    async def _end(self, delete: str, parameters: Parameters) -> int:
        async def work(transaction: Transaction) -> int:
            ended = await transaction.execute(delete, parameters)
            if ended:
                await note_access_change(transaction)
            return ended

        return await self.database.write(work, makes_room=True)

    def _of(self, user: UserName | None) -> str:
        return "" if user is None else f"WHERE {self.database.dialect.equal('user_name', 'user_name')}"
