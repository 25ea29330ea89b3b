"""Who is asking: each request that depends on it is authenticated once, before its handler."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.types import ASGIApp, Receive, Scope, Send

from pixyproxy.domain.api_key import APIKey
from pixyproxy.domain.user import ANONYMOUS, Principal
from pixyproxy.entrypoints.http.auth.key_scopes import ensure_in_scope

Connection = ASGIConnection[Any, Principal, APIKey | None, Any]
APIRequest = Request[Principal, APIKey | None, Any]


class Login(NamedTuple):
    """The principal of a request, and the API key that it carries instead of a password, if any."""

    principal: Principal
    key: APIKey | None = None


_NO_LOGIN: Final = Login(ANONYMOUS)


class Authenticator(Protocol):
    """One kind of credentials."""

    @abstractmethod
    async def authenticate(self, connection: Connection) -> Login | None:
        """Return the login that the request's credentials are; None for a request without this kind.

        Raises an error of the domain for credentials that are malformed or not valid.
        """


def authentication(*authenticators: Authenticator) -> Callable[[ASGIApp], ASGIApp]:
    """Return the middleware that puts the principal into `request.user`: the first that is found, or `ANONYMOUS`.

    The API key of the request, or None, is put into `request.auth`; `OperationNotAllowedError` is raised if its scopes
    do not allow the request.

    Only the routes that need a principal have it, so that other routes neither check nor refuse credentials. It is
    plain ASGI: Litestar's `AbstractAuthenticationMiddleware` and a guard do the same and cost more per request. It is a
    function, because Litestar copies the handlers it registers, with all objects in their middleware.
    """

    async def login_of(connection: Connection) -> Login:
        for authenticator in authenticators:
            login = await authenticator.authenticate(connection)
            if login is not None:
                return login
        return _NO_LOGIN

    def middleware(app: ASGIApp) -> ASGIApp:
        async def authenticated(scope: Scope, receive: Receive, send: Send) -> None:
            principal, key = await login_of(ASGIConnection(scope))
            if key is not None:
                ensure_in_scope(key, scope)
            scope["user"], scope["auth"] = principal, key
            await app(scope, receive, send)

        return authenticated

    return middleware
