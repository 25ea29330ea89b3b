"""An archive in memory."""

from collections.abc import AsyncIterable, AsyncIterator
from uuid import UUID

import msgspec

from pixyproxy.domain.content import ContentInfo, MediaType
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import (
    ArchivedImage,
    ArchivedReference,
    ArchiveProblem,
    ImageArchiveReader,
    ImageArchiveWriter,
    StoredContent,
    chunks_of,
)
from pixyproxy.domain.reference import upload_contents_in


class InMemoryImageArchive(ImageArchiveWriter, ImageArchiveReader):
    """Keeps images, contents and references as long as the object lives; reads what was written to it."""

    def __init__(self) -> None:
        self._images: dict[UUID, tuple[Image, bytes | None]] = {}
        self._references: dict[tuple[str, MediaType], bytes] = {}

    async def has(self, image: Image) -> bool:
        return (
            image.guid in self._images
            and self._images[image.guid][0] == _without_id(image)
            and all(map(self._has_reference, upload_contents_in(image.request.pictures)))
        )

    async def has_reference(self, content: ContentInfo) -> bool:
        return self._has_reference(content)

    async def put_reference(self, content: ContentInfo, chunks: AsyncIterable[bytes]) -> None:
        self._references[content.sha256, content.media_type] = b"".join([chunk async for chunk in chunks])

    async def put(self, image: Image, chunks: AsyncIterable[bytes] | None = None) -> None:
        content = None if chunks is None else b"".join([chunk async for chunk in chunks])
        self._images[image.guid] = _without_id(image), content

    async def items(self) -> AsyncIterator[ArchivedImage | ArchivedReference | ArchiveProblem]:
        for image, content in list(self._images.values()):
            for reference in upload_contents_in(image.request.pictures):
                key = reference.sha256, reference.media_type
                if (data := self._references.get(key)) is not None:
                    stored = StoredContent(len(data), chunks_of(data))
                    yield ArchivedReference(reference.sha256, stored)
            yield ArchivedImage(image, None if content is None else StoredContent(len(content), chunks_of(content)))

    def _has_reference(self, content: ContentInfo) -> bool:
        return len(self._references.get((content.sha256, content.media_type), b"")) == content.byte_size

    @property
    def progress(self) -> float | None:
        return None


def _without_id(image: Image) -> Image:
    return msgspec.structs.replace(image, id=None)
