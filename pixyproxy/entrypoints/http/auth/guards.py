"""Which principals may call a route."""

from litestar.handlers import BaseRouteHandler

from pixyproxy.domain.errors import UnauthorizedError
from pixyproxy.domain.user import ANONYMOUS
from pixyproxy.entrypoints.http.auth.authentication import Connection


async def require_login(connection: Connection, _: BaseRouteHandler) -> None:
    """Raise `UnauthorizedError` for a request without credentials that the route takes."""
    if connection.user == ANONYMOUS:
        raise UnauthorizedError("This needs a login with HTTP Basic.")
