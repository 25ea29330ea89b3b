"""The system clock."""

from datetime import UTC, datetime

from pixyproxy.domain.ports import Clock


class SystemClock(Clock):
    """Returns the system time in UTC."""

    def now(self) -> datetime:
        return datetime.now(UTC)
