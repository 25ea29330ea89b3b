"""Use case: end sessions as an operator."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from pixyproxy.application.access_changes import AccessChanges
from pixyproxy.application.user_names import find_user
from pixyproxy.domain.ports import SessionStore, UserRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class EndSessions:
    """End the sessions with these guids, those of `user`, or `of_all` users, and return how many there were.

    It counts at once in this process, and within five seconds in others. Raises `RecordNotFoundError` for an unknown
    guid, whose predecessors have ended, and for an unknown user.
    """

    sessions: SessionStore
    users: UserRepository
    access: AccessChanges

    async def __call__(self, guids: Collection[UUID] = (), *, user: str | None = None, of_all: bool = False) -> int:
        name = None if user is None else (await find_user(self.users, user, "user")).name
        try:
            for guid in guids:
                await self.sessions.end(guid)
            return len(guids) + (await self.sessions.end_all(name) if of_all or name is not None else 0)
        finally:
            # They may have ended even if the answer of the database is lost.
            self.access.note_change()
