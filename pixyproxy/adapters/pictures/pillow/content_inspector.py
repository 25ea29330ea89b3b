"""Content inspector on Pillow and an XML parser."""

import asyncio
import hashlib

from pixyproxy.adapters.pictures.formats import bitmap_type_of, is_turned_on_its_side
from pixyproxy.adapters.pictures.inspection import inspect_picture
from pixyproxy.adapters.pictures.picture import UnreadablePictureError
from pixyproxy.adapters.pictures.read_all import read_all
from pixyproxy.domain.content import ContentInfo, MediaType
from pixyproxy.domain.errors import DamagedContentError
from pixyproxy.domain.ports import ContentInspector, StoredContent


class PillowContentInspector(ContentInspector):
    """Reads the whole picture in a worker thread; content of more than 64 MiB is refused as damaged."""

    async def inspect(self, content: StoredContent) -> ContentInfo:
        data = await read_all(content)
        try:
            return await asyncio.to_thread(_describe, data)
        except UnreadablePictureError as exc:
            raise DamagedContentError(str(exc)) from exc

    def is_turned(self, head: bytes) -> bool | None:
        return is_turned_on_its_side(head)

    def media_type_of(self, head: bytes) -> MediaType | None:
        return bitmap_type_of(head)


def _describe(data: bytes) -> ContentInfo:
    picture = inspect_picture(data)
    return ContentInfo(
        media_type=picture.media_type,
        byte_size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        width=picture.width,
        height=picture.height,
    )
