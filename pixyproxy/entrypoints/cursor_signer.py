"""Signed cursors: opaque texts, each valid for one list only."""

import base64
import binascii
import hashlib
import hmac
import struct
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.listing import ImageCursor, ImagePosition, TagCursor
from pixyproxy.domain.ports import SecretStore
from pixyproxy.domain.tag import Tag

CURSOR_MAX_LENGTH: Final = 500

_SECRET: Final = "cursor"  # noqa: S105 -- its name
_MAC_SIZE: Final = 16
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
# Whether the cursor points backward, microseconds since 1970, and the guid.
_IMAGE: Final = struct.Struct(">?q16s")


class CursorSigner:
    """Signs and opens cursors with an HMAC under a key that all processes share.

    `list_name` identifies a list by its filters, order and owner. Opening raises `DataValidationError` for the cursor
    of another list.
    """

    def __init__(self, secrets: SecretStore) -> None:
        self._secrets = secrets
        self._key = b""

    async def sign_image(self, cursor: ImageCursor | None, list_name: bytes) -> str | None:
        """Return the signed text of a cursor; None for None."""
        if cursor is None:
            return None
        microseconds = (cursor.position.created_at - _EPOCH) // _MICROSECOND
        payload = _IMAGE.pack(cursor.is_backward, microseconds, cursor.position.guid.bytes)
        return await self._sign(payload, b"image " + list_name)

    async def open_image(self, text: str | None, list_name: bytes) -> ImageCursor | None:
        """Return the cursor of a signed text; None for None."""
        if text is None:
            return None
        is_backward, microseconds, guid = _IMAGE.unpack(await self._open(text, b"image " + list_name))
        position = ImagePosition(_EPOCH + microseconds * _MICROSECOND, UUID(bytes=guid))
        return ImageCursor(position, is_backward=is_backward)

    async def sign_tag(self, cursor: TagCursor | None, list_name: bytes) -> str | None:
        """Return the signed text of a cursor; None for None."""
        if cursor is None:
            return None
        return await self._sign(bytes([cursor.is_backward]) + cursor.tag.encode(), b"tag " + list_name)

    async def open_tag(self, text: str | None, list_name: bytes) -> TagCursor | None:
        """Return the cursor of a signed text; None for None."""
        if text is None:
            return None
        payload = await self._open(text, b"tag " + list_name)
        return TagCursor(Tag(payload[1:].decode()), is_backward=bool(payload[0]))

    async def _sign(self, payload: bytes, list_name: bytes) -> str:
        signed = payload + await self._mac(payload, list_name)
        return _to_text(signed)

    async def _open(self, text: str, list_name: bytes) -> bytes:
        try:
            signed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            signed = b""
        if _to_text(signed) != text:
            # Base64 can encode the same bytes in several ways.
            signed = b""
        payload, mac = signed[:-_MAC_SIZE], signed[-_MAC_SIZE:]
        if not hmac.compare_digest(mac, await self._mac(payload, list_name)):
            raise DataValidationError("cursor", "must be one that a page with the same filters and order has named")
        return payload

    async def _mac(self, payload: bytes, list_name: bytes) -> bytes:
        if not self._key:
            self._key = await self._secrets.get(_SECRET)
        message = len(payload).to_bytes(4, "big") + payload + list_name
        return hmac.digest(self._key, message, hashlib.sha256)[:_MAC_SIZE]


def _to_text(signed: bytes) -> str:
    return base64.urlsafe_b64encode(signed).decode().rstrip("=")
