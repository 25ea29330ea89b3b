"""Where the service is, and which of its paths a request is for: the scope's state, which all layers share."""

from typing import Final

from litestar.types import HTTPScope, Scope

from pixyproxy.entrypoints.http.headers import header_of
from pixyproxy.entrypoints.public_url import is_host

_PREFIX: Final = "prefix"
_PATH: Final = "service_path"
_ORIGIN: Final = "public_origin"


def note_prefix(scope: HTTPScope, prefix: str, path: str) -> None:
    """Note the service's prefix as the client sees it, and the path of the request below it."""
    scope["state"][_PREFIX], scope["state"][_PATH] = prefix, path


def note_origin(scope: HTTPScope, origin: str) -> None:
    """Note the public origin of the service."""
    scope["state"][_ORIGIN] = origin


def prefix_of(scope: Scope) -> str:
    """Return the prefix of a request's path as the client sees it: empty, or with a leading slash only."""
    prefix: str = scope["state"].get(_PREFIX, "")
    return prefix


def service_path(scope: Scope) -> str:
    """Return a request's path below the service's prefix, wherever in the layers of the application the scope is."""
    path: str = scope["state"].get(_PATH) or scope["path"]
    return path


def is_https(scope: Scope) -> bool:
    """Whether clients reach the service by https: by its public origin, or else by the request."""
    origin: str | None = scope["state"].get(_ORIGIN)
    return scope["scheme"] == "https" if origin is None else origin.startswith("https:")


def known_address(scope: HTTPScope) -> str:
    """Return the service's absolute URL without a trailing slash, or only its path if the `Host` is malformed.

    Its origin is that of the public URL, or else the one that the client used.
    """
    origin: str | None = scope["state"].get(_ORIGIN)
    if origin is None:
        host = (header_of(scope, b"host") or b"").decode("latin-1")
        origin = f"{scope['scheme']}://{host}" if is_host(host) else ""
    return f"{origin}{prefix_of(scope)}"


def without_prefix(path: str, prefix: str) -> str:
    """Return a path without the prefix that it may have."""
    return path[len(prefix) :] or "/" if prefix and f"{path}/".startswith(f"{prefix}/") else path
