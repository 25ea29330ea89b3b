"""Sessions in memory."""

from collections.abc import Callable, Sequence
from datetime import datetime
from operator import attrgetter
from uuid import UUID

import msgspec

from pixyproxy.adapters.memory.access_version import InMemoryAccessVersion
from pixyproxy.domain.errors import ConstraintViolationError
from pixyproxy.domain.ports import SessionStore
from pixyproxy.domain.session import Session, session_not_found
from pixyproxy.domain.user import UserName


class InMemorySessionStore(SessionStore):
    """Keeps sessions as long as the object lives; for tests and for hosts without a database."""

    def __init__(self, access_version: InMemoryAccessVersion | None = None) -> None:
        self._access_version = access_version or InMemoryAccessVersion()
        self._sessions: dict[UUID, Session] = {}

    async def add(self, session: Session) -> None:
        if session.guid in self._sessions or await self.find(session.digest) is not None:
            raise ConstraintViolationError("This session is stored already.")
        self._sessions[session.guid] = session

    async def find(self, digest: str) -> Session | None:
        return next((session for session in self._sessions.values() if session.digest == digest), None)

    async def list(self, user: UserName | None = None) -> Sequence[Session]:
        found = [session for session in self._sessions.values() if user in {None, session.user}]
        return sorted(found, key=attrgetter("created_at", "guid"))

    async def note_seen(self, guid: UUID, at: datetime) -> None:
        session = self._sessions.get(guid)
        if session is not None and session.seen_at < at:
            self._sessions[guid] = msgspec.structs.replace(session, seen_at=at)

    async def end(self, guid: UUID) -> None:
        if self._sessions.pop(guid, None) is None:
            raise session_not_found()
        self._access_version.grow()

    async def end_all(self, user: UserName | None = None) -> int:
        if ended := self._forget(lambda session: user in {None, session.user}):
            self._access_version.grow()
        return ended

    async def forget_expired(self, now: datetime, idle_since: datetime) -> int:
        return self._forget(lambda session: session.expires_at <= now or session.seen_at <= idle_since)

    def _forget(self, is_over: Callable[[Session], bool]) -> int:
        over = [session.guid for session in self._sessions.values() if is_over(session)]
        for guid in over:
            del self._sessions[guid]
        return len(over)
