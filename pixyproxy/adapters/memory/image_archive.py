"""An archive in memory."""

from collections.abc import AsyncIterable, AsyncIterator
from uuid import UUID

import msgspec

from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import (
    ArchivedImage,
    ArchiveProblem,
    ImageArchiveReader,
    ImageArchiveWriter,
    StoredContent,
    chunks_of,
)


class InMemoryImageArchive(ImageArchiveWriter, ImageArchiveReader):
    """Keeps images and contents as long as the object lives; reads what was written to it."""

    def __init__(self) -> None:
        self._images: dict[UUID, tuple[Image, bytes | None]] = {}

    async def has(self, image: Image) -> bool:
        return image.guid in self._images and self._images[image.guid][0] == _without_id(image)

    async def put(self, image: Image, chunks: AsyncIterable[bytes] | None = None) -> None:
        content = None if chunks is None else b"".join([chunk async for chunk in chunks])
        self._images[image.guid] = _without_id(image), content

    async def images(self) -> AsyncIterator[ArchivedImage | ArchiveProblem]:
        for image, content in list(self._images.values()):
            yield ArchivedImage(image, None if content is None else StoredContent(len(content), chunks_of(content)))

    @property
    def progress(self) -> float | None:
        return None


def _without_id(image: Image) -> Image:
    return msgspec.structs.replace(image, id=None)
