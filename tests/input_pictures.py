"""References and masks on their way to a generator."""

import hashlib

from pixyproxy.adapters.pictures.inspection import inspect_bitmap
from pixyproxy.domain.content import ContentInfo
from pixyproxy.domain.ports import InputPicture, StoredContent, chunks_of


def input_picture(data: bytes) -> InputPicture:
    """Return the picture in memory."""
    found = inspect_bitmap(data)

    async def opened() -> StoredContent:
        return StoredContent(len(data), chunks_of(data))

    return InputPicture(
        filename=f"picture{found.media_type.extension}",
        content=ContentInfo(
            media_type=found.media_type,
            byte_size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            width=found.width,
            height=found.height,
        ),
        open=opened,
    )
