"""The headers that carry credentials."""

from typing import Final, NamedTuple

from litestar.types import Scope

from pixyproxy.entrypoints.http.headers import header_of
from pixyproxy.entrypoints.http.paths import is_below_v1

BASIC: Final = "basic"
BEARER: Final = "bearer"


class Credentials(NamedTuple):
    """Credentials as they were sent: an authentication scheme in lower case, and its token."""

    scheme: str
    token: str


def credentials_of(scope: Scope) -> Credentials | None:
    """Return a request's credentials; None if it has none.

    Below `/v1` a key in the header `api-key` counts as a Bearer token, unless there is an `Authorization` header.
    """
    header = header_of(scope, b"authorization")
    if header is not None:
        scheme, _, token = header.decode("latin-1").strip().partition(" ")
        return Credentials(scheme.lower(), token.strip())
    if is_below_v1(scope["path"]) and (key := header_of(scope, b"api-key")) is not None:
        return Credentials(BEARER, key.decode("latin-1").strip())
    return None


def sends_key(scope: Scope) -> bool:
    """Whether a request carries an API key, valid or not."""
    credentials = credentials_of(scope)
    return credentials is not None and credentials.scheme == BEARER
