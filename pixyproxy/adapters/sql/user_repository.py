"""Users in a database."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from pixyproxy.adapters.sql.access_version import note_access_change
from pixyproxy.adapters.sql.database import SQLDatabase, Transaction
from pixyproxy.adapters.sql.rows import user_from_row, user_to_row
from pixyproxy.domain.ports import UserRepository
from pixyproxy.domain.user import PasswordHash, User, UserId, UserName, user_not_found

_ADD: Final = """
    INSERT INTO users (name, password_hash, is_disabled, is_admin, created_at)
    VALUES (:name, :password_hash, :is_disabled, :is_admin, :created_at)
"""

_SET_HASH: Final = "UPDATE users SET password_hash = :password_hash"

_DISABLE: Final = "UPDATE users SET is_disabled = TRUE"

_ENABLE: Final = "UPDATE users SET is_disabled = FALSE"

_SELECT: Final = "SELECT id, name, password_hash, is_disabled, is_admin, created_at FROM users"


@dataclass(frozen=True, slots=True, kw_only=True)
class SQLUserRepository(UserRepository):
    """Keeps users in table `users`."""

    database: SQLDatabase

    async def add(self, user: User) -> User:
        user_id = await self.database.write(lambda transaction: transaction.insert(_ADD, user_to_row(user)))
        return msgspec.structs.replace(user, id=UserId(user_id))

    async def get(self, name: UserName) -> User:
        rows = await self.database.fetch_all(f"{_SELECT} WHERE {self._is_named}", {"name": name})
        if not rows:
            raise user_not_found()
        return user_from_row(rows[0])

    async def set_password_hash(self, name: UserName, password_hash: PasswordHash) -> None:
        await self._update(_SET_HASH, name, password_hash=password_hash)

    async def disable(self, name: UserName) -> None:
        await self._update(_DISABLE, name)

    async def enable(self, name: UserName) -> None:
        await self._update(_ENABLE, name)

    async def list(self) -> Sequence[User]:
        return [user_from_row(row) for row in await self.database.fetch_all(f"{_SELECT} ORDER BY name")]

    async def _update(self, statement: str, name: UserName, **values: object) -> None:
        async def update(transaction: Transaction) -> None:
            if not await transaction.execute(f"{statement} WHERE {self._is_named}", {**values, "name": name}):
                raise user_not_found()
            await note_access_change(transaction)

        await self.database.write(update)

    @property
    def _is_named(self) -> str:
        return self.database.dialect.equal("name", "name")
