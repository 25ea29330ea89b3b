"""Use case: let a disabled user log in again."""

from dataclasses import dataclass

from pixyproxy.application.user_names import find_user
from pixyproxy.domain.ports import UserRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class EnableUser:
    """Enable a user, with the same password and keys as before; raise `RecordNotFoundError` for an unknown one."""

    users: UserRepository

    async def __call__(self, name: str) -> None:
        await self.users.enable((await find_user(self.users, name)).name)
