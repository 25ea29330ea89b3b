"""Reading files of a content store."""

import asyncio
import os
import stat
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import ParamSpec, TypeVar

from pixyproxy.adapters.filesystem.errors import translated_errors
from pixyproxy.domain.errors import ContentNotFoundError, ContentStoreError
from pixyproxy.domain.ports import SendableFile, StoredContent

CHUNK_SIZE = 256 * 1024
CLOSED = -1
RECENT_SECONDS = 60.0
RECENT_MAX_COUNT = 4_096

# Read from the page cache, or fail instead of waiting for the disk (preadv2(2)); 0 where the flag is missing.
_NO_WAITING: int = getattr(os, "RWF_NOWAIT", 0)


# A pool of its own: a slow disk must not block password hashing and SQLite.
_READERS = ThreadPoolExecutor(max_workers=8, thread_name_prefix="content-reader")

P = ParamSpec("P")
T = TypeVar("T")


async def in_reader(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function that may wait for a disk in a reader thread; it completes even if the caller is cancelled."""
    return await asyncio.get_running_loop().run_in_executor(_READERS, partial(function, *args, **kwargs))


class Download(SendableFile):
    """A file that stays open for reading as long as this object lives.

    `name` is its path below `root`. The constructor blocks. It raises `ContentNotFoundError`, and `ContentStoreError`
    if the path can't be read or is no file.
    """

    _descriptor = CLOSED

    def __init__(self, root: Path, name: str) -> None:
        self._name = name
        with translated_errors():
            try:
                # Opening a FIFO would wait for a writer.
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                self._descriptor = os.open(f"{root}/{name}", flags)
            except FileNotFoundError:
                raise ContentNotFoundError("The content is missing.") from None
            status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            # The error's traceback keeps this object alive.
            self._close()
            raise ContentStoreError("The content is not a file.")
        self._byte_size = status.st_size

    def _close(self) -> None:
        if self._descriptor != CLOSED:
            os.close(self._descriptor)
            self._descriptor = CLOSED

    __del__ = _close

    @property
    def name(self) -> str:
        return self._name

    @property
    def byte_size(self) -> int:
        return self._byte_size

    def fileno(self) -> int:
        return self._descriptor

    def content(self, start: int, end: int | None) -> StoredContent:
        """Return the content with the bytes from `start` up to, but without, `end`."""
        stop = self._byte_size if end is None else min(end, self._byte_size)
        return StoredContent(self._byte_size, _Chunks(self, start, stop), self)

    def read_at_once(self, start: int, length: int) -> bytes | None:
        """Return these bytes, or None if they are not all in the page cache."""
        if not _NO_WAITING:
            return None
        buffer = bytearray(length)
        # The blocking read will report the error.
        with suppress(OSError):
            if os.preadv(self._descriptor, [buffer], start, _NO_WAITING) == length:
                return bytes(buffer)
        return None

    @translated_errors()
    def read(self, start: int, length: int) -> bytes:
        """Return these bytes; blocks."""
        pieces: list[bytes] = []
        while length and (piece := os.pread(self._descriptor, length, start)):
            pieces.append(piece)
            start += len(piece)
            length -= len(piece)
        if length:
            raise ContentStoreError("The content breaks off before its end.")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class _Chunks(AsyncIterator[bytes]):
    """A range of a download's bytes.

    Reads bytes in the page cache at once, since a thread costs far more than a small read, and all others in a worker
    thread. A thread that outlives a cancelled reader keeps the download open.
    """

    def __init__(self, download: Download, start: int, stop: int) -> None:
        self._download = download
        self._begin = self._position = start
        self._stop = stop

    async def __anext__(self) -> bytes:
        start, length = self._position, min(CHUNK_SIZE, self._stop - self._position)
        if length <= 0:
            raise StopAsyncIteration
        if start != self._begin:
            # Give other tasks a turn: the consumer may never wait for anything else.
            await asyncio.sleep(0)
        chunk = self._download.read_at_once(start, length)
        if chunk is None:
            chunk = await in_reader(self._download.read, start, length)
        self._position = start + length
        return chunk


class RecentFiles:
    """Files that were opened a short time ago: opening them again does not wait for a disk, so it needs no thread.

    Each file is opened anew; with a thread for each, a thumbnail takes 1.1 to 1.4 times the CPU.
    """

    def __init__(self) -> None:
        self._files: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def find(self, name: str) -> str | None:
        """Return the file that was put for `name` a short time ago, or None."""
        until, file = self._files.get(name, (0.0, None))
        return file if monotonic() < until else None

    def put(self, name: str, file: str) -> None:
        """Remember that `name` is stored in `file`."""
        self._files[name] = monotonic() + RECENT_SECONDS, file
        self._files.move_to_end(name)
        if len(self._files) > RECENT_MAX_COUNT:
            self._files.popitem(last=False)
