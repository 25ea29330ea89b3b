"""HTTP Basic authentication (RFC 7617)."""

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from pixyproxy.application import AuthenticateUser
from pixyproxy.domain.errors import AuthenticationError, BadRequestError
from pixyproxy.domain.text import ensure_marks
from pixyproxy.entrypoints.http.auth.authentication import Authenticator, Connection, Login
from pixyproxy.entrypoints.http.auth.refusals import noted_refusals, subscriber_of
from pixyproxy.entrypoints.http.credentials import BASIC, credentials_of

# The longest name and password: four bytes per character, decomposed, in base64.
_TOKEN_MAX_LENGTH: Final = 24_576


def parse_basic_credentials(token: str) -> tuple[str, str]:
    """Return user name and password; raise `AuthenticationError`, whose detail names the fault of the header.

    Raises `BadRequestError` for credentials that are too long or have too many marks to be valid.
    """
    if not token:
        raise AuthenticationError("The Authorization header has no credentials.")
    if len(token) > _TOKEN_MAX_LENGTH:
        raise BadRequestError("The Authorization header's credentials are too long.")
    try:
        credentials = base64.b64decode(token, validate=True)
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


@dataclass(frozen=True, slots=True)
class BasicAuthenticator(Authenticator):
    """Authenticates users by name and password, and logs each refused login.

    Raises the errors of `parse_basic_credentials` and `AuthenticateUser`.
    """

    authenticate_user: AuthenticateUser

    async def authenticate(self, connection: Connection) -> Login | None:
        """Return the user's login; None without an `Authorization` header of this scheme."""
        credentials = credentials_of(connection.scope)
        if credentials is None or credentials.scheme != BASIC:
            return None
        name, password = parse_basic_credentials(credentials.token)
        async with noted_refusals(connection.scope, name):
            return Login(await self.authenticate_user(name, password, address=subscriber_of(connection.scope)))
