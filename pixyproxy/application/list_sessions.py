"""Use case: list sessions."""

from collections.abc import Sequence
from dataclasses import dataclass

from pixyproxy.application.user_names import find_user
from pixyproxy.domain.ports import Clock, SessionStore, UserRepository
from pixyproxy.domain.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSessions:
    """List the sessions of `user`, or of all users, that are valid now, oldest first.

    A session ends after `idle` seconds without a request. Raises `RecordNotFoundError` for an unknown user.
    """

    sessions: SessionStore
    users: UserRepository
    clock: Clock
    idle: float

    async def __call__(self, user: str | None = None) -> Sequence[Session]:
        owners = await self.users.list() if user is None else [await find_user(self.users, user, "user")]
        by_name = {owner.name: owner for owner in owners}
        now = self.clock.now()
        return [
            session
            for session in await self.sessions.list(None if user is None else owners[0].name)
            if session.is_valid_at(now, self.idle) and session.user in by_name and session.is_of(by_name[session.user])
        ]
