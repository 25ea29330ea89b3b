"""Export to a folder."""

import os
import secrets
import time
from collections.abc import AsyncIterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from pixyproxy.adapters.archive.blocking import to_thread
from pixyproxy.adapters.archive.private_folder import PrivateFolder
from pixyproxy.adapters.archive.records import (
    PART_SUFFIX,
    RECORD_MAX_SIZE,
    REFERENCES,
    ArchiveName,
    ReferenceName,
    image_to_json,
)
from pixyproxy.domain.content import ContentInfo
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import ArchiveProblem, ImageArchiveWriter
from pixyproxy.domain.reference import upload_contents_in

PART_MAX_AGE: Final = 3_600.0


class FolderImageArchiveWriter(ImageArchiveWriter):
    """Writes each image and each reference to files of its own below `root`, readable by their owner only.

    Content and record are synced to the disk, then the content is moved to its place, then the record: a record in its
    place is complete. A crash leaves at most files that end in `.part`; the next export removes them once they are an
    hour old. Several processes may write to one folder. Follows no links, and `root` may not be one.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._opened: PrivateFolder | None = None
        self._name = ""
        self._folder: PrivateFolder | None = None
        self._references: PrivateFolder | None = None

    async def prepare(self) -> ArchiveProblem | None:
        root = await to_thread(self._open_root)
        if root.is_shared:
            return ArchiveProblem(
                str(self._root),
                "Others may write to this folder, so that they can remove and replace what is exported. "
                "A folder that is made by the export is its owner's alone.",
            )
        return None

    async def has(self, image: Image) -> bool:
        return await to_thread(self._has, image)

    async def has_reference(self, content: ContentInfo) -> bool:
        return await to_thread(self._has_reference, content)

    async def put_reference(self, content: ContentInfo, chunks: AsyncIterable[bytes]) -> None:
        part = _Part(await to_thread(self._enter_references), ReferenceName.of(content).filename)
        try:
            await _write_all(part, chunks)
            await to_thread(part.sync)
            await to_thread(part.move)
        finally:
            await to_thread(part.discard)

    async def put(self, image: Image, chunks: AsyncIterable[bytes] | None = None) -> None:
        record = ArchiveName.of_record(image.guid)
        folder = await to_thread(self._enter, record.folder)
        parts = [_Part(folder, record.filename)]
        try:
            if image.content is not None and chunks is not None:
                content = _Part(folder, ArchiveName.of_content(image.guid, image.content).filename)
                parts.insert(0, content)
                await _write_all(content, chunks)
            await to_thread(_commit, parts, image)
        finally:
            await to_thread(_discard, parts)

    def _has_reference(self, content: ContentInfo) -> bool:
        return self._enter_references().size(ReferenceName.of(content).filename) == content.byte_size

    def _has(self, image: Image) -> bool:
        name = ArchiveName.of_record(image.guid)
        folder = self._enter(name.folder)
        if folder.read(name.filename, RECORD_MAX_SIZE + 1) != image_to_json(image):
            return False
        if not all(map(self._has_reference, upload_contents_in(image.request.pictures))):
            return False
        if image.content is None:
            return True
        return folder.size(ArchiveName.of_content(image.guid, image.content).filename) == image.content.byte_size

    def _open_root(self) -> PrivateFolder:
        if self._opened is None:
            self._opened = PrivateFolder.make(self._root)
        return self._opened

    def _enter(self, name: str) -> PrivateFolder:
        """Open a folder of images, and remove its old `.part` files; keep the last one open."""
        if self._folder is None or name != self._name:
            self._folder = self._open_root().folder(name)
            self._name = name
            _remove_old_parts(self._folder)
        return self._folder

    def _enter_references(self) -> PrivateFolder:
        """Open the folder of references, and remove its old `.part` files; keep it open."""
        if self._references is None:
            self._references = self._open_root().folder(REFERENCES)
            _remove_old_parts(self._references)
        return self._references


class _Part:
    """One file on its way to its place; the methods block.

    Holds a Python file instead of a bare descriptor: after a cancellation, the last write may still run when `discard`
    closes the file.
    """

    def __init__(self, folder: PrivateFolder, name: str) -> None:
        self._folder = folder
        self._name = name
        self._temporary = f"{name}.{secrets.token_hex(8)}{PART_SUFFIX}"
        self._file: BinaryIO | None = None

    def write(self, data: bytes) -> None:
        if self._file is None:
            self._file = self._folder.create(self._temporary)
        self._file.write(data)

    def sync(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def move(self) -> None:
        self._folder.replace(self._temporary, self._name)
        self._folder.sync()

    def discard(self) -> None:
        """Close and remove the temporary file, if it was not moved."""
        if self._file is not None:
            # A full disk fails again here; a file that was moved is synced already.
            with suppress(OSError):
                self._file.close()
            self._folder.unlink(self._temporary)


async def _write_all(part: _Part, chunks: AsyncIterable[bytes]) -> None:
    async for chunk in chunks:
        await to_thread(part.write, chunk)


def _commit(parts: list[_Part], image: Image) -> None:
    """Write the record (the last part), sync all parts, then move them in order."""
    parts[-1].write(image_to_json(image))
    # A full disk fails here, before any file is in its place.
    for part in parts:
        part.sync()
    for part in parts:
        part.move()


def _discard(parts: list[_Part]) -> None:
    for part in parts:
        part.discard()


def _remove_old_parts(folder: PrivateFolder) -> None:
    """Remove temporary files that were last written to more than an hour ago."""
    now = time.time()
    for name in folder.names():
        # Younger ones may belong to an export that is running.
        if name.endswith(PART_SUFFIX) and folder.age(name, now) > PART_MAX_AGE:
            folder.unlink(name)
