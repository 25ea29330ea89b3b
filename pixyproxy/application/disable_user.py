"""Use case: stop a user from logging in."""

from dataclasses import dataclass

from pixyproxy.domain.ports import UserRepository
from pixyproxy.domain.user import parse_user_name


@dataclass(frozen=True, slots=True, kw_only=True)
class DisableUser:
    """Disable a user, whose images stay; raise `RecordNotFoundError` for an unknown one."""

    users: UserRepository

    async def __call__(self, name: str) -> None:
        await self.users.disable(parse_user_name(name))
