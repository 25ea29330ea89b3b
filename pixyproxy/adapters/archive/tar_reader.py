"""Import from a tar."""

from collections.abc import AsyncIterator
from typing import BinaryIO
from uuid import UUID

from pixyproxy.adapters.archive.blocking import to_thread
from pixyproxy.adapters.archive.records import (
    RECORD_MAX_SIZE,
    REFERENCES,
    ArchiveName,
    image_from_record,
    is_folder_name,
    parse_name,
    parse_reference_name,
)
from pixyproxy.adapters.archive.tar import TarEntry, TarInput
from pixyproxy.adapters.disk.clutter import is_clutter
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import ArchivedImage, ArchivedReference, ArchiveProblem, ImageArchiveReader, StoredContent


class TarImageArchiveReader(ImageArchiveReader):
    """Reads a tar that `TarImageArchiveWriter` wrote, from `stream`, which may be a pipe.

    With `byte_size`, the size of the tar, it reports progress. Entries that are not files are reported as problems and
    skipped; folders, and files of operating systems and file servers, are skipped silently.
    """

    def __init__(self, stream: BinaryIO, byte_size: int | None = None) -> None:
        self._tar = TarInput(stream)
        self._byte_size = byte_size
        self._next: TarEntry | None = None
        self._refused: UUID | None = None

    async def items(self) -> AsyncIterator[ArchivedImage | ArchivedReference | ArchiveProblem]:
        while (found := await to_thread(self._find)) is not None:
            yield found

    @property
    def progress(self) -> float | None:
        return min(self._tar.position / self._byte_size, 1.0) if self._byte_size else None

    def _find(self) -> ArchivedImage | ArchivedReference | ArchiveProblem | None:
        """Return the next item, None at the end."""
        while (entry := self._take()) is not None:
            name = parse_name(entry.name)
            if entry.is_folder and (is_folder_name(entry.name) or entry.name == REFERENCES):
                continue
            if not entry.is_file:
                return ArchiveProblem(entry.name, "It is not a file.")
            if (reference := parse_reference_name(entry.name)) is not None:
                return ArchivedReference(reference.sha256, StoredContent(entry.byte_size, _read(self._tar)))
            if name is None:
                return ArchiveProblem(entry.name, "No file of an image has such a name.")
            if name.is_record:
                return self._image(name)
            if name.guid != self._refused:
                return ArchiveProblem(entry.name, "There is no record right before it that names it.")
        return None

    def _image(self, name: ArchiveName) -> ArchivedImage | ArchiveProblem:
        """Return the image of the record that was read, with the content that must follow it."""
        self._refused = None
        try:
            image = image_from_record(name, self._tar.read(RECORD_MAX_SIZE + 1))
        except DataValidationError as exc:
            # One problem per image: its content is skipped silently.
            self._refused = name.guid
            return ArchiveProblem(str(name), f"{exc.field} {exc.detail}.")
        if image.content is None:
            return ArchivedImage(image)
        following = self._take()
        if following is None or not _is_content_of(image, following):
            self._next = following
            return ArchiveProblem(str(name), "Its content does not follow it.")
        return ArchivedImage(image, StoredContent(following.byte_size, _read(self._tar)))

    def _take(self) -> TarEntry | None:
        taken, self._next = self._next, None
        taken = taken or self._tar.next()
        while taken is not None and any(map(is_clutter, taken.name.split("/"))):
            taken = self._tar.next()
        return taken


def _is_content_of(image: Image, entry: TarEntry) -> bool:
    return (
        entry.is_file
        and image.content is not None
        and entry.name == str(ArchiveName.of_content(image.guid, image.content))
    )


async def _read(tar: TarInput) -> AsyncIterator[bytes]:
    while chunk := await to_thread(tar.read):
        yield chunk
