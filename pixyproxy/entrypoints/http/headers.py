"""Headers in an ASGI scope."""

from litestar.types import Scope

Header = tuple[bytes, bytes]


def header_of(scope: Scope, name: bytes) -> bytes | None:
    """Return the first header of a request with this lower-case name."""
    return next((value for each, value in scope["headers"] if each == name), None)
