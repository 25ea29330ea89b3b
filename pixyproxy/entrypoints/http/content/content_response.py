"""An answer with content."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from litestar.types import Receive, Scope, Send

from pixyproxy.domain.errors import ContentStoreError
from pixyproxy.domain.ports import StoredContent
from pixyproxy.entrypoints.http.headers import Header

# The extension of ASGI by which a server sends a file without its bytes passing through Python.
ZERO_COPY: Final = "http.response.zerocopysend"

_log = logging.getLogger("pixyproxy.errors")


class ContentResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as an ASGI application: a head and, if there is `content`, `byte_size` of its bytes from `start` on.

    Gives up a client that reads nothing for `send_timeout` seconds.
    """

    status: int
    headers: Sequence[Header]
    content: StoredContent | None = None
    start: int = 0
    byte_size: int = 0
    send_timeout: float = 60.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 -- ASGI's
        """Send it; what breaks off under way is logged, and the server then closes the connection."""
        headers: Any = self.headers
        await send({"type": "http.response.start", "status": int(self.status), "headers": headers})
        if self.content is None:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif self.content.file is not None and ZERO_COPY in (scope.get("extensions") or ()):
            message: Any = {
                "type": ZERO_COPY,
                "file": self.content.file,
                "offset": self.start,
                "count": self.byte_size,
                "more_body": False,
            }
            await send(message)
        else:
            await self._send_chunks(self.content, scope, send)

    async def _send_chunks(self, content: StoredContent, scope: Scope, send: Send) -> None:
        left, patience = self.byte_size, patience_of(scope, self.send_timeout)
        request_id = scope["state"]["request_id"]
        try:
            async for chunk in content.chunks:
                left -= len(chunk)
                async with asyncio.timeout(patience):
                    await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})
        except ContentStoreError as exc:
            facts = {"request_id": request_id, "problem": type(exc).__name__, "detail": exc.detail}
            _log.error("content broken off", extra=facts)
        except TimeoutError:
            facts = {"request_id": request_id, "detail": "The client does not read."}
            _log.warning("content broken off", extra=facts)


def patience_of(scope: Scope, send_timeout: float) -> float | None:
    """Return how many seconds a client may take for one chunk; None if the server drops slow readers itself.

    Such a server knows how much the client has taken. Here a slow one looks like one that takes nothing: the kernel has
    room for more only when a large part of its buffer is empty.
    """
    return None if ZERO_COPY in (scope.get("extensions") or ()) else send_timeout
