"""Headers as ASGI has them."""

from litestar.types import Scope

Header = tuple[bytes, bytes]


def header_of(scope: Scope, name: bytes) -> bytes | None:
    """Return the first header of a request with this name, which is in lower case."""
    return next((value for each, value in scope["headers"] if each == name), None)
