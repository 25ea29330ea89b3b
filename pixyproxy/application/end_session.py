"""Use case: end the session of a token."""

from contextlib import suppress
from dataclasses import dataclass

from pixyproxy.application.access_changes import AccessChanges
from pixyproxy.domain.errors import RecordNotFoundError
from pixyproxy.domain.ports import SessionStore
from pixyproxy.domain.session import digest_of_token


@dataclass(frozen=True, slots=True, kw_only=True)
class EndSession:
    """End the session with this token, at once in this process and within five seconds in others.

    Does nothing if there is none.
    """

    sessions: SessionStore
    access: AccessChanges

    async def __call__(self, token: str) -> None:
        digest = digest_of_token(token)
        session = None if digest is None else await self.sessions.find(digest)
        if session is None:
            return
        try:
            with suppress(RecordNotFoundError):
                await self.sessions.end(session.guid)
        finally:
            # It may have ended even if the answer of the database is lost.
            self.access.note_change()
