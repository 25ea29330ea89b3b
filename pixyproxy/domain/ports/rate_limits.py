"""Rates that processes keep together."""

from abc import abstractmethod
from typing import Protocol


class RateLimits(Protocol):
    """Rates that all processes on one database keep together, each by a name of at most 48 ASCII characters.

    A rate is the generic cell rate algorithm: one per `interval` seconds on average, and at most `burst` at once after
    a pause. Times are those of the database's clock.
    """

    @abstractmethod
    async def acquire(self, name: str, *, interval: float, burst: int) -> float:
        """Let one through and return 0, or return the seconds, more than 0, after which to ask again.

        All who wait are given the same time: at its end, one of them is let through. The rate alone makes no one wait
        for longer than an `interval`, even if it was lower before or the clock was ahead. An `interval` of 0 is no
        rate: `push_back` alone counts.
        """

    @abstractmethod
    async def push_back(self, name: str, seconds: float) -> None:
        """Let nothing through for `seconds`, whatever the rate allows; shorten no longer push-back."""

    @abstractmethod
    async def give_back(self, name: str, *, interval: float) -> None:
        """Return one `acquire` that was not used; this ends no push-back."""
