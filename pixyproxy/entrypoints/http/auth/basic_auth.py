"""The `Authorization` header of HTTP Basic (RFC 7617)."""

import base64
import binascii
from typing import Final

from pixyproxy.domain.errors import AuthenticationError, BadRequestError
from pixyproxy.domain.text import ensure_marks

CHALLENGE = 'Basic realm="pixyproxy", charset="UTF-8"'


# Name and password as long as they may be, four bytes a character, decomposed, and in base64.
_TOKEN_MAX_LENGTH: Final = 24_576


def parse_basic_credentials(header: str) -> tuple[str, str]:
    """Return user name and password; raise `AuthenticationError`, whose detail says what is wrong with the header.

    Raises `BadRequestError` for credentials that are too long or have too many marks to be valid.
    """
    scheme, _, token = header.strip().partition(" ")
    if not scheme:
        raise AuthenticationError("The Authorization header is empty.")
    if scheme.lower() != "basic":
        raise AuthenticationError("The Authorization header must use the scheme Basic.")
    if not token:
        raise AuthenticationError("The Authorization header has no credentials.")
    if len(token) > _TOKEN_MAX_LENGTH:
        raise BadRequestError("The Authorization header's credentials are too long.")
    try:
        credentials = base64.b64decode(token.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise AuthenticationError("The Authorization header's credentials are not valid base64.") from None
    try:
        text = credentials.decode()
    except UnicodeDecodeError:
        raise AuthenticationError("The Authorization header's credentials are not valid UTF-8.") from None
    name, colon, password = text.partition(":")
    if not colon:
        raise AuthenticationError("The Authorization header's credentials have no colon between name and password.")
    ensure_marks("name", name)
    ensure_marks("password", password)
    return name, password
