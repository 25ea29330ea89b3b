"""A cache of verified logins that keeps no passwords."""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from pixyproxy.domain.ports import VerifiedLogins
from pixyproxy.domain.user import Principal, UserName

CAPACITY: Final = 10_000
FAMILIAR_SECONDS: Final = 86_400.0

_LOGIN: Final = b"login"
_ADDRESS: Final = b"address"


class _Verified(NamedTuple):
    at: float
    is_admin: bool


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
        self._logins: OrderedDict[bytes, _Verified] = OrderedDict()
        self._addresses: OrderedDict[bytes, _Verified] = OrderedDict()

    def put(self, name: UserName, password: str, address: str | None = None, *, is_admin: bool = False) -> None:
        self._note(self._logins, self._digest(_LOGIN, name, password), is_admin=is_admin)
        if address is not None:
            self._note(self._addresses, self._digest(_ADDRESS, name, address))

    def find(self, name: UserName, password: str) -> Principal | None:
        digest = self._digest(_LOGIN, name, password)
        if not self._is_younger(self._logins, digest, self._lifetime):
            return None
        return Principal(name=name, is_admin=self._logins[digest].is_admin)

    def was_right(self, name: UserName, password: str) -> bool:
        return self._is_younger(self._logins, self._digest(_LOGIN, name, password), FAMILIAR_SECONDS)

    def is_familiar(self, name: UserName, address: str) -> bool:
        return self._is_younger(self._addresses, self._digest(_ADDRESS, name, address), FAMILIAR_SECONDS)

    def forget(self, name: UserName, password: str) -> None:
        self._logins.pop(self._digest(_LOGIN, name, password), None)

    def _note(self, kept: OrderedDict[bytes, _Verified], digest: bytes, *, is_admin: bool = False) -> None:
        kept[digest] = _Verified(self._monotonic(), is_admin)
        kept.move_to_end(digest)
        if len(kept) > CAPACITY:
            kept.popitem(last=False)

    def _is_younger(self, kept: OrderedDict[bytes, _Verified], digest: bytes, seconds: float) -> bool:
        verified = kept.get(digest)
        return verified is not None and self._monotonic() - verified.at < seconds

    def _digest(self, kind: bytes, name: UserName, secret: str) -> bytes:
        # Names have no colon, so each login has a text of its own.
        return hashlib.blake2b(f"{name}:{secret}".encode(), key=self._key, person=kind).digest()
