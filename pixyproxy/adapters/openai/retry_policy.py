"""When a generation that failed is asked for again."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import msgspec


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often and when to try again what surely was not billed; nothing else is ever tried again.

    At most `max_retries` times, in seconds: when no connection could be made, after a pause that begins with `backoff`
    and doubles each time; when OpenAI asks to wait, after that wait unless it is longer than `max_retry_after`. Both
    grow by a random part, from 0 to `backoff`. `sleep` and `jitter` (a random number from 0 to 1) are there for tests.
    """

    max_retries: int = 2
    max_retry_after: float = 5.0
    backoff: float = 0.5
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random

    def pause_before_retry(self, attempt: int, *, asked: float | None) -> float | None:
        """Return the pause after the attempt (counted from 0), or None if it was the last one.

        `asked` is the wait that OpenAI has asked for; None means that no connection could be made.
        """
        if attempt >= self.max_retries or (asked is not None and asked > self.max_retry_after):
            return None
        pause = self.backoff * 2**attempt if asked is None else asked
        return pause + self.backoff * self.jitter()
