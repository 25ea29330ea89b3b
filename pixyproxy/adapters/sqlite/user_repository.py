"""Users in SQLite."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import aiosqlite
import msgspec

from pixyproxy.adapters.sql.rows import user_from_row, user_to_row
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.ports import UserRepository
from pixyproxy.domain.user import PasswordHash, User, UserId, UserName, user_not_found

_ADD: Final = """
    INSERT INTO users (name, password_hash, is_disabled, created_at)
    VALUES (:name, :password_hash, :is_disabled, :created_at)
"""

_SET_HASH: Final = "UPDATE users SET password_hash = :password_hash WHERE name = :name"

_DISABLE: Final = "UPDATE users SET is_disabled = TRUE WHERE name = :name"

_SELECT: Final = "SELECT id, name, password_hash, is_disabled, created_at FROM users"


@dataclass(frozen=True, slots=True, kw_only=True)
class SQLiteUserRepository(UserRepository):
    """Keeps users in table `users`."""

    database: SQLiteDatabase

    async def add(self, user: User) -> User:
        async def store(connection: aiosqlite.Connection) -> UserId:
            return UserId((await connection.execute(_ADD, user_to_row(user))).lastrowid or 0)

        return msgspec.structs.replace(user, id=await self.database.write(store))

    async def get(self, name: UserName) -> User:
        rows = await self.database.fetch_all(f"{_SELECT} WHERE name = :name", {"name": name})
        if not rows:
            raise user_not_found()
        return user_from_row(rows[0])

    async def set_password_hash(self, name: UserName, password_hash: PasswordHash) -> None:
        await self._update(_SET_HASH, name, password_hash=password_hash)

    async def disable(self, name: UserName) -> None:
        await self._update(_DISABLE, name)

    async def _update(self, statement: str, name: UserName, **values: object) -> None:
        if not await self.database.execute(statement, {**values, "name": name}):
            raise user_not_found()

    async def list(self) -> Sequence[User]:
        rows = await self.database.fetch_all(f"{_SELECT} ORDER BY name")
        return [user_from_row(row) for row in rows]
