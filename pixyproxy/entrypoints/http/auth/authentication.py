"""Who is asking: each request that depends on it is authenticated once, before its handler."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol, Self

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.types import ASGIApp, Receive, Scope, Send

from pixyproxy.application.access_changes import AccessChanges
from pixyproxy.domain.api_key import APIKey
from pixyproxy.domain.errors import AuthenticationError
from pixyproxy.domain.ports import AccessMark
from pixyproxy.domain.user import ANONYMOUS, Principal
from pixyproxy.entrypoints.http.auth.key_scopes import ensure_in_scope

Connection = ASGIConnection[Any, Principal, APIKey | None, Any]
APIRequest = Request[Principal, APIKey | None, Any]


class Login(NamedTuple):
    """The principal of a request, and the API key that it carries instead of a password, if any."""

    principal: Principal
    key: APIKey | None = None


_NO_LOGIN: Final = Login(ANONYMOUS)

_LOGIN_OF: Final = "login_of"

# How long a stream may outlive a session or a key that has expired.
_EVERY_SECONDS: Final = 60.0


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
            scope["state"][_LOGIN_OF] = login_of
            if key is not None:
                ensure_in_scope(key, scope)
            scope["user"], scope["auth"] = principal, key
            await app(scope, receive, send)

        return authenticated

    return middleware


class OpenLogin:
    """The login of a request whose answer takes long."""

    def __init__(self, request: APIRequest, access: AccessChanges, mark: AccessMark) -> None:
        self._request = request
        self._access = access
        self._mark = mark

    @classmethod
    async def of(cls, request: APIRequest, access: AccessChanges) -> Self | None:
        """Return the login of a request that was just authenticated; None for one without a login."""
        return None if request.user == ANONYMOUS else cls(request, access, await access.mark())

    async def ensure_valid(self) -> None:
        """Authenticate the request again after any change, and once a minute; raise what that raises.

        Raises `AuthenticationError` if it is the login of another principal by now, or of none.
        """
        # Sessions and keys that expire are no change.
        is_recent = not self._access.is_older(self._mark, _EVERY_SECONDS)
        if is_recent and not await self._access.has_changed_since(self._mark):
            return
        mark = await self._access.mark()
        login = await self._request.scope["state"][_LOGIN_OF](self._request)
        if login.principal != self._request.user:
            raise AuthenticationError("The rights of this login have changed.")
        self._mark = mark
