"""Where sessions live."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from pixyproxy.domain.session import Session
from pixyproxy.domain.user import UserName


class SessionStore(Protocol):
    """Where sessions live, without their tokens."""

    @abstractmethod
    async def add(self, session: Session) -> None:
        """Store a new session; raise `ConstraintViolationError` if its guid or its digest is stored."""

    @abstractmethod
    async def find(self, digest: str) -> Session | None:
        """Return the session whose token has this digest, also an expired one, or None."""

    @abstractmethod
    async def list(self, user: UserName | None = None) -> Sequence[Session]:
        """Return the sessions of a user, or of all users, oldest first; expired ones, too."""

    @abstractmethod
    async def note_seen(self, guid: UUID, at: datetime) -> None:
        """Store that a session was used at `at`, unless it was used later; ignore an unknown session."""

    @abstractmethod
    async def end(self, guid: UUID) -> None:
        """Delete a session; raise `RecordNotFoundError` when there is none."""

    @abstractmethod
    async def end_all(self, user: UserName | None = None) -> int:
        """Delete the sessions of a user, or of all users, and return their number."""

    @abstractmethod
    async def forget_expired(self, now: datetime, idle_since: datetime) -> int:
        """Delete the sessions that expire until `now` or were last used at `idle_since` or before; return the number.

        They can't be used any more, so that the access version need not grow.
        """
