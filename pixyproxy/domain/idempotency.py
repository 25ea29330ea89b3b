"""Idempotency keys: a client's names for its requests, so that repeating one buys nothing.

After draft-ietf-httpapi-idempotency-key-header-07, modelled on Stripe's API.
"""

import hashlib
import re
from typing import Final, NewType, Self
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


ORDER_SECONDS: Final = 1_200.0
"""How long a client may repeat a request without an idempotency key, and not buy another image."""

ORDER_PREFIX: Final = "order "
"""How the key of an order begins; no client can send a space in a key."""

_ATTEMPT_MAX: Final = 1_000


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """An author's use of an idempotency key; `fingerprint` identifies the request, with the size of a batch.

    A request without a key of the client's is an order, kept under a key of its own; `attempt` is the number of times
    that the client had sent it before. A claim lasts `seconds` from now, by the database's clock. Without an author,
    `key` combines the client's key and the request: strangers who happen to use the same key must neither refuse each
    other's requests nor see each other's images. `plain_key` is then the client's key alone, which the first versions
    stored: it counts for a request with the same fingerprint.

    With `replaces`, the guid of an order that bought nothing, the claim takes the place of that order's.
    """

    author: UserName | None
    key: IdempotencyKey
    fingerprint: str
    seconds: float = 86_400.0
    plain_key: IdempotencyKey | None = None
    attempt: int = 0
    replaces: UUID | None = None

    @property
    def is_order(self) -> bool:
        """Whether the key is not the client's."""
        return self.key.startswith(ORDER_PREFIX)

    @classmethod
    def of_order(cls, image: Image, attempt: int) -> Self:
        """Return the claim of a request without a key, which the client has sent `attempt` times before.

        `image` is its first image.
        """
        return cls(
            author=image.author,
            key=IdempotencyKey(f"{ORDER_PREFIX}{image.guid}"),
            fingerprint=_fingerprint_of(image),
            seconds=ORDER_SECONDS,
            attempt=min(max(0, attempt), _ATTEMPT_MAX),
        )

    @classmethod
    def on(cls, image: Image, key: IdempotencyKey, seconds: float = 86_400.0) -> Self:
        """Return the claim of `key` for the request of `image`, or of the batch that it is in."""
        fingerprint = _fingerprint_of(image)
        if image.author is not None:
            return cls(author=image.author, key=key, fingerprint=fingerprint, seconds=seconds)
        combined = IdempotencyKey(hashlib.sha256(f"{key} {fingerprint}".encode()).hexdigest())
        return cls(author=None, key=combined, fingerprint=fingerprint, seconds=seconds, plain_key=key)


def _fingerprint_of(image: Image) -> str:
    # What is not given is left out, so that keys stay valid when a later version adds options.
    options = image.request.fingerprint_options
    sender = image.sender and (image.sender.user, image.sender.safety_identifier)
    asked: tuple[object, ...] = (image.prompt, image.tags, image.visibility)
    if image.batch is not None:
        asked = (*asked, options, image.batch.size)
    elif options:
        asked = (*asked, options)
    if sender and any(sender):
        asked = (*asked, {"sender": sender})
    return hashlib.sha256(msgspec.json.encode(asked)).hexdigest()


class ClaimedImage(msgspec.Struct, frozen=True, kw_only=True):
    """The guid of the image or batch that a key was used for, and the fingerprint of the request."""

    guid: UUID
    fingerprint: str
