"""What the scopes of an API key allow."""

from typing import Final

from litestar.types import Scope

from pixyproxy.domain.api_key import APIKey, KeyScope
from pixyproxy.domain.errors import OperationNotAllowedError
from pixyproxy.entrypoints.http.problems.handler import MAY_BILL

PASSWORD_ONLY: Final = {"password_only": True}
"""The option of a handler that no API key may call."""

READS: Final = {"reads": True}
"""The option of a handler that only reads, whatever its method."""

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def ensure_in_scope(key: APIKey, scope: Scope) -> None:
    """Raise `OperationNotAllowedError` unless the key's scopes allow a request that has found its handler.

    What neither reads nor creates an image needs the scope `manage`, whatever a new route does.
    """
    opt = scope["route_handler"].opt
    if PASSWORD_ONLY.items() <= opt.items():
        raise OperationNotAllowedError("This needs a login with a password; no API key may do it.")
    if dict(scope).get("method") in _READING or READS.items() <= opt.items():
        needed = KeyScope.READ
    elif MAY_BILL.items() <= opt.items():
        needed = KeyScope.CREATE
    else:
        needed = KeyScope.MANAGE
    if needed not in key.scopes:
        raise OperationNotAllowedError(f"This needs an API key with the scope {needed}.")
