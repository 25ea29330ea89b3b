"""Content in files."""

import asyncio
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from pixyproxy.adapters.filesystem.errors import translated_errors
from pixyproxy.domain.errors import ContentNotFoundError, ContentStoreError
from pixyproxy.domain.image import ContentKey
from pixyproxy.domain.ports import ContentReceipt, ContentStore, StoredContent

CHUNK_SIZE = 256 * 1024
INCOMING = "incoming"
SET_ASIDE = "set-aside"
SHARD_LENGTH = 2
CLOSED = -1

P = ParamSpec("P")
T = TypeVar("T")


class FilesystemContentStore(ContentStore):
    """Keeps each content in a file of its own below `root`.

    A content with the key `abcdef…` lies in `root/ab/cd/abcdef…`. It is written to `root/incoming` first and moved to
    its place when it is whole and on the disk, so that a crash leaves at most a file in `incoming`. What is set aside
    goes to `root/set-aside`, under its key or, where that name is taken, under its key and a suffix.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / INCOMING
        self._aside = root / SET_ASIDE

    async def prepare(self) -> None:
        """Create the folders; raise `ContentStoreError` if that fails.

        Nothing else creates the root, so that a volume that was unmounted is an error and not an empty folder.
        """
        with translated_errors():
            await _to_thread(_make_folder, self._incoming)

    async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentReceipt:
        path = self._path(key)
        upload = _Upload(self._temporary(key))
        try:
            await _to_thread(upload.begin)
            async for chunk in chunks:
                await _to_thread(upload.write, chunk)
            return await _to_thread(upload.commit, path)
        finally:
            await _to_thread(upload.discard)

    async def open(self, key: ContentKey) -> StoredContent:
        download = _Download(self._path(key))
        byte_size = await _to_thread(download.begin)
        return StoredContent(byte_size, _read(download))

    async def delete(self, key: ContentKey) -> None:
        with translated_errors():
            await _to_thread(self._path(key).unlink, missing_ok=True)

    async def check(self) -> None:
        await _to_thread(_try_to_write, self._temporary("check"))

    async def keys(self) -> AsyncIterator[ContentKey]:
        for outer in await _shards(self._root):
            for inner in await _shards(outer):
                for key in await _keys_in(inner):
                    yield key

    async def set_aside(self, key: ContentKey) -> None:
        path = self._path(key)
        with translated_errors():
            await _to_thread(_set_aside, path, self._aside)

    async def list_leftovers(self, *, older_than: timedelta) -> Sequence[str]:
        with translated_errors():
            return await _to_thread(_untouched_files, self._incoming, time.time() - older_than.total_seconds())

    async def set_leftover_aside(self, name: str) -> None:
        if name in {"", ".", ".."} or "/" in name or "\0" in name:
            raise ContentStoreError("The leftover's name is malformed.")
        with translated_errors():
            await _to_thread(_set_aside, self._incoming / name, self._aside)

    def _temporary(self, name: str) -> Path:
        return self._incoming / f"{name}.{secrets.token_hex(8)}"

    def _path(self, key: ContentKey) -> Path:
        if not _is_key(key):
            raise ContentStoreError("The content's key is malformed.")
        return self._root / key[:2] / key[2:4] / key


class _Upload:
    """One content on its way from its temporary file to its place; its methods block and run in a worker thread.

    They translate their own errors, so that those of the chunks' source pass through as they are.
    """

    def __init__(self, temporary: Path) -> None:
        self._temporary = temporary
        self._descriptor = CLOSED
        self._sha256 = hashlib.sha256()
        self._byte_size = 0

    @translated_errors()
    def begin(self) -> None:
        self._descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)

    @translated_errors()
    def write(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self._sha256.update(chunk)
        self._byte_size += len(chunk)

    @translated_errors()
    def commit(self, path: Path) -> ContentReceipt:
        os.fsync(self._descriptor)
        for folder in (path.parent.parent, path.parent):
            with suppress(FileExistsError):
                folder.mkdir()
            # Another upload may have made the folder and not be done with this yet.
            _sync_folder(folder.parent)
        self._temporary.replace(path)
        try:
            _sync_folder(path.parent)
        except OSError:
            # Nobody knows whether the content survives a power cut, so it must not look as if it did.
            path.unlink()
            raise
        return ContentReceipt(self._byte_size, self._sha256.hexdigest())

    @translated_errors()
    def discard(self) -> None:
        """Close and remove what is left of the temporary file: nothing, after a commit."""
        if self._descriptor != CLOSED:
            os.close(self._descriptor)
            self._descriptor = CLOSED
        self._temporary.unlink(missing_ok=True)


class _Download:
    """One content on its way out; its methods block and run in a worker thread.

    It is open from the start, so that what can't be read is noticed before anything was promised, and it closes itself
    when nobody wants it any more.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = CLOSED

    @translated_errors()
    def begin(self) -> int:
        """Open the file and return its size in bytes."""
        try:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise ContentNotFoundError("The content is missing.") from None
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            self.end()
            raise ContentStoreError("The content is not a file.")
        return status.st_size

    @translated_errors()
    def read(self) -> bytes:
        return os.read(self._descriptor, CHUNK_SIZE)

    def end(self) -> None:
        if self._descriptor != CLOSED:
            os.close(self._descriptor)
            self._descriptor = CLOSED

    __del__ = end


