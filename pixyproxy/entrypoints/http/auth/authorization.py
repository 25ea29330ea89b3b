"""Which principals may call a route."""

from litestar.types import ASGIApp, Receive, Scope, Send

from pixyproxy.domain.errors import UnauthorizedError
from pixyproxy.domain.user import ANONYMOUS


def require_login(app: ASGIApp) -> ASGIApp:
    """Return `app` after a check that raises `UnauthorizedError` for a request without credentials.

    It is middleware that follows `authentication`, because Litestar copies the route handler for each guard it calls,
    which takes a tenth of the time of a small request.
    """

    async def authorized(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["user"] == ANONYMOUS:
            raise UnauthorizedError("This needs a login with HTTP Basic, or an API key.")
        await app(scope, receive, send)

    return authorized
