"""Cross-origin resource sharing (Fetch, section 3.3)."""

import re
from collections.abc import Collection, Iterable
from functools import partial
from typing import Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from pixyproxy.entrypoints.http.headers import Header

_METHODS: Final = b"GET, HEAD, POST, PATCH, DELETE"
_REQUEST_HEADERS: Final = (
    b"Authorization, Content-Type, Idempotency-Key, If-Match, If-Modified-Since, If-None-Match, If-Range,"
    b" If-Unmodified-Since, Prefer, Range, X-Request-ID"
    # Of OpenAI's clients and of applications on them.
    b", API-Key, HTTP-Referer, OpenAI-Beta, OpenAI-Organization, OpenAI-Project, User-Agent, X-Client-Request-ID"
    b", X-Title"
)
# Each release of OpenAI's clients may bring new ones.
_MARKS_OF_CLIENTS: Final = re.compile(rb"x-stainless-[a-z0-9-]+", re.IGNORECASE)
_RESPONSE_HEADERS: Final = (
    b"Accept-Ranges, Content-Disposition, Content-Range, ETag, Idempotency-Replayed, Link, Location,"
    b" Preference-Applied, Repr-Digest, Retry-After, X-Request-ID, X-Should-Retry, X-Total-Count"
)
_PREFLIGHT_SECONDS: Final = b"600"


class CORS:
    """Lets pages of `origins` send requests and read the answers, never with the browser's credentials.

    Litestar's middleware is not used: its `Vary: Origin` replaces the `Vary` of the answer.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self._app = app
        self._origins = frozenset(origin.lower().encode() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        if origin is None or origin.lower() not in self._origins:
            await self._app(scope, receive, partial(_send, send, ()))
            return
        allowed: list[Header] = [(b"access-control-allow-origin", origin)]
        if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            asked = headers.get(b"access-control-request-headers", b"")
            await _send(
                send, _preflight_answer(allowed, asked), {"type": "http.response.start", "status": 204, "headers": []}
            )
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            allowed.append((b"access-control-expose-headers", _RESPONSE_HEADERS))
            await self._app(scope, receive, partial(_send, send, allowed))


def _preflight_answer(allowed: Iterable[Header], asked: bytes) -> Iterable[Header]:
    marks = [name for name in asked.replace(b" ", b"").split(b",") if _MARKS_OF_CLIENTS.fullmatch(name)]
    return [
        *allowed,
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", b", ".join([_REQUEST_HEADERS, *marks])),
        (b"access-control-max-age", _PREFLIGHT_SECONDS),
    ]


async def _send(send: Send, added: Iterable[Header], message: Message) -> None:
    if message["type"] == "http.response.start":
        headers = list(message.get("headers", ()))
        vary = [value for name, value in headers if name.lower() == b"vary"]
        message["headers"] = [
            *(header for header in headers if header[0].lower() != b"vary"),
            *added,
            # A cache must not serve one site's answer to another site.
            (b"vary", b", ".join([*vary, b"Origin"])),
        ]
    await send(message)
