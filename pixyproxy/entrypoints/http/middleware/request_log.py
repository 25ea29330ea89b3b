"""The outermost layer: gives each request an id, and logs its start and its end."""

import asyncio
import os
import re
import time
from typing import Any, Final
from urllib.parse import quote

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from pixyproxy.entrypoints.access_log import log_request
from pixyproxy.entrypoints.http.errors import PlainAnswer, broken_off_answer
from pixyproxy.entrypoints.http.middleware.client_address import client_address
from pixyproxy.entrypoints.http.middleware.response_headers import REQUEST_ID, complete_headers

_CLIENT_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_-]{1,64}")

# The last two are extensions with which the server sends a file itself.
_BODY_MESSAGES: Final = {"http.response.body", "http.response.zerocopysend", "http.response.pathsend"}


class RequestLog:
    """Wraps the whole application, because Litestar's own middleware does not see requests that match no route.

    The request id is the client's `X-Request-ID` where that is 1 to 64 letters, digits, `_` or `-`, else a new one. It
    is returned in the response and kept in the scope's state as `request_id`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope["state"]["request_id"] = request_id
        client = client_address(scope)
        facts = {"request_id": request_id, "method": scope["method"], "path": logged_path(scope), "client": client}
        status: int | None = None
        is_complete = False

        async def send_and_watch(message: Message) -> None:
            nonlocal status, is_complete
            if message["type"] == "http.response.start":
                status = message["status"]
                message = _completed(message, request_id)
            try:
                await send(message)
            except OSError:
                # The client has disconnected (ASGI 2.4): from now on, sending does nothing.
                return
            if message["type"] in _BODY_MESSAGES:
                is_complete = not message.get("more_body", False)

        started_at = time.perf_counter()
        log_request("request started", facts)
        try:
            await self._app(scope, receive, send_and_watch)
        except asyncio.CancelledError:
            if status is not None:
                raise
            # The server's shutdown timeout is over; its own answer would be plain text.
            await _send(broken_off_answer(scope), send_and_watch)
        finally:
            duration = round((time.perf_counter() - started_at) * 1000, 1)
            log_request(
                "request finished" if is_complete else "request broken off",
                {**facts, "status": status, "duration_ms": duration},
            )


def logged_path(scope: Scope) -> str:
    """Return a request's path, percent-encoded, so that no path can forge a log line."""
    raw_path = scope.get("raw_path") or quote(scope["path"]).encode()
    # Some servers add the query.
    return raw_path.partition(b"?")[0].decode("ascii", "replace")


async def _send(answer: PlainAnswer, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


def _completed(message: Any, request_id: str) -> Any:
    return {**message, "headers": complete_headers(message.get("headers", ()), request_id)}


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == REQUEST_ID and _CLIENT_REQUEST_ID.fullmatch(value):
            return value.decode()
    return os.urandom(16).hex()
