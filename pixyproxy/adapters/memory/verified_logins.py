"""A cache of verified logins that keeps no passwords."""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from pixyproxy.domain.ports import AccessMark, VerifiedLogin, VerifiedLogins
from pixyproxy.domain.user import User, UserName

CAPACITY: Final = 10_000
FAMILIAR_SECONDS: Final = 86_400.0

_LOGIN: Final = b"login"
_ADDRESS: Final = b"address"
_PROOF: Final = b"proof"


class _Noted(NamedTuple):
    at: float
    proof: bytes = b""
    login: VerifiedLogin | None = None


class InMemoryVerifiedLogins(VerifiedLogins):
    """Keeps keyed digests of the 10,000 latest verified logins with their password hashes, and of names and addresses.

    A login counts as verified for `lifetime` seconds; for a day, `was_right` and `is_familiar` know it. The key is
    random and never leaves the process, so a digest reveals nothing about the password. `monotonic` is a clock in
    seconds.
    """

    def __init__(self, *, lifetime: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._lifetime = lifetime
        self._monotonic = monotonic
        self._key = secrets.token_bytes(64)
        self._logins: OrderedDict[bytes, _Noted] = OrderedDict()
        self._addresses: OrderedDict[bytes, _Noted] = OrderedDict()

    def put(self, user: User, password: str, address: str | None = None, *, mark: AccessMark) -> None:
        noted = _Noted(
            self._monotonic(),
            self._digest(_PROOF, user.name, user.password_hash),
            VerifiedLogin(user.is_admin, mark),
        )
        _note(self._logins, self._digest(_LOGIN, user.name, password), noted)
        if address is not None:
            _note(self._addresses, self._digest(_ADDRESS, user.name, address), _Noted(self._monotonic()))

    def find(self, name: UserName, password: str) -> VerifiedLogin | None:
        digest = self._digest(_LOGIN, name, password)
        return self._logins[digest].login if self._is_younger(self._logins, digest, self._lifetime) else None

    def renew(self, user: User, password: str, *, mark: AccessMark) -> bool:
        digest = self._digest(_LOGIN, user.name, password)
        noted = self._logins.get(digest)
        if noted is None or noted.proof != self._digest(_PROOF, user.name, user.password_hash):
            return False
        self._logins[digest] = noted._replace(login=VerifiedLogin(user.is_admin, mark))
        return True

    def was_right(self, name: UserName, password: str) -> bool:
        return self._is_younger(self._logins, self._digest(_LOGIN, name, password), FAMILIAR_SECONDS)

    def is_familiar(self, name: UserName, address: str) -> bool:
        return self._is_younger(self._addresses, self._digest(_ADDRESS, name, address), FAMILIAR_SECONDS)

    def forget(self, name: UserName, password: str) -> None:
        self._logins.pop(self._digest(_LOGIN, name, password), None)

    def _is_younger(self, kept: OrderedDict[bytes, _Noted], digest: bytes, seconds: float) -> bool:
        noted = kept.get(digest)
        return noted is not None and self._monotonic() - noted.at < seconds

    def _digest(self, kind: bytes, name: UserName, secret: str) -> bytes:
        # Names have no colon, so each login has a text of its own.
        return hashlib.blake2b(f"{name}:{secret}".encode(), key=self._key, person=kind).digest()


def _note(kept: OrderedDict[bytes, _Noted], digest: bytes, noted: _Noted) -> None:
    kept[digest] = noted
    kept.move_to_end(digest)
    if len(kept) > CAPACITY:
        kept.popitem(last=False)
