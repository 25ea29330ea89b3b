"""Import from a folder."""

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import msgspec

from pixyproxy.adapters.archive.blocking import CHUNK_SIZE, to_thread
from pixyproxy.adapters.archive.records import (
    PART_SUFFIX,
    RECORD_MAX_SIZE,
    RECORD_SUFFIX,
    REFERENCES,
    ArchiveName,
    ReferenceName,
    image_from_record,
    is_folder_name,
    parse_name,
    parse_reference_name,
)
from pixyproxy.adapters.disk.clutter import is_clutter
from pixyproxy.domain.errors import DamagedContentError, DataValidationError
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import (
    ArchivedImage,
    ArchivedReference,
    ArchiveProblem,
    ImageArchiveReader,
    StoredContent,
)
from pixyproxy.domain.reference import upload_contents_in


class FolderImageArchiveReader(ImageArchiveReader):
    """Reads an archive that `FolderImageArchiveWriter` wrote below `root`, folder by folder.

    Yields the references of an image before each image that names them. Skips references that no image names, files
    that end in `.part`, which broken-off exports leave, and files of operating systems and file servers. Follows no
    links.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._progress = 0.0

    async def items(self) -> AsyncIterator[ArchivedImage | ArchivedReference | ArchiveProblem]:
        self._progress = 0.0
        folders, problems = await to_thread(_folders_in, self._root)
        for problem in problems:
            yield problem
        for number, folder in enumerate(folders):
            listing = await to_thread(_files_in, folder)
            for problem in listing.problems:
                yield problem
            for position, files in enumerate(listing.images):
                self._progress = (number + position / len(listing.images)) / len(folders)
                for found in await to_thread(self._load, files):
                    yield found
        self._progress = 1.0

    @property
    def progress(self) -> float | None:
        return self._progress

    def _load(self, files: Mapping[str, ArchiveName]) -> Sequence[ArchivedImage | ArchivedReference | ArchiveProblem]:
        """Return the image that these files make up, by suffix, behind its references.

        Returns a problem for each file that is not part of it.
        """
        name = files.get(RECORD_SUFFIX)
        if name is None:
            return [ArchiveProblem(str(other), "There is no record of it.") for other in files.values()]
        try:
            image = image_from_record(name, _read_record(self._root / str(name)))
        except DataValidationError as exc:
            return [ArchiveProblem(str(name), f"{exc.field} {exc.detail}.")]
        except OSError:
            return [ArchiveProblem(str(name), "It can't be read.")]
        content = ArchiveName.of_content(image.guid, image.content) if image.content else None
        found: list[ArchivedImage | ArchivedReference | ArchiveProblem] = [
            ArchiveProblem(str(other), "Its record names no such content.")
            for other in files.values()
            if other not in {name, content}
        ]
        found += self._references_of(image)
        if content is None:
            found.append(ArchivedImage(image))
        elif content.suffix in files:
            path = self._root / str(content)
            found.append(ArchivedImage(image, StoredContent(path.lstat().st_size, _read(path))))
        else:
            found.append(ArchiveProblem(str(name), "Its content is missing."))
        return found

    def _references_of(self, image: Image) -> Iterator[ArchivedReference]:
        if (self._root / REFERENCES).is_symlink():
            return
        for content in upload_contents_in(image.request.pictures):
            path = self._root / str(ReferenceName.of(content))
            # An import says what is missing.
            with suppress(OSError):
                yield ArchivedReference(content.sha256, StoredContent(path.lstat().st_size, _read(path)))


class _Listing(msgspec.Struct, frozen=True):
    """A folder's files, by image and suffix, and a problem for each entry that belongs to no image."""

    images: Sequence[Mapping[str, ArchiveName]]
    problems: Sequence[ArchiveProblem]


def _folders_in(root: Path) -> tuple[Sequence[Path], Sequence[ArchiveProblem]]:
    folders: list[Path] = []
    problems: list[ArchiveProblem] = []
    for entry in _entries_in(root):
        is_folder = entry.is_dir(follow_symlinks=False)
        if is_folder and is_folder_name(entry.name):
            folders.append(root / entry.name)
        elif is_folder and entry.name == REFERENCES:
            problems.extend(_problems_with_references(root / entry.name))
        else:
            problems.append(ArchiveProblem(entry.name, "It is no folder of images."))
    return folders, problems


def _problems_with_references(folder: Path) -> Iterator[ArchiveProblem]:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{REFERENCES}/{entry.name}"
            if parse_reference_name(name) is None:
                if not entry.name.endswith(PART_SUFFIX) and not is_clutter(entry.name):
                    yield ArchiveProblem(name, "No reference has such a name.")
            elif not entry.is_file(follow_symlinks=False):
                yield ArchiveProblem(name, "It is not a file.")


def _files_in(folder: Path) -> _Listing:
    names, problems = [], []
    for entry in _entries_in(folder):
        shown = f"{folder.name}/{entry.name}"
        name = parse_name(shown)
        if name is None and not entry.name.endswith(PART_SUFFIX):
            problems.append(ArchiveProblem(shown, "No file of an image has such a name."))
        elif name is not None and entry.is_file(follow_symlinks=False):
            names.append(name)
        elif name is not None:
            problems.append(ArchiveProblem(shown, "It is not a file."))
    images = [{name.suffix: name for name in files} for _, files in groupby(names, key=lambda name: name.guid)]
    return _Listing(images, problems)


def _entries_in(folder: Path) -> Sequence[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not is_clutter(entry.name)), key=lambda entry: entry.name)


def _read_record(path: Path) -> bytes:
    with _open(path) as file:
        return file.read(RECORD_MAX_SIZE + 1)


async def _read(path: Path) -> AsyncIterator[bytes]:
    try:
        file = await asyncio.to_thread(_open, path)
        with file:
            while chunk := await asyncio.to_thread(file.read, CHUNK_SIZE):
                yield chunk
    except OSError as exc:
        raise DamagedContentError("The content can't be read.") from exc


def _open(path: Path) -> BinaryIO:
    return open(path, "rb", buffering=0, opener=_without_following)


def _without_following(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a file")
    return descriptor