def _is_key(text: str) -> bool:
    return re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z-]{3,127}", text) is not None


def _shards_in(folder: Path) -> Sequence[Path]:
    """Return the folders in `folder` that may hold content, or folders with content, in the order of the keys."""
    with os.scandir(folder) as entries:
        return sorted(folder / entry.name for entry in entries if len(entry.name) == SHARD_LENGTH and entry.is_dir())


def _files_in(folder: Path) -> Sequence[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))


def _untouched_files(folder: Path, since: float) -> Sequence[str]:
    """Return the names of the files in `folder` that were written to for the last time before `since`."""
    untouched = []
    for name in _files_in(folder):
        # Uploads that are at work come and go.
        with suppress(FileNotFoundError):
            if (folder / name).lstat().st_mtime < since:
                untouched.append(name)
    return untouched


def _set_aside(path: Path, folder: Path) -> None:
    if not os.path.lexists(path):
        return
    with suppress(FileExistsError):
        folder.mkdir()
    _sync_folder(folder.parent)
    target = _reserve(folder, path.name)
    try:
        path.replace(target)
    except FileNotFoundError:
        target.unlink()
        return
    except OSError:
        target.unlink()
        raise
    _sync_folder(folder)
    _sync_folder(path.parent)


def _reserve(folder: Path, name: str) -> Path:
    """Make an empty file that nothing else will be moved onto, and return its path."""
    path = folder / name
    while True:
        try:
            path.touch(0o640, exist_ok=False)
        except FileExistsError:
            path = folder / f"{name}.{secrets.token_hex(8)}"
        else:
            return path


def _try_to_write(path: Path) -> None:
    """Write a block and remove it; an empty file can be made on a disk that is full."""
    upload = _Upload(path)
    try:
        upload.begin()
        upload.write(bytes(4096))
    finally:
        upload.discard()


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """Make the folder's new entries survive a power cut (fsync(2): the file's own fsync does not)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _shards(folder: Path) -> Sequence[Path]:
    with translated_errors():
        return await _to_thread(_shards_in, folder)


async def _keys_in(folder: Path) -> Sequence[ContentKey]:
    with translated_errors():
        names = await _to_thread(_files_in, folder)
    shard = folder.parent.name + folder.name
    return [ContentKey(name) for name in names if name.startswith(shard) and _is_key(name)]


async def _read(download: _Download) -> AsyncIterator[bytes]:
    try:
        while chunk := await _to_thread(download.read):
            yield chunk
    finally:
        download.end()


async def _to_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking function in a worker thread, and to its end even if the caller is cancelled meanwhile.

    Otherwise the clean-up would close or remove a file that the abandoned thread still writes. A task around the thread
    would not do: a loop that shuts down cancels it directly.
    """
    running = asyncio.get_running_loop().run_in_executor(None, partial(function, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        raise
