"""Sessions of browsers, which a cookie carries."""

from dataclasses import dataclass

from pixyproxy.application import FindSession
from pixyproxy.entrypoints.http.auth.authentication import Authenticator, Connection, Login
from pixyproxy.entrypoints.http.session_cookie import token_of


@dataclass(frozen=True, slots=True)
class SessionAuthenticator(Authenticator):
    """Authenticates the users of sessions; a cookie without a valid session is no login, and no error.

    It follows the authenticators of an `Authorization` header, which takes precedence.
    """

    find_session: FindSession

    async def authenticate(self, connection: Connection) -> Login | None:
        """Return the login of the session's user; None without a valid session."""
        token = token_of(connection.scope)
        found = None if token is None else await self.find_session(token)
        return None if found is None else Login(found.principal)
