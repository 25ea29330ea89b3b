"""Places for archives, each with the two sides of an archive."""

import io
from abc import abstractmethod
from pathlib import Path
from typing import Protocol

from pixyproxy.adapters.archive.folder_reader import FolderImageArchiveReader
from pixyproxy.adapters.archive.folder_writer import FolderImageArchiveWriter
from pixyproxy.adapters.archive.tar_reader import TarImageArchiveReader
from pixyproxy.adapters.archive.tar_writer import TarImageArchiveWriter
from pixyproxy.adapters.memory.image_archive import InMemoryImageArchive
from pixyproxy.domain.ports import ImageArchiveReader, ImageArchiveWriter


class Archive(Protocol):
    """One place with the two sides of an archive."""

    @abstractmethod
    def writer(self) -> ImageArchiveWriter: ...

    @abstractmethod
    def reader(self) -> ImageArchiveReader: ...


class Memory(Archive):
    def __init__(self, _: Path) -> None:
        self._archive = InMemoryImageArchive()

    def writer(self) -> ImageArchiveWriter:
        return self._archive

    def reader(self) -> ImageArchiveReader:
        return self._archive


class Folder(Archive):
    def __init__(self, folder: Path) -> None:
        self._root = folder / "new" / "archive"

    def writer(self) -> ImageArchiveWriter:
        return FolderImageArchiveWriter(self._root)

    def reader(self) -> ImageArchiveReader:
        return FolderImageArchiveReader(self._root)


class Tar(Archive):
    def __init__(self, _: Path) -> None:
        self._stream = io.BytesIO()

    def writer(self) -> ImageArchiveWriter:
        return TarImageArchiveWriter(self._stream)

    def reader(self) -> ImageArchiveReader:
        self._stream.seek(0)
        return TarImageArchiveReader(self._stream, len(self._stream.getvalue()))


class TarOfUnknownSize(Tar):
    def reader(self) -> ImageArchiveReader:
        self._stream.seek(0)
        return TarImageArchiveReader(self._stream)


ARCHIVES = [Memory, Folder, Tar, TarOfUnknownSize]
