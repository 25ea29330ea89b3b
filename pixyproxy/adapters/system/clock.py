"""The machine's own clock."""

from datetime import UTC, datetime

from pixyproxy.domain.ports import Clock


class SystemClock(Clock):
    """Tells the machine's time in UTC, whatever its time zone is."""

    def now(self) -> datetime:
        return datetime.now(UTC)
