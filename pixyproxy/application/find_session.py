"""Use case: find the session of a token."""

import asyncio
import hmac
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from pixyproxy.application.access_changes import AccessChanges
from pixyproxy.application.known_sessions import FoundSession, KnownSessions
from pixyproxy.domain.errors import PixyProxyException, RecordNotFoundError
from pixyproxy.domain.ports import Clock, SessionStore, UserRepository
from pixyproxy.domain.session import Session, digest_of_token
from pixyproxy.domain.user import Principal

# So that reading stays reading.
NOTE_EVERY: Final = 3_600.0
# A session that is used at least this often within its idle time never ends by it.
NOTES_PER_IDLE: Final = 4
# A note of the use must not hold a request up.
NOTE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FindSession:
    """Return the session with this token and its principal, and note at most once an hour that it was used.

    Returns None for a token that is malformed or unknown, for a session that has expired or was idle for `idle`
    seconds, and for one whose user is gone, disabled or has another password by now. A session that was found in the
    last five seconds is looked up again only after a change: see `AccessChanges`.
    """

    sessions: SessionStore
    users: UserRepository
    clock: Clock
    access: AccessChanges
    idle: float
    known: KnownSessions = field(default_factory=KnownSessions)

    async def __call__(self, token: str) -> FoundSession | None:
        digest = digest_of_token(token)
        if digest is None:
            return None
        found = await self._known(digest) or await self._stored(digest)
        now = self.clock.now()
        if found is None or not found.session.is_valid_at(now, self.idle):
            return None
        await self._note_seen(found.session, now)
        return found

    async def _known(self, digest: str) -> FoundSession | None:
        known = self.known.find(digest)
        if known is None:
            return None
        found, mark = known
        return found if await self.access.holds(mark) else None

    async def _stored(self, digest: str) -> FoundSession | None:
        mark = await self.access.mark()
        session = await self.sessions.find(digest)
        if session is None or not hmac.compare_digest(session.digest, digest):
            return None
        try:
            user = await self.users.get(session.user)
        except RecordNotFoundError:
            return None
        if not session.is_of(user):
            return None
        found = FoundSession(session, Principal(name=user.name, is_admin=user.is_admin))
        self.known.put(found, mark)
        return found

    async def _note_seen(self, session: Session, now: datetime) -> None:
        # Not again until it is due, even if it fails: the request is worth more than the note.
        if not self.known.is_due(session, now, timedelta(seconds=min(NOTE_EVERY, self.idle / NOTES_PER_IDLE))):
            return
        with suppress(PixyProxyException, TimeoutError):
            async with asyncio.timeout(NOTE_SECONDS):
                await self.sessions.note_seen(session.guid, now)
