"""Who may call a route."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from pixyproxy.domain.errors import UnauthorizedError
from pixyproxy.domain.user import ANONYMOUS, Principal
from pixyproxy.entrypoints.http.basic_auth import parse_basic_credentials
from pixyproxy.entrypoints.http.links import holder_of_link, is_link

Connection = ASGIConnection[Any, Any, Any, Any]


async def require_login(connection: Connection, _: BaseRouteHandler) -> None:
    """Let only logged-in users pass; raise `UnauthorizedError` or `AuthenticationError`."""
    principal = await _authenticate(connection)
    if principal.is_anonymous:
        raise UnauthorizedError("This needs a login with HTTP Basic.")


async def require_login_or_link(connection: Connection, handler: BaseRouteHandler) -> None:
    """Let logged-in users pass, and whoever has a signed link to this one image.

    Whether the image is there is not looked at before. Raises `OperationNotAllowedError` for a link that is not valid,
    whoever sends it, and `DataValidationError` for a parameter of it that is malformed.
    """
    if is_link(connection):
        connection.scope["user"] = await holder_of_link(connection)
    else:
        await require_login(connection, handler)


async def identify(connection: Connection, _: BaseRouteHandler) -> None:
    """Let anyone pass; a login that is given must be valid, and says who is asking."""
    await _authenticate(connection)


async def require_login_to_create(connection: Connection, handler: BaseRouteHandler) -> None:
    """Let logged-in users pass, and anyone if the settings say so; a login that is given must be valid either way."""
    if connection.app.state.settings.anonymous_create:
        await _authenticate(connection)
    else:
        await require_login(connection, handler)


async def _authenticate(connection: Connection) -> Principal:
    principal = ANONYMOUS
    header = connection.headers.get("Authorization")
    if header is not None:
        authenticate_user = connection.app.state.container.authenticate_user()
        principal = await authenticate_user(*parse_basic_credentials(header))
    connection.scope["user"] = principal
    return principal
