"""What time it is."""

from abc import abstractmethod
from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """What time it is."""

    @abstractmethod
    def now(self) -> datetime:
        """Return the time in UTC, to the microsecond."""
