"""Sessions: logins of browsers, which a cookie carries on."""

import base64
import hashlib
import re
from datetime import datetime, timedelta
from typing import Final, NewType, Self
from uuid import UUID

import msgspec

from pixyproxy.domain.errors import RecordNotFoundError
from pixyproxy.domain.user import PasswordHash, User, UserName

TOKEN_SIZE: Final = 32
"""The random bytes of a token."""

SessionToken = NewType("SessionToken", str)
"""The secret of a session, as its cookie carries it."""

_TOKEN: Final = re.compile(r"[0-9A-Za-z_-]{43}", re.ASCII)


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A login of a browser as `user`, without its token.

    `digest` is the SHA-256 of the token in hexadecimal, and `password_digest` that of the user's password hash at the
    login. `seen_at` is when the session was last known to be used. All times are in UTC.
    """

    guid: UUID
    user: UserName
    digest: str
    password_digest: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime

    @classmethod
    def opened(cls, token: SessionToken, user: User, *, guid: UUID, at: datetime, lifetime: float) -> Self:
        """Return the new session of a user whose password was verified; it lasts at most `lifetime` seconds."""
        return cls(
            guid=guid,
            user=user.name,
            digest=_sha256(token),
            password_digest=_sha256(user.password_hash),
            created_at=at,
            seen_at=at,
            expires_at=at + timedelta(seconds=lifetime),
        )

    def is_valid_at(self, time: datetime, idle_seconds: float) -> bool:
        """Whether the session has neither expired at `time` nor been idle for `idle_seconds`."""
        return time < self.expires_at and time - self.seen_at < timedelta(seconds=idle_seconds)

    def is_of(self, user: User) -> bool:
        """Whether the user, as stored now, may still use it: not disabled, and with the password of the login."""
        return self.user == user.name and not user.is_disabled and self.password_digest == _sha256(user.password_hash)


def make_session_token(random: bytes) -> SessionToken:
    """Return the token of 32 random bytes: 43 characters of base64url (RFC 4648, section 5)."""
    return SessionToken(base64.urlsafe_b64encode(random).rstrip(b"=").decode())


def digest_of_token(text: str) -> str | None:
    """Return the digest of a token; None for a text that can be none."""
    return _sha256(text) if _TOKEN.fullmatch(text) else None


def session_not_found() -> RecordNotFoundError:
    """Make the error for an unknown session."""
    return RecordNotFoundError("There is no such session.")


def _sha256(text: str | SessionToken | PasswordHash) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
