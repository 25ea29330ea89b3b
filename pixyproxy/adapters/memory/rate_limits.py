"""Rates in memory."""

import time
from collections.abc import Callable
from typing import Final

from pixyproxy.domain.ports import RateLimits

_LONG_AGO: Final = float("-inf")


class InMemoryRateLimits(RateLimits):
    """Keeps rates as long as the object lives; `monotonic` returns seconds."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._next_at: dict[str, float] = {}
        self._pushed_back_to: dict[str, float] = {}

    async def acquire(self, name: str, *, interval: float, burst: int) -> float:
        now = self._monotonic()
        if interval:
            self._next_at[name] = min(self._next_at.get(name, _LONG_AGO), now + interval)
        next_at = self._next_at[name] if interval else _LONG_AGO
        wait = max(next_at, self._pushed_back_to.get(name, _LONG_AGO)) - now
        if wait > 0:
            return wait
        if interval:
            self._next_at[name] = max(next_at + interval, now + (2 - burst) * interval)
        return 0.0

    async def push_back(self, name: str, seconds: float) -> None:
        self._pushed_back_to[name] = max(self._pushed_back_to.get(name, _LONG_AGO), self._monotonic() + seconds)

    async def give_back(self, name: str, *, interval: float) -> None:
        self._next_at[name] = self._next_at.get(name, _LONG_AGO) - interval
