"""Use case: delete sessions that are over."""

from dataclasses import dataclass
from datetime import timedelta

from pixyproxy.domain.ports import Clock, SessionStore


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSessions:
    """Delete the sessions that have expired or were idle for `idle` seconds, and return how many."""

    sessions: SessionStore
    clock: Clock
    idle: float

    async def __call__(self) -> int:
        now = self.clock.now()
        return await self.sessions.forget_expired(now, now - timedelta(seconds=self.idle))
