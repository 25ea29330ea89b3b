"""Use case: change a user's password."""

from dataclasses import dataclass

from pixyproxy.application.access_changes import AccessChanges
from pixyproxy.application.user_names import find_user
from pixyproxy.domain.ports import PasswordHasher, SessionStore, UserRepository
from pixyproxy.domain.user import parse_password


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePassword:
    """Replace a user's password and end the sessions, at once in this process and within five seconds in others.

    Raises `DataValidationError` for a password that breaks a rule and `RecordNotFoundError` for an unknown user.
    """

    users: UserRepository
    hasher: PasswordHasher
    access: AccessChanges
    sessions: SessionStore | None = None

    async def __call__(self, name: str, password: str) -> None:
        parsed = parse_password(password)
        user = await find_user(self.users, name)
        password_hash = await self.hasher.hash(parsed)
        try:
            await self.users.set_password_hash(user.name, password_hash)
            if self.sessions is not None:
                await self.sessions.end_all(user.name)
        finally:
            # It may have happened even if the answer of the database is lost.
            self.access.note_change()
