"""Use case: stop a user from logging in."""

from dataclasses import dataclass

from pixyproxy.application.access_changes import AccessChanges
from pixyproxy.application.user_names import find_user
from pixyproxy.domain.ports import SessionStore, UserRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class DisableUser:
    """Disable a user, whose images stay, and end the sessions; raise `RecordNotFoundError` for an unknown one.

    It counts at once in this process, and within five seconds in others.
    """

    users: UserRepository
    access: AccessChanges
    sessions: SessionStore | None = None

    async def __call__(self, name: str) -> None:
        user = await find_user(self.users, name)
        try:
            await self.users.disable(user.name)
            if self.sessions is not None:
                await self.sessions.end_all(user.name)
        finally:
            # It may have happened even if the answer of the database is lost.
            self.access.note_change()
