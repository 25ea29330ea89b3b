"""Failed variants, remembered for a while."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

import msgspec

from pixyproxy.domain.errors import DamagedContentError

MAX_COUNT: Final = 10_000
SECONDS: Final = 600.0


class _Failure(msgspec.Struct, frozen=True):
    pixels: int
    detail: str
    until: float


class Failures:
    """Remembers for `seconds` at which size each of the latest `max_count` contents failed to be drawn.

    A larger variant of the same content, in any format, fails without being tried again; a smaller one may succeed.
    `now` is the clock in seconds.
    """

    def __init__(
        self, *, max_count: int = MAX_COUNT, seconds: float = SECONDS, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_count = max_count
        self._seconds = seconds
        self._now = now
        self._failures: OrderedDict[Hashable, _Failure] = OrderedDict()

    def put(self, content: Hashable, pixels: int, error: DamagedContentError) -> None:
        """Remember that the content could not be drawn at this size."""
        self._failures[content] = _Failure(pixels, error.detail, self._now() + self._seconds)
        self._failures.move_to_end(content)
        while len(self._failures) > self._max_count:
            self._failures.popitem(last=False)

    def ensure_none(self, content: Hashable, pixels: int) -> None:
        """Raise the remembered error if the content recently failed at this size or a smaller one."""
        failure = self._failures.get(content)
        if failure is None or failure.pixels > pixels:
            return
        if failure.until < self._now():
            del self._failures[content]
            return
        raise DamagedContentError(failure.detail)
