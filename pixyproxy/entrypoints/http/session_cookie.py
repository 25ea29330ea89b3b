"""The cookie that carries a session (RFC 6265)."""

from typing import Final

from litestar.types import Scope

from pixyproxy.domain.session import SessionToken
from pixyproxy.entrypoints.http.service_path import is_https, prefix_of

COOKIE: Final = "pixyproxy"
# Browsers take a cookie with this prefix only over https, and from no other host (RFC 6265bis, section 4.1.3.2).
SECURE_COOKIE: Final = f"__Host-{COOKIE}"

_NAMES: Final = {False: COOKIE.encode(), True: SECURE_COOKIE.encode()}


def token_of(scope: Scope) -> str | None:
    """Return the token that a request's cookie carries, valid or not; None without the cookie.

    Browsers send the cookie of the longest path first.
    """
    wanted = None
    for header, value in scope["headers"]:
        if header == b"cookie":
            wanted = wanted or _NAMES[is_https(scope)]
            for cookie in value.split(b";"):
                name, _, token = cookie.partition(b"=")
                if name.strip() == wanted:
                    return token.strip().decode("latin-1")
    return None


def login_cookie(scope: Scope, token: SessionToken, lifetime: int) -> str:
    """Return the `Set-Cookie` of a login that lasts at most `lifetime` seconds."""
    return _cookie(scope, token, lifetime)


def no_cookie(scope: Scope) -> str:
    """Return the `Set-Cookie` that deletes the cookie."""
    return _cookie(scope, "", 0)


def _cookie(scope: Scope, value: str, max_age: int) -> str:
    attributes = f"Max-Age={max_age}; HttpOnly; SameSite=Lax"
    if is_https(scope):
        return f"{SECURE_COOKIE}={value}; Path=/; Secure; {attributes}"
    return f"{COOKIE}={value}; Path={prefix_of(scope) or '/'}; {attributes}"
