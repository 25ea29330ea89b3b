"""Users in MySQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import aiomysql
import msgspec

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sql.rows import user_from_row, user_to_row
from pixyproxy.domain.ports import UserRepository
from pixyproxy.domain.user import PasswordHash, User, UserId, UserName, user_not_found

_ADD: Final = """
    INSERT INTO users (name, password_hash, is_disabled, created_at)
    VALUES (%(name)s, %(password_hash)s, %(is_disabled)s, %(created_at)s)
"""

_SET_HASH: Final = "UPDATE users SET password_hash = %(password_hash)s"

_DISABLE: Final = "UPDATE users SET is_disabled = TRUE"

_SELECT: Final = "SELECT id, name, password_hash, is_disabled, created_at FROM users"

# Equality ignores spaces at the end of a text, also under utf8mb4_bin.
_NAMED: Final = "name = %(name)s AND CHAR_LENGTH(name) = CHAR_LENGTH(%(name)s)"


@dataclass(frozen=True, slots=True, kw_only=True)
class MySQLUserRepository(UserRepository):
    """Keeps users in table `users`."""

    database: MySQLDatabase

    async def add(self, user: User) -> User:
        async def store(cursor: aiomysql.Cursor) -> UserId:
            await cursor.execute(_ADD, user_to_row(user))
            return UserId(cursor.lastrowid)

        return msgspec.structs.replace(user, id=await self.database.write(store))

    async def get(self, name: UserName) -> User:
        async with self.database.autocommit() as cursor:
            await cursor.execute(f"{_SELECT} WHERE {_NAMED}", {"name": name})
            row = await cursor.fetchone()
        if row is None:
            raise user_not_found()
        return user_from_row(row)

    async def set_password_hash(self, name: UserName, password_hash: PasswordHash) -> None:
        await self._update(_SET_HASH, name, password_hash=password_hash)

    async def disable(self, name: UserName) -> None:
        await self._update(_DISABLE, name)

    async def _update(self, statement: str, name: UserName, **values: object) -> None:
        if not await self.database.execute(f"{statement} WHERE {_NAMED}", {**values, "name": name}):
            raise user_not_found()

    async def list(self) -> Sequence[User]:
        async with self.database.autocommit() as cursor:
            await cursor.execute(f"{_SELECT} ORDER BY name")
            rows = await cursor.fetchall()
        return [user_from_row(row) for row in rows]
