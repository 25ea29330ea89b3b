"""Archives: exports and imports of images."""

from abc import abstractmethod
from collections.abc import AsyncIterable, AsyncIterator
from typing import Protocol

import msgspec

from pixyproxy.domain.content import ContentInfo
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports.content_store import StoredContent


class ImageArchiveWriter(Protocol):
    """An archive that an export writes, image by image; every method may raise `ArchiveError`."""

    async def prepare(self) -> "ArchiveProblem | None":
        """Make what the archive needs, such as a folder; called once at the start.

        Returns a warning about the place, such as that other users may write to it.
        """
        return None

    @abstractmethod
    async def has(self, image: Image) -> bool:
        """Whether an earlier export has written this image with the same fields, and its content and uploads.

        Compares the sizes of content and uploads. False for an archive that can't be read.
        """

    @abstractmethod
    async def has_reference(self, content: ContentInfo) -> bool:
        """Whether the archive has a reference with this SHA-256, media type and size."""

    @abstractmethod
    async def put_reference(self, content: ContentInfo, chunks: AsyncIterable[bytes]) -> None:
        """Write an uploaded reference or mask, before the first image that names it.

        Raises what `chunks` raises, and then leaves the archive as it was.
        """

    @abstractmethod
    async def put(self, image: Image, chunks: AsyncIterable[bytes] | None = None) -> None:
        """Write an image and its content, if any, and replace what an earlier export has written of it.

        Raises what `chunks` raises, and then leaves the archive as it was.
        """

    async def finish(self) -> None:
        """Mark the archive as complete; called once at the end, unless the export fails."""
        return


class ArchivedImage(msgspec.Struct, frozen=True):
    """An image in an archive, and its content, if any; read it before the next image."""

    image: Image
    content: StoredContent | None = None


class ArchivedReference(msgspec.Struct, frozen=True):
    """An uploaded reference or mask in an archive; read it before the next item."""

    sha256: str
    content: StoredContent


class ArchiveProblem(msgspec.Struct, frozen=True):
    """A problem with one item of an archive: its name there, which may be any text, and a sentence."""

    name: str
    detail: str


class ImageArchiveReader(Protocol):
    """An archive that an import reads."""

    @abstractmethod
    def items(self) -> AsyncIterator[ArchivedImage | ArchivedReference | ArchiveProblem]:
        """Yield every image behind the references that it names, and a problem for every other item.

        Few are in memory at a time. A reference may come again, or without an image that names it, and content is
        unchecked. Raises `ArchiveError` when the archive can't be read on or breaks off.
        """

    @property
    @abstractmethod
    def progress(self) -> float | None:
        """The share of the archive that has been read, from 0 to 1, or None if it is unknown."""
