"""Rules for every request."""

from http import HTTPStatus
from typing import Any, Final

from litestar import Request
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from pixyproxy.domain.errors import BadRequestError, EndpointNotFoundError
from pixyproxy.entrypoints.http.errors import handle_error

# A request with two of these is ambiguous.
_SINGLE: Final = frozenset({b"host", b"authorization", b"api-key", b"content-type"})


class RequestRules:
    """Refuses ambiguous requests, which programs on the way could interpret differently, and encoded bodies.

    Some servers check part of this, not all. Paths are checked as received: Litestar's router would drop empty
    segments, so that a proxy's rule for `/private/` would not match `//private/`, and the server has decoded `%2F`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        try:
            _check_headers(scope)
            _check_path(scope)
        except (BadRequestError, EndpointNotFoundError, HTTPException) as exc:
            request: Request[Any, Any, Any] = Request(scope)
            await handle_error(request, exc).to_asgi_response(None, request)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _check_headers(scope: HTTPScope) -> None:
    """Raise `BadRequestError` for missing or repeated fields, `HTTPException` for an encoded body."""
    seen = set()
    for name, value in scope["headers"]:
        if name in _SINGLE:
            if name in seen:
                raise BadRequestError(f"There must not be two {name.decode().title()} fields.")
            seen.add(name)
        elif name == b"content-encoding" and value.strip().lower() not in {b"", b"identity"}:
            raise HTTPException(
                status_code=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                detail="A body must have no Content-Encoding.",
                # RFC 9110, section 12.5.3.
                headers={"Accept-Encoding": "identity"},
            )
    if b"host" not in seen and scope["http_version"] == "1.1":
        # RFC 9112, section 3.2.
        raise BadRequestError("The field Host is missing.")


def _check_path(scope: HTTPScope) -> None:
    """Raise `EndpointNotFoundError` for a path with empty or dot segments, or with an encoded slash."""
    path = scope["path"]
    # Some servers add the query.
    raw_path = (scope.get("raw_path") or b"").partition(b"?")[0]
    if (
        "//" in path
        # A Litestar host has already dropped them from the path.
        or b"//" in raw_path
        or (b"%" in raw_path and b"%2f" in raw_path.lower())
        or ("/." in path and not {".", ".."}.isdisjoint(path.split("/")))
    ):
        raise EndpointNotFoundError("There is no such endpoint.")
