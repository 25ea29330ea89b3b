"""API keys as Bearer tokens (RFC 6750)."""

from dataclasses import dataclass

from pixyproxy.application import AuthenticateKey
from pixyproxy.domain.api_key import recognisable_prefix
from pixyproxy.domain.errors import AuthenticationError
from pixyproxy.domain.user import Principal
from pixyproxy.entrypoints.access_log import log_request
from pixyproxy.entrypoints.http.auth.authentication import Authenticator, Connection, Login
from pixyproxy.entrypoints.http.credentials import BEARER, credentials_of
from pixyproxy.entrypoints.http.middleware.client_address import client_address


@dataclass(frozen=True, slots=True)
class BearerAuthenticator(Authenticator):
    """Authenticates the users of API keys, and logs each refused key.

    Raises the errors of `AuthenticateKey`.
    """

    authenticate_key: AuthenticateKey

    async def authenticate(self, connection: Connection) -> Login | None:
        """Return the login of the key's user, who is no administrator with it; None without a key."""
        credentials = credentials_of(connection.scope)
        if credentials is None or credentials.scheme != BEARER:
            return None
        try:
            key = await self.authenticate_key(credentials.token)
        except AuthenticationError as exc:
            facts = {
                "request_id": connection.scope["state"]["request_id"],
                "client": client_address(connection.scope),
                "key": recognisable_prefix(credentials.token),
                "problem": type(exc).__name__,
            }
            log_request("key refused", facts)
            raise
        return Login(Principal(name=key.user), key)
