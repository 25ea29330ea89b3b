"""The authenticators of a login."""

from collections.abc import Sequence

from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.auth.authentication import Authenticator
from pixyproxy.entrypoints.http.auth.basic_auth import BasicAuthenticator


def logins(container: Container) -> Sequence[Authenticator]:
    """Return the authenticators of all routes that take a login."""
    return [BasicAuthenticator(container.authenticate_user())]
