"""Use case: list users."""

from collections.abc import Sequence
from dataclasses import dataclass

from pixyproxy.domain.ports import UserRepository
from pixyproxy.domain.user import User


@dataclass(frozen=True, slots=True, kw_only=True)
class ListUsers:
    """Return all users, ordered by name."""

    users: UserRepository

    async def __call__(self) -> Sequence[User]:
        return await self.users.list()
