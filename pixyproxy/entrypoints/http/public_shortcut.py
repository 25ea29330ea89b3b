"""Plain requests for public images, answered without Litestar."""

import re
from typing import Any, Final
from uuid import UUID

from litestar import Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import ImageScope
from pixyproxy.domain.user import ANONYMOUS
from pixyproxy.entrypoints.http.content.variants import ORIGINAL, VariantQuery
from pixyproxy.entrypoints.http.errors import handle_error
from pixyproxy.entrypoints.http.headers import header_of
from pixyproxy.entrypoints.http.images.resource import ImageResource
from pixyproxy.entrypoints.http.session_cookie import token_of

_PUBLIC: Final = re.compile(
    r"/image/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(/content)?", re.ASCII
)

_READING: Final[frozenset[str]] = frozenset({"GET", "HEAD"})

PublicRequest = Request[Any, Any, Any]


class PublicShortcut:
    """Answers requests for the details and the content of public images without Litestar.

    With Litestar such a request would take a fifth more CPU. Any other request goes to the application, also one for
    details with a login, to which more may be shown: with `takes_sessions` the cookie of a session is one.
    """

    def __init__(self, app: ASGIApp, images: ImageResource, *, takes_sessions: bool) -> None:
        self._app = app
        self._images = images
        self._takes_sessions = takes_sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._answer(scope)
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope) -> ASGIApp:
        """Return the answer to a plain request, or the application for any other."""
        if scope["type"] != ScopeType.HTTP or scope["method"] not in _READING:
            return self._app
        found = _PUBLIC.fullmatch(scope["path"])
        if found is None:
            return self._app
        request, guid = PublicRequest(scope), UUID(found[1])
        try:
            return await (self._content(request, guid) if found[2] else self._details(request, guid))
        except Exception as exc:  # noqa: BLE001 -- Litestar would hand over the same
            return handle_error(request, exc).to_asgi_response(None, request)

    async def _details(self, request: PublicRequest, guid: UUID) -> ASGIApp:
        if request.scope["query_string"] or self._has_login(request.scope):
            return self._app
        request.scope["user"] = ANONYMOUS
        response = await self._images.details(request, guid)
        return response.to_asgi_response(None, request)

    def _has_login(self, scope: Scope) -> bool:
        if header_of(scope, b"authorization") is not None:
            return True
        return self._takes_sessions and token_of(scope) is not None

    async def _content(self, request: PublicRequest, guid: UUID) -> ASGIApp:
        variant = _variant(request)
        if variant is None:
            return self._app
        return await self._images.delivery.answer(request.scope, guid, ANONYMOUS, ImageScope.PUBLIC, variant)


def _variant(request: PublicRequest) -> VariantQuery | None:
    """Return the variant that a plain request for content asks for, or None for any other request."""
    if not request.scope["query_string"]:
        return ORIGINAL
    if "download" in request.query_params:
        return None
    try:
        return VariantQuery.parse(request.query_params)
    except DataValidationError:
        return None
