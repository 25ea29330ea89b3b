"""Use case: let a disabled user log in again."""

from dataclasses import dataclass

from pixyproxy.application.access_changes import AccessChanges
from pixyproxy.application.user_names import find_user
from pixyproxy.domain.ports import UserRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class EnableUser:
    """Enable a user, with the same password and keys as before; raise `RecordNotFoundError` for an unknown one."""

    users: UserRepository
    access: AccessChanges

    async def __call__(self, name: str) -> None:
        user = await find_user(self.users, name)
        try:
            await self.users.enable(user.name)
        finally:
            # It may have happened even if the answer of the database is lost.
            self.access.note_change()
