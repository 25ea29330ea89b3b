"""Sessions of browsers, which a cookie carries."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from pixyproxy.application import FindSession
from pixyproxy.entrypoints.http.auth.authentication import Authenticator, Connection, Login
from pixyproxy.entrypoints.http.session_cookie import token_of

PAGE_USER: Final = "x-page-user"


@dataclass(frozen=True, slots=True)
class SessionAuthenticator(Authenticator):
    """Authenticates the users of sessions; a cookie without a valid session is no login, and no error.

    It follows the authenticators of an `Authorization` header, which takes precedence. A page names its user in
    `X-Page-User`, percent-encoded: what it sends is nothing that a user who has logged in since then wants.
    """

    find_session: FindSession

    async def authenticate(self, connection: Connection) -> Login | None:
        """Return the login of the session's user; None without a valid session."""
        token = token_of(connection.scope)
        found = None if token is None else await self.find_session(token)
        if found is None:
            return None
        page_user = connection.headers.get(PAGE_USER)
        if page_user is not None and page_user != quote(found.principal.name or "", safe="!*'()"):
            return None
        return Login(found.principal)
