"""Idempotency keys: a client's names for its requests, so that repeating one buys nothing.

After draft-ietf-httpapi-idempotency-key-header-07, modelled on Stripe's API.
"""

import hashlib
import re
from typing import NewType, Self
from uuid import UUID

import msgspec

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import Image
from pixyproxy.domain.user import UserName

IdempotencyKey = NewType("IdempotencyKey", str)


def parse_idempotency_key(text: str) -> IdempotencyKey:
    """Return the key in `text`, a string of structured fields (RFC 9651, 3.3.3) or the same without its quotes.

    Raises `DataValidationError` unless it has 1 to 255 visible ASCII characters.
    """
    quoted = re.fullmatch(r'"((?:[!#-\[\]-~]|\\["\\])*)"', text)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    if not re.fullmatch(r"[!-~]{1,255}", key) or (not quoted and '"' in key):
        raise DataValidationError("Idempotency-Key", "must be 1 to 255 visible ASCII characters")
    return IdempotencyKey(key)


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """An author's use of an idempotency key; `fingerprint` identifies the request, with the size of a batch.

    It lasts `seconds` from now, by the database's clock. Without an author, `key` combines the client's key and the
    request: strangers who happen to use the same key must neither refuse each other's requests nor see each other's
    images. `plain_key` is then the client's key alone, which the first versions stored: it counts for a request with
    the same fingerprint.
    """

    author: UserName | None
    key: IdempotencyKey
    fingerprint: str
    seconds: float = 86_400.0
    plain_key: IdempotencyKey | None = None

    @classmethod
    def on(cls, image: Image, key: IdempotencyKey, seconds: float = 86_400.0) -> Self:
        """Return the claim of `key` for the request of `image`, or of the batch that it is in."""
        # Options that are not given are left out, so that keys stay valid when a later version adds options.
        options = image.request.fingerprint_options
        asked: tuple[object, ...] = (image.prompt, image.tags, image.visibility)
        if image.batch is not None:
            asked = (*asked, options, image.batch.size)
        elif options:
            asked = (*asked, options)
        fingerprint = hashlib.sha256(msgspec.json.encode(asked)).hexdigest()
        if image.author is not None:
            return cls(author=image.author, key=key, fingerprint=fingerprint, seconds=seconds)
        combined = IdempotencyKey(hashlib.sha256(f"{key} {fingerprint}".encode()).hexdigest())
        return cls(author=None, key=combined, fingerprint=fingerprint, seconds=seconds, plain_key=key)


class ClaimedImage(msgspec.Struct, frozen=True, kw_only=True):
    """The guid of the image or batch that a key was used for, and the fingerprint of the request."""

    guid: UUID
    fingerprint: str
