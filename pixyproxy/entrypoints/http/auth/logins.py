"""The authenticators of a login."""

from collections.abc import Sequence

from pixyproxy.domain.errors import AuthenticationError
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.auth.authentication import Authenticator, Connection
from pixyproxy.entrypoints.http.auth.basic_auth import BasicAuthenticator
from pixyproxy.entrypoints.http.auth.bearer_auth import BearerAuthenticator
from pixyproxy.entrypoints.http.auth.session_auth import SessionAuthenticator
from pixyproxy.entrypoints.http.credentials import credentials_of


class OtherSchemes(Authenticator):
    """Refuses the credentials that no other authenticator has taken."""

    async def authenticate(self, connection: Connection) -> None:
        """Raise `AuthenticationError` if there are any."""
        credentials = credentials_of(connection.scope)
        if credentials is None:
            return
        if not credentials.scheme:
            raise AuthenticationError("The Authorization header is empty.")
        raise AuthenticationError("The Authorization header must use the scheme Basic or Bearer.")


def logins(container: Container) -> Sequence[Authenticator]:
    """Return the authenticators of the routes that take a login, in the order in which they take precedence.

    These are a password, an API key and, with the gallery, a session.
    """
    return [
        BasicAuthenticator(container.authenticate_user()),
        BearerAuthenticator(container.authenticate_key()),
        OtherSchemes(),
        *([SessionAuthenticator(container.find_session())] if container.settings().has_gallery else []),
    ]
