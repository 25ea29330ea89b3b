"""Signed links: access to one variant of one image, without a login, until the link expires."""

import base64
import hashlib
import hmac
import re
import struct
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from pixyproxy.application.access_changes import AccessChanges
from pixyproxy.application.rotate_link_key import LINK_SECRET
from pixyproxy.domain.errors import OperationNotAllowedError
from pixyproxy.domain.ports import AccessMark, SecretStore

_VERSION: Final = b"pixyproxy link 1"
_MAC_SIZE: Final = 24
# The length of the version, seconds since 1970, the guid, and the length of the variant.
_HEAD: Final = struct.Struct(f">B{len(_VERSION)}sQ16sI")


class LinkSigner:
    """Signs and verifies links with an HMAC under keys that all processes share.

    The first of `keys` signs and all of them verify, so that a key can be rotated while its links are in use. Without
    keys, the database's own key does both, and the one before it verifies: see `RotateLinkKey`. A signature covers a
    guid, a variant (its canonical text, empty for the original) and an expiry time.
    """

    def __init__(self, secrets: SecretStore, access: AccessChanges, keys: Sequence[bytes] = ()) -> None:
        self._secrets = secrets
        self._access = access
        self._keys = keys
        self._own: tuple[Sequence[bytes], AccessMark] | None = None

    async def sign(self, guid: UUID, variant: str, expires: int) -> str:
        """Return the signature of a link that expires at the Unix time `expires`."""
        key, *_ = await self._all_keys()
        return _signature(key, guid, variant, expires)

    async def ensure_valid(self, guid: UUID, variant: str, expires: str, signature: str, now: datetime) -> None:
        """Raise `OperationNotAllowedError` if the signature is invalid or the link has expired.

        Only a valid signature is told that it has expired.
        """
        seconds = int(expires) if re.fullmatch(r"[1-9][0-9]{0,11}", expires) else 0
        given = signature.encode("utf-8", "replace")
        # Every key is tried, so that the duration does not reveal which one matches.
        fits = [
            hmac.compare_digest(_signature(key, guid, variant, seconds).encode(), given)
            for key in await self._all_keys()
        ]
        if not (seconds and any(fits)):
            raise OperationNotAllowedError("The link is not valid.")
        if now.timestamp() >= seconds:
            raise OperationNotAllowedError("The link has expired.")

    async def _all_keys(self) -> Sequence[bytes]:
        if self._keys:
            return self._keys
        if self._own is not None:
            keys, mark = self._own
            if await self._access.holds(mark):
                return keys
        mark = await self._access.mark()
        keys = await self._secrets.accepted(LINK_SECRET)
        self._own = keys, mark
        return keys


def _signature(key: bytes, guid: UUID, variant: str, expires: int) -> str:
    text = variant.encode()
    message = _HEAD.pack(len(_VERSION), _VERSION, expires, guid.bytes, len(text)) + text
    mac = hmac.digest(key, message, hashlib.sha256)[:_MAC_SIZE]
    return base64.urlsafe_b64encode(mac).decode()
