"""Where images are exported to and imported from."""

from abc import abstractmethod
from collections.abc import AsyncIterable, AsyncIterator
from typing import Protocol

import msgspec

from pixyproxy.domain.image import Image
from pixyproxy.domain.ports.content_store import StoredContent


class ImageArchiveWriter(Protocol):
    """Where images are exported to, one after the other; every method may raise `ArchiveError`."""

    async def prepare(self) -> "ArchiveProblem | None":
        """Make what the archive needs, such as its folder; called once at the start.

        Returns what the operator should know of the place, such as that others may write to it.
        """
        return None

    @abstractmethod
    async def has(self, image: Image) -> bool:
        """Whether an earlier export has written this image, with exactly these fields and content of its size.

        False for an archive that can't be looked into.
        """

    @abstractmethod
    async def put(self, image: Image, chunks: AsyncIterable[bytes] | None = None) -> None:
        """Write an image, and its content if it has any, replacing what an earlier export has written of it.

        Raises what `chunks` raises as it is; then the archive is as if this had not been called.
        """

    async def finish(self) -> None:
        """Write what tells a whole archive from one that breaks off; called once at the end, unless something fails."""
        return


class ArchivedImage(msgspec.Struct, frozen=True):
    """An image as an archive has it, and its content if it has any, to be read before the next image is asked for."""

    image: Image
    content: StoredContent | None = None


class ArchiveProblem(msgspec.Struct, frozen=True):
    """What is wrong with one thing of an archive: its name there, which may hold anything, and a sentence."""

    name: str
    detail: str


class ImageArchiveReader(Protocol):
    """Where images are imported from."""

    @abstractmethod
    def images(self) -> AsyncIterator[ArchivedImage | ArchiveProblem]:
        """Yield every image, and a problem for whatever is none, holding few of them at a time.

        Nothing is promised of the content but that it is there. Raises `ArchiveError` when it can't go on, also for an
        archive that breaks off.
        """

    @property
    @abstractmethod
    def progress(self) -> float | None:
        """How much of the archive has been read, from 0 to 1, or None if nobody can tell."""
