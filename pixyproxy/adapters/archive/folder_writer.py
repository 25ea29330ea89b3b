"""Exporting images into a folder."""

import os
import secrets
import time
from collections.abc import AsyncIterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from pixyproxy.adapters.archive.blocking import to_thread
from pixyproxy.adapters.archive.private_folder import PrivateFolder
from pixyproxy.adapters.archive.records import PART_SUFFIX, RECORD_MAX_SIZE, ArchiveName, image_to_json
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import ArchiveProblem, ImageArchiveWriter

PART_MAX_AGE: Final = 3_600.0


class FolderImageArchiveWriter(ImageArchiveWriter):
    """Writes each image to files of its own below `root`, which only their owner may read.

    A record is moved to its place when its content is there, and both are on the disk by then; so a record that is
    there is whole. A crash leaves at most files that end in `.part`, which go an hour later when their folder is
    written to again. Several processes may write to one folder. No link in it is followed, nor is `root` itself.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._opened: PrivateFolder | None = None
        self._name = ""
        self._folder: PrivateFolder | None = None

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

    def _has(self, image: Image) -> bool:
        name = ArchiveName.of_record(image.guid)
        folder = self._enter(name.folder)
        if folder.read(name.filename, RECORD_MAX_SIZE + 1) != image_to_json(image):
            return False
        if image.content is None:
            return True
        return folder.size(ArchiveName.of_content(image.guid, image.content).filename) == image.content.byte_size

    def _open_root(self) -> PrivateFolder:
        if self._opened is None:
            self._opened = PrivateFolder.make(self._root)
        return self._opened

    def _enter(self, name: str) -> PrivateFolder:
        """Make a folder of images, or tidy it up, unless that was done a moment ago."""
        if self._folder is None or name != self._name:
            self._folder = self._open_root().folder(name)
            self._name = name
            _remove_old_parts(self._folder)
        return self._folder


class _Part:
    """One file on its way to its place; the methods block and run in a worker thread.

    A Python file, and no bare descriptor: should the caller be cancelled, its last write may still run when it is
    closed.
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
        """Close and remove what is left of the temporary file: nothing, once it was moved."""
        if self._file is not None:
            # A disk that is full is so still; and what was moved has been on the disk since.
            with suppress(OSError):
                self._file.close()
            self._folder.unlink(self._temporary)


async def _write_all(part: _Part, chunks: AsyncIterable[bytes]) -> None:
    async for chunk in chunks:
        await to_thread(part.write, chunk)


def _commit(parts: list[_Part], image: Image) -> None:
    """Write the record, which is the last of the parts, and move all of them to their places in their order."""
    parts[-1].write(image_to_json(image))
    # A disk that is full says so by now, before anything is in its place.
    for part in parts:
        part.sync()
    for part in parts:
        part.move()


def _discard(parts: list[_Part]) -> None:
    for part in parts:
        part.discard()


def _remove_old_parts(folder: PrivateFolder) -> None:
    """Remove the temporary files that nobody has written to for an hour."""
    now = time.time()
    for name in folder.names():
        # Another export may be at work, and its files come and go.
        if name.endswith(PART_SUFFIX) and folder.age(name, now) > PART_MAX_AGE:
            folder.unlink(name)
