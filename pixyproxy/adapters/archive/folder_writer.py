"""Exporting images into a folder."""

import os
import secrets
import stat
import time
from collections.abc import AsyncIterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from pixyproxy.adapters.archive.blocking import to_thread
from pixyproxy.adapters.archive.records import PART_SUFFIX, ArchiveName, image_to_json
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import ImageArchiveWriter

PART_MAX_AGE: Final = 3_600.0


class FolderImageArchiveWriter(ImageArchiveWriter):
    """Writes each image to files of its own below `root`, which only their owner may read.

    A record is moved to its place when its content is there, and both are on the disk by then; so a record that is
    there is whole. A crash leaves at most files that end in `.part`, which go an hour later when their folder is
    written to again. Several processes may write to one folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder: Path | None = None

    async def prepare(self) -> None:
        await to_thread(_make_folder, self._root)

    async def has(self, image: Image) -> bool:
        return await to_thread(self._has, image)

    async def put(self, image: Image, chunks: AsyncIterable[bytes] | None = None) -> None:
        parts = [_Part(self._path(ArchiveName.of_record(image.guid)))]
        try:
            await to_thread(self._enter, parts[0].folder)
            if image.content is not None and chunks is not None:
                content = _Part(self._path(ArchiveName.of_content(image.guid, image.content)))
                parts.insert(0, content)
                await _write_all(content, chunks)
            await to_thread(_commit, parts, image)
        finally:
            await to_thread(_discard, parts)

    def _path(self, name: ArchiveName) -> Path:
        return self._root / name.folder / name.filename

    def _has(self, image: Image) -> bool:
        try:
            if self._path(ArchiveName.of_record(image.guid)).read_bytes() != image_to_json(image):
                return False
            if image.content is None:
                return True
            status = self._path(ArchiveName.of_content(image.guid, image.content)).lstat()
        except FileNotFoundError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size == image.content.byte_size

    def _enter(self, folder: Path) -> None:
        """Make a folder of images, or tidy it up, unless that was done a moment ago."""
        if folder == self._folder:
            return
        with suppress(FileExistsError):
            folder.mkdir(0o700)
        _sync_folder(self._root)
        _remove_old_parts(folder)
        self._folder = folder


class _Part:
    """One file on its way to its place; the methods block and run in a worker thread.

    A Python file, and no bare descriptor: should the caller be cancelled, its last write may still run when it is
    closed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}{PART_SUFFIX}")
        self._file: BinaryIO | None = None

    @property
    def folder(self) -> Path:
        return self._path.parent

    def write(self, data: bytes) -> None:
        if self._file is None:
            self._file = open(self._temporary, "xb", opener=_open_for_owner)  # noqa: SIM115 -- see `discard`
        self._file.write(data)

    def sync(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def move(self) -> None:
        self._temporary.replace(self._path)
        _sync_folder(self.folder)

    def discard(self) -> None:
        """Close and remove what is left of the temporary file: nothing, once it was moved."""
        if self._file is not None:
            # A disk that is full is so still; and what was moved has been on the disk since.
            with suppress(OSError):
                self._file.close()
            self._temporary.unlink(missing_ok=True)


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


def _open_for_owner(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(0o700, exist_ok=True)
        _sync_folder(folder.parent)


def _remove_old_parts(folder: Path) -> None:
    """Remove the temporary files that nobody has written to for an hour."""
    with os.scandir(folder) as entries:
        parts = [folder / entry.name for entry in entries if entry.name.endswith(PART_SUFFIX)]
    for part in parts:
        # Another export may be at work, and its files come and go.
        with suppress(FileNotFoundError):
            if time.time() - part.lstat().st_mtime > PART_MAX_AGE:
                part.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the folder's new entries survive a power cut (fsync(2): the file's own fsync does not)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
