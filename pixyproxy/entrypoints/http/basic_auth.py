"""The `Authorization` header of HTTP Basic (RFC 7617)."""

import base64
import binascii

from pixyproxy.domain.errors import AuthenticationError

CHALLENGE = 'Basic realm="pixyproxy", charset="UTF-8"'


def parse_basic_credentials(header: str) -> tuple[str, str]:
    """Return user name and password; raise `AuthenticationError`, whose detail says what is wrong with the header."""
    scheme, _, token = header.strip().partition(" ")
    if not scheme:
        raise AuthenticationError("The Authorization header is empty.")
    if scheme.lower() != "basic":
        raise AuthenticationError("The Authorization header must use the scheme Basic.")
    if not token:
        raise AuthenticationError("The Authorization header has no credentials.")
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
    return name, password
