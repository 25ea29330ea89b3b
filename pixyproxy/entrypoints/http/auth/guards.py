"""Who may call a route."""

import asyncio
import ipaddress
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from pixyproxy.domain.errors import AuthenticationError, OverloadedError, TooManyLoginsError, UnauthorizedError
from pixyproxy.domain.user import ANONYMOUS, USER_NAME_MAX_LENGTH, Principal
from pixyproxy.entrypoints.access_log import log_request
from pixyproxy.entrypoints.http.auth.basic_auth import parse_basic_credentials
from pixyproxy.entrypoints.http.auth.client_address import client_address
from pixyproxy.entrypoints.http.content.links import holder_of_link, is_link

Connection = ASGIConnection[Any, Any, Any, Any]

# A refusal costs so little that those of a flood would follow each other as fast as the server can write them, and take
# the turns of other requests.
REFUSAL_PAUSE: Final = 0.1

# What one subscriber is given at least (RFC 6177): counting single addresses would count nothing.
_IPV6_PREFIX: Final = 64


async def require_login(connection: Connection, _: BaseRouteHandler) -> None:
    """Let only logged-in users pass; raise `UnauthorizedError`, or what `AuthenticateUser` raises."""
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
        name, password = parse_basic_credentials(header)
        client = client_address(connection.scope)
        try:
            principal = await authenticate_user(name, password, address=client and _subscriber(client))
        except (AuthenticationError, TooManyLoginsError) as exc:
            facts = {
                "request_id": connection.scope["state"]["request_id"],
                "client": client,
                "user": ascii(name[:USER_NAME_MAX_LENGTH]),
                "problem": type(exc).__name__,
            }
            log_request("login refused", facts)
            if isinstance(exc, TooManyLoginsError):
                await asyncio.sleep(REFUSAL_PAUSE)
            raise
        except OverloadedError:
            await asyncio.sleep(REFUSAL_PAUSE)
            raise
    connection.scope["user"] = principal
    return principal


def _subscriber(client: str) -> str:
    """Return what a subscriber can't easily change of an address: the first 64 bits of an IPv6 address, else all."""
    return str(ipaddress.ip_network((client, _IPV6_PREFIX), strict=False)) if ":" in client else client
