"""Verified logins, remembered without the passwords."""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

from pixyproxy.domain.ports import VerifiedLogins
from pixyproxy.domain.user import UserName

CAPACITY = 10_000


class InMemoryVerifiedLogins(VerifiedLogins):
    """Remembers a keyed digest of each login for `lifetime` seconds, and of the 10,000 latest at most.

    The key is random and never leaves the process, so that a digest tells nothing about the password. `monotonic` is
    the clock in seconds.
    """

    def __init__(self, *, lifetime: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._lifetime = lifetime
        self._monotonic = monotonic
        self._key = secrets.token_bytes(64)
        self._ends: OrderedDict[bytes, float] = OrderedDict()

    def remember(self, name: UserName, password: str) -> None:
        digest = self._digest(name, password)
        self._ends[digest] = self._monotonic() + self._lifetime
        self._ends.move_to_end(digest)
        if len(self._ends) > CAPACITY:
            self._ends.popitem(last=False)

    def recall(self, name: UserName, password: str) -> bool:
        digest = self._digest(name, password)
        end = self._ends.get(digest)
        if end is None:
            return False
        if self._monotonic() < end:
            return True
        del self._ends[digest]
        return False

    def _digest(self, name: UserName, password: str) -> bytes:
        # A name has no colon, so no two logins share this text.
        return hashlib.blake2b(f"{name}:{password}".encode(), key=self._key).digest()
