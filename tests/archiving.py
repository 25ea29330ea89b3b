"""Places for archives, and the use cases that export and import."""

import io
from abc import abstractmethod
from pathlib import Path
from typing import Protocol

from pixyproxy.adapters.archive.folder_reader import FolderImageArchiveReader
from pixyproxy.adapters.archive.folder_writer import FolderImageArchiveWriter
from pixyproxy.adapters.archive.tar_reader import TarImageArchiveReader
from pixyproxy.adapters.archive.tar_writer import TarImageArchiveWriter
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_archive import InMemoryImageArchive
from pixyproxy.adapters.pictures.pillow.content_inspector import PillowContentInspector
from pixyproxy.application import ExportImages, ImportImages, ImportUploads, StoreUpload
from pixyproxy.domain.ports import ContentPorts, ImageArchiveReader, ImageArchiveWriter, ImagePorts


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


def exporter(images: ImagePorts, contents: ContentPorts, upload_contents: ContentPorts | None = None) -> ExportImages:
    """Return the use case, by default without uploads."""
    return ExportImages(
        images=images,
        image_maintenance=images,
        contents=contents,
        upload_contents=InMemoryContentStore() if upload_contents is None else upload_contents,
        quarantine=contents,
    )


def importer(images: ImagePorts, contents: ContentPorts, upload_contents: ContentPorts | None = None) -> ImportImages:
    """Return the use case, by default with an empty store of uploads."""
    upload_contents = InMemoryContentStore() if upload_contents is None else upload_contents
    inspector = PillowContentInspector()
    return ImportImages(
        images=images,
        deletions=images,
        contents=contents,
        quarantine=contents,
        inspector=inspector,
        import_uploads=ImportUploads(
            upload_contents=upload_contents,
            inspector=inspector,
            store_upload=StoreUpload(uploads=images, upload_store=upload_contents, inspector=inspector, patience=0.2),
        ),
    )
