"""What content is, as Pillow and a parser of XML read it."""

import asyncio
import hashlib
from typing import Final

from pixyproxy.adapters.pillow.inspection import inspect_picture
from pixyproxy.adapters.pillow.picture import UnreadablePictureError
from pixyproxy.domain.errors import DamagedContentError
from pixyproxy.domain.image import ContentInfo
from pixyproxy.domain.ports import ContentInspector, StoredContent

MAX_BYTE_SIZE: Final = 64 << 20


class PillowContentInspector(ContentInspector):
    """Reads the whole picture in a worker thread; content of more than 64 MiB is refused as damaged."""

    async def inspect(self, content: StoredContent) -> ContentInfo:
        data = await _read(content)
        try:
            return await asyncio.to_thread(_describe, data)
        except UnreadablePictureError as exc:
            raise DamagedContentError(str(exc)) from exc


async def _read(content: StoredContent) -> bytes:
    chunks, byte_size = [], 0
    async for chunk in content.chunks:
        byte_size += len(chunk)
        if byte_size > MAX_BYTE_SIZE:
            raise DamagedContentError("The content has more than 64 MiB.")
        chunks.append(chunk)
    return b"".join(chunks)


def _describe(data: bytes) -> ContentInfo:
    picture = inspect_picture(data)
    return ContentInfo(
        media_type=picture.media_type,
        byte_size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        width=picture.width,
        height=picture.height,
    )
