"""Retries of failed generations."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import msgspec

OnRateLimit = Callable[[float], Awaitable[None]]
"""Gets the seconds that OpenAI asked to wait, each time it does."""


async def ignore_rate_limit(seconds: float) -> None:
    """Do nothing."""


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Retries what was surely not billed; nothing else is ever retried.

    At most `max_retries` times: after a failed connection, with a pause of `backoff` seconds that doubles each time;
    when OpenAI asks to wait, after that wait unless it exceeds `max_retry_after`. Both grow by a random part, from 0 to
    `backoff`. `sleep` and `jitter` (a random number from 0 to 1) are for tests.
    """

    max_retries: int = 2
    max_retry_after: float = 5.0
    backoff: float = 0.5
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random

    def pause_before_retry(self, attempt: int, *, asked: float | None) -> float | None:
        """Return the pause after the attempt (counted from 0), or None if it was the last.

        `asked` is the wait that OpenAI asked for, or None if no connection could be made.
        """
        if attempt >= self.max_retries or (asked is not None and asked > self.max_retry_after):
            return None
        pause = self.backoff * 2**attempt if asked is None else asked
        return pause + self.backoff * self.jitter()
