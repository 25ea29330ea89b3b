"""HEAD wherever there is GET (RFC 9110, section 9.3.2)."""

from typing import Any, Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

_IS_HEAD: Final = "is_head"


class HeadAsGet:
    """Answers HEAD with the status and headers of a GET, and no body.

    The application sees a GET. A handler with a costly or endless body checks `is_head` and leaves it out.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
            elif not message.get("more_body", False):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        scope["state"][_IS_HEAD] = True
        as_get: Any = {**scope, "method": "GET"}
        await self._app(as_get, receive, send_without_body)


def is_head(scope: Any) -> bool:
    """Whether the client wants the headers only."""
    return bool(scope["state"].get(_IS_HEAD)) or scope["method"] == "HEAD"
