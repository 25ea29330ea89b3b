"""Users in memory."""

from collections.abc import Sequence
from itertools import count

import msgspec

from pixyproxy.adapters.memory.access_version import InMemoryAccessVersion
from pixyproxy.domain.errors import ConstraintViolationError
from pixyproxy.domain.ports import UserRepository
from pixyproxy.domain.user import PasswordHash, User, UserId, UserName, user_not_found


class InMemoryUserRepository(UserRepository):
    """Keeps users as long as the object lives; for tests and for hosts without a database."""

    def __init__(self, access_version: InMemoryAccessVersion | None = None) -> None:
        self._access_version = access_version or InMemoryAccessVersion()
        self._users: dict[UserName, User] = {}
        self._ids = count(1)

    async def add(self, user: User) -> User:
        if user.name in self._users:
            raise ConstraintViolationError("A user with this name is stored already.")
        stored = msgspec.structs.replace(user, id=UserId(next(self._ids)))
        self._users[user.name] = stored
        return stored

    async def get(self, name: UserName) -> User:
        try:
            return self._users[name]
        except KeyError:
            raise user_not_found() from None

    async def set_password_hash(self, name: UserName, password_hash: PasswordHash) -> None:
        await self._replace(name, password_hash=password_hash)

    async def disable(self, name: UserName) -> None:
        await self._replace(name, is_disabled=True)

    async def enable(self, name: UserName) -> None:
        await self._replace(name, is_disabled=False)

    async def list(self) -> Sequence[User]:
        return [self._users[name] for name in sorted(self._users)]

    async def _replace(self, name: UserName, **fields: object) -> None:
        self._users[name] = msgspec.structs.replace(await self.get(name), **fields)
        self._access_version.grow()
