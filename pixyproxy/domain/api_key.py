"""API keys: credentials of programs, each of one user."""

import hashlib
import re
import string
import zlib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, NewType, Self
from uuid import UUID

import msgspec

from pixyproxy.domain.errors import AuthenticationError, DataValidationError, RecordNotFoundError
from pixyproxy.domain.image import Visibility
from pixyproxy.domain.tag import Tag, ensure_tags, parse_new_tags
from pixyproxy.domain.text import ensure_label, ensure_new_label, normalized_label
from pixyproxy.domain.user import UserName, ensure_user_name

KEY_NAME_MAX_LENGTH = 64
KEY_MARK: Final = "pixy_"
"""How each key begins."""
KEY_PREFIX_LENGTH: Final = 10
TOKEN_SIZE: Final = 32
"""The random bytes of a key: more than its digits hold, so that each digit is as likely as another."""

KeySecret = NewType("KeySecret", str)
"""A key as its holder sends it."""

_DIGITS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_TOKEN_LENGTH: Final = 36
_CHECKSUM_LENGTH: Final = 6
_SECRET: Final = re.compile(rf"{KEY_MARK}([0-9A-Za-z]{{{_TOKEN_LENGTH}}})([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})", re.ASCII)


class KeyScope(StrEnum):
    """What a key may do: read, create images, or change, delete and share them."""

    READ = "read"
    CREATE = "create"
    MANAGE = "manage"


class KeyState(StrEnum):
    """Whether a key can be used, or why not; one that is both expired and revoked is revoked."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


DEFAULT_SCOPES: Final = (KeyScope.READ, KeyScope.CREATE)


class APIKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key of `user`, without its secret.

    `prefix` are the first characters of the secret, to recognise it by, and `digest` is its SHA-256 in hexadecimal.
    `visibility` and `tags` are defaults of images that are requested below `/v1`. `last_used_at` is exact to the
    minute. All times are in UTC.
    """

    guid: UUID
    name: str
    user: UserName
    prefix: str
    digest: str
    scopes: tuple[KeyScope, ...]
    visibility: Visibility | None = None
    tags: tuple[Tag, ...] = ()
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    @classmethod
    def made(
        cls,
        secret: KeySecret,
        *,
        guid: UUID,
        name: str,
        user: UserName,
        scopes: Collection[KeyScope] = DEFAULT_SCOPES,
        visibility: Visibility | None = None,
        tags: Sequence[str] = (),
        expires_at: datetime | None = None,
        at: datetime,
    ) -> Self:
        """Return the new key with this secret; raise `DataValidationError`.

        A name has 1 to 64 characters. Without `expires_at`, which must have a time zone and be after `at`, the key
        never expires.
        """
        parsed = normalized_label("name", name, KEY_NAME_MAX_LENGTH)
        ensure_new_label("name", parsed, KEY_NAME_MAX_LENGTH)
        if not scopes:
            raise DataValidationError("scopes", "must be at least one")
        expiry = None if expires_at is None else _in_utc("expires_at", expires_at)
        if expiry is not None and expiry <= at:
            raise DataValidationError("expires_at", "must be in the future")
        key = cls(
            guid=guid,
            name=parsed,
            user=user,
            prefix=secret[:KEY_PREFIX_LENGTH],
            digest=digest_of(secret),
            scopes=tuple(scope for scope in KeyScope if scope in scopes),
            visibility=visibility,
            tags=parse_new_tags(tags),
            created_at=at,
            expires_at=expiry,
        )
        key.ensure_valid()
        return key

    def ensure_valid(self) -> None:
        """Raise `DataValidationError` for a key that breaks a rule."""
        ensure_label("name", self.name, KEY_NAME_MAX_LENGTH)
        ensure_user_name("user", self.user)
        ensure_tags(self.tags)
        for field in ("created_at", "expires_at", "last_used_at", "revoked_at"):
            time: datetime | None = getattr(self, field)
            if time is not None and time.utcoffset() != timedelta(0):
                raise DataValidationError(field, "must be in UTC")

    def state_at(self, time: datetime) -> KeyState:
        """Return the key's state at `time`, which is not before it was revoked."""
        if self.revoked_at is not None:
            return KeyState.REVOKED
        return KeyState.ACTIVE if self.expires_at is None or time < self.expires_at else KeyState.EXPIRED

    def is_valid_at(self, time: datetime) -> bool:
        """Whether the key is neither revoked nor expired at `time`."""
        return self.state_at(time) is KeyState.ACTIVE


def make_key_secret(token: bytes) -> KeySecret:
    """Return the secret of 32 random bytes: `pixy_`, 36 base62 digits and a checksum of 6.

    Secret scanners recognise the form, as they do GitHub's tokens: the checksum is the CRC-32 of the digits.
    """
    digits = _base62(int.from_bytes(token), _TOKEN_LENGTH)
    return KeySecret(f"{KEY_MARK}{digits}{_checksum(digits)}")


def parse_key_secret(text: str) -> KeySecret:
    """Return `text` as a secret; raise `AuthenticationError` for what can be none."""
    found = _SECRET.fullmatch(text)
    if found is None or _checksum(found[1]) != found[2]:
        raise wrong_key()
    return KeySecret(text)


def recognisable_prefix(text: str) -> str | None:
    """Return the prefix of a text of a secret's form and length; None for any other, which could be a password."""
    return None if _SECRET.fullmatch(text) is None else text[:KEY_PREFIX_LENGTH]


def digest_of(secret: KeySecret) -> str:
    """Return the SHA-256 of a secret; it is random, so that a faster hash than that of passwords is safe."""
    return hashlib.sha256(secret.encode()).hexdigest()


def wrong_key() -> AuthenticationError:
    """Make the one error for an unknown, a revoked and an expired key, and for that of a disabled user."""
    return AuthenticationError("The API key is wrong, expired or revoked.")


def key_not_found() -> RecordNotFoundError:
    """Make the one error for an unknown key and for one that the principal may not know of."""
    return RecordNotFoundError("There is no such API key.")


def _in_utc(field: str, time: datetime) -> datetime:
    if time.tzinfo is None:
        raise DataValidationError(field, "must have a time zone")
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise DataValidationError(field, "is out of range") from None


def _checksum(digits: str) -> str:
    return _base62(zlib.crc32(digits.encode()), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = ""
    while len(digits) < length:
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits
