"""Who is asking: each request that depends on it is authenticated once, before its handler."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.types import ASGIApp, Receive, Scope, Send

from pixyproxy.domain.user import ANONYMOUS, Principal

Connection = ASGIConnection[Any, Principal, Any, Any]
APIRequest = Request[Principal, Any, Any]


class Authenticator(Protocol):
    """One kind of credentials."""

    @abstractmethod
    async def authenticate(self, connection: Connection) -> Principal | None:
        """Return the principal that the request's credentials belong to; None for a request without this kind.

        Raises an error of the domain for credentials that are malformed or not valid.
        """


def authentication(*authenticators: Authenticator) -> Callable[[ASGIApp], ASGIApp]:
    """Return the middleware that puts the principal into `request.user`: the first that is found, or `ANONYMOUS`.

    Only the routes that need a principal have it, so that other routes neither check nor refuse credentials. It is
    plain ASGI: Litestar's `AbstractAuthenticationMiddleware` and a guard do the same and cost more per request. It is a
    function, because Litestar copies the handlers it registers, with all objects in their middleware.
    """

    async def principal_of(connection: Connection) -> Principal:
        for authenticator in authenticators:
            principal = await authenticator.authenticate(connection)
            if principal is not None:
                return principal
        return ANONYMOUS

    def middleware(app: ASGIApp) -> ASGIApp:
        async def authenticated(scope: Scope, receive: Receive, send: Send) -> None:
            scope["user"] = await principal_of(ASGIConnection(scope))
            await app(scope, receive, send)

        return authenticated

    return middleware
