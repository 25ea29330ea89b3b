"""Sessions that this process has found recently."""

from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from pixyproxy.domain.ports import AccessMark
from pixyproxy.domain.session import Session
from pixyproxy.domain.user import Principal

CAPACITY: Final = 10_000


class FoundSession(NamedTuple):
    """A session, and the principal that its user is."""

    session: Session
    principal: Principal


class KnownSessions:
    """Remembers the sessions that were found, and when each was noted as used: the latest 10,000 of them."""

    def __init__(self) -> None:
        self._found: OrderedDict[str, tuple[FoundSession, AccessMark]] = OrderedDict()
        self._noted: OrderedDict[UUID, datetime] = OrderedDict()

    def find(self, digest: str) -> tuple[FoundSession, AccessMark] | None:
        """Return the session with this digest if it was found, and the mark; it may have ended since."""
        return self._found.get(digest)

    def put(self, found: FoundSession, mark: AccessMark) -> None:
        """Remember a session that was found; the mark is from before it was read."""
        self._found[found.session.digest] = found, mark
        self._found.move_to_end(found.session.digest)
        if len(self._found) > CAPACITY:
            self._found.popitem(last=False)

    def is_due(self, session: Session, now: datetime, every: timedelta) -> bool:
        """Whether no use of the session is known that is younger than `every`; this one is from now on."""
        last = max(session.seen_at, self._noted.get(session.guid, session.seen_at))
        if now - last < every:
            return False
        self._noted[session.guid] = now
        self._noted.move_to_end(session.guid)
        if len(self._noted) > CAPACITY:
            self._noted.popitem(last=False)
        return True
