"""A clock that tests control."""

from datetime import UTC, datetime, timedelta

from pixyproxy.domain.ports import Clock


class InMemoryClock(Clock):
    """Starts at `start` (in UTC) and advances by `step` at each call."""

    def __init__(
        self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC), *, step: timedelta = timedelta(seconds=1)
    ) -> None:
        self._next = start
        self._step = step

    def now(self) -> datetime:
        now = self._next
        self._next += self._step
        return now
