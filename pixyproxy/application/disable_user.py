"""Use case: stop a user from logging in."""

from dataclasses import dataclass

from pixyproxy.application.user_names import find_user
from pixyproxy.domain.ports import UserRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class DisableUser:
    """Disable a user, whose images stay; raise `RecordNotFoundError` for an unknown one."""

    users: UserRepository

    async def __call__(self, name: str) -> None:
        await self.users.disable((await find_user(self.users, name)).name)
