"""An answer with a zip of images."""

import logging
from collections.abc import Sequence
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar.types import Receive, Scope, Send

from pixyproxy.application.pack_images import ImagePack
from pixyproxy.domain.errors import ContentStoreError
from pixyproxy.entrypoints.http.content.content_disposition import content_disposition
from pixyproxy.entrypoints.http.content.content_response import patience_of
from pixyproxy.entrypoints.http.headers import Header
from pixyproxy.entrypoints.http.recipient import ClientLeftError, ClientStalledError, Recipient

ZIP: Final = "application/zip"

_log = logging.getLogger("pixyproxy.errors")


class ZipResponse(msgspec.Struct, frozen=True):
    """An answer with a zip as an ASGI application.

    Gives up a client that has left, or that reads nothing for `send_timeout` seconds. What breaks off is logged, and
    the server then closes the connection before the announced length, so that no client takes a part for the whole.
    """

    pack: ImagePack
    send_timeout: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        facts: dict[str, Any] = {"request_id": scope["state"]["request_id"]}
        try:
            async with Recipient(receive, send, send_timeout=patience_of(scope, self.send_timeout)) as recipient:
                await self._send(recipient)
        except ContentStoreError as exc:
            _log.error("content broken off", extra={**facts, "problem": type(exc).__name__, "detail": exc.detail})
        except ClientStalledError:
            _log.warning("content broken off", extra={**facts, "detail": "The client does not read."})
        except ClientLeftError:
            # The log of requests says so.
            return

    async def _send(self, recipient: Recipient) -> None:
        async with aclosing(self.pack.chunks) as chunks:
            await recipient.start(HTTPStatus.OK, self._headers)
            async for chunk in chunks:
                await recipient.write(chunk)
        await recipient.end()

    @property
    def _headers(self) -> Sequence[Header]:
        return [
            (b"content-type", ZIP.encode()),
            (b"content-length", str(self.pack.byte_size).encode()),
            (b"content-disposition", content_disposition(self.pack.filename, is_download=True).encode()),
        ]
