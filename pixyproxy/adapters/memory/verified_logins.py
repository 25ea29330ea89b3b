"""A cache of verified logins that keeps no passwords."""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from pixyproxy.domain.ports import VerifiedLogins
from pixyproxy.domain.user import UserName

CAPACITY: Final = 10_000
FAMILIAR_SECONDS: Final = 86_400.0

_LOGIN: Final = b"login"
_ADDRESS: Final = b"address"


class InMemoryVerifiedLogins(VerifiedLogins):
    """Keeps a keyed digest of each verified login, and of each name and address; the 10,000 latest of each.

    A login counts as verified for `lifetime` seconds; for a day, `was_right` and `is_familiar` know it. The key is
    random and never leaves the process, so a digest reveals nothing about the password. `monotonic` is a clock in
    seconds.
    """

    def __init__(self, *, lifetime: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._lifetime = lifetime
        self._monotonic = monotonic
        self._key = secrets.token_bytes(64)
        self._logins: OrderedDict[bytes, float] = OrderedDict()
        self._addresses: OrderedDict[bytes, float] = OrderedDict()

    def put(self, name: UserName, password: str, address: str | None = None) -> None:
        self._note(self._logins, self._digest(_LOGIN, name, password))
        if address is not None:
            self._note(self._addresses, self._digest(_ADDRESS, name, address))

    def contains(self, name: UserName, password: str) -> bool:
        return self._is_younger(self._logins, self._digest(_LOGIN, name, password), self._lifetime)

    def was_right(self, name: UserName, password: str) -> bool:
        return self._is_younger(self._logins, self._digest(_LOGIN, name, password), FAMILIAR_SECONDS)

    def is_familiar(self, name: UserName, address: str) -> bool:
        return self._is_younger(self._addresses, self._digest(_ADDRESS, name, address), FAMILIAR_SECONDS)

    def forget(self, name: UserName, password: str) -> None:
        self._logins.pop(self._digest(_LOGIN, name, password), None)

    def _note(self, times: OrderedDict[bytes, float], digest: bytes) -> None:
        times[digest] = self._monotonic()
        times.move_to_end(digest)
        if len(times) > CAPACITY:
            times.popitem(last=False)

    def _is_younger(self, times: OrderedDict[bytes, float], digest: bytes, seconds: float) -> bool:
        verified_at = times.get(digest)
        return verified_at is not None and self._monotonic() - verified_at < seconds

    def _digest(self, kind: bytes, name: UserName, secret: str) -> bytes:
        # Names have no colon, so each login has a text of its own.
        return hashlib.blake2b(f"{name}:{secret}".encode(), key=self._key, person=kind).digest()
