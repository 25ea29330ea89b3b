"""The subset of the tar format (POSIX ustar) that an archive needs, as a stream.

The standard library's `tarfile` builds and parses the headers. Its reader is not used: it takes a damaged header or a
truncated tar for the end of a valid one, and it keeps all entries in memory.
"""

import errno
import tarfile
from typing import BinaryIO, Final

import msgspec

from pixyproxy.adapters.archive.blocking import CHUNK_SIZE
from pixyproxy.domain.archive import ArchiveError

_EMPTY_BLOCK: Final = bytes(tarfile.BLOCKSIZE)
_WITHOUT_DATA: Final = frozenset(
    {tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE}
)
# Metadata of the next entry, such as fractions of its time; ignored.
_REMARKS: Final = frozenset({tarfile.XHDTYPE, tarfile.XGLTYPE})


# A header has eleven octal digits for the time.
_TIME_MAX: Final = 8**11 - 1


class TarEntry(msgspec.Struct, frozen=True):
    """A tar entry: its name, its size in bytes, and whether it is a file, a folder or neither."""

    name: str
    byte_size: int
    is_file: bool
    is_folder: bool


class TarOutput:
    """Writes files to a stream as a tar; the methods block and raise `OSError`."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._position = 0

    def begin(self, name: str, byte_size: int, time: float) -> None:
        """Begin a file; exactly `byte_size` bytes must follow."""
        header = tarfile.TarInfo(name)
        header.size, header.mode, header.mtime = byte_size, 0o600, min(max(0, int(time)), _TIME_MAX)
        self.write(header.tobuf(tarfile.USTAR_FORMAT))

    def write(self, data: bytes) -> None:
        """Write bytes of the current file."""
        rest = memoryview(data)
        while rest:
            written = self._stream.write(rest)
            if written is None:
                raise BlockingIOError(errno.EAGAIN, "the reader takes no more data")
            rest = rest[written:]
        self._position += len(data)

    def end(self) -> None:
        """End the current file."""
        self.write(bytes(-self._position % tarfile.BLOCKSIZE))

    def finish(self) -> None:
        """Write the end of the tar."""
        self.write(2 * _EMPTY_BLOCK)
        self.write(bytes(-self._position % tarfile.RECORDSIZE))
        self._stream.flush()


class TarInput:
    """Reads the entries of a tar from a stream, in order and without seeking.

    `stream.read` must return fewer bytes than asked for only at the end. The methods block. They raise `OSError`, and
    `ArchiveError` for a stream that is no tar or is truncated.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._rest = 0
        self._padding = 0
        self._is_over = False
        self.position = 0

    def next(self) -> TarEntry | None:
        """Return the next entry, skipping the unread bytes of the last one; None at the end of the tar."""
        while not self._is_over:
            while self.read():
                pass
            self._read_whole(self._padding)
            block = self._read_whole(tarfile.BLOCKSIZE)
            if block == _EMPTY_BLOCK:
                self._end()
                break
            header = _parse(block)
            self._rest = 0 if header.type in _WITHOUT_DATA else header.size
            self._padding = -self._rest % tarfile.BLOCKSIZE
            if header.type not in _REMARKS:
                is_file = header.type in {tarfile.REGTYPE, tarfile.AREGTYPE}
                return TarEntry(header.name, self._rest, is_file=is_file, is_folder=header.isdir())
        return None

    def read(self, limit: int = CHUNK_SIZE) -> bytes:
        """Return up to `limit` bytes of the entry, none at its end."""
        data = self._read_whole(min(limit, self._rest))
        self._rest -= len(data)
        return data

    def _end(self) -> None:
        """Read to the end of the stream, so that a process that writes padding into a pipe gets no SIGPIPE."""
        self._is_over = True
        rest = self._read_whole(tarfile.BLOCKSIZE)
        while rest:
            if rest.count(0) < len(rest):
                raise ArchiveError("The archive is damaged: data follows its end.")
            rest = self._stream.read(CHUNK_SIZE)
            self.position += len(rest)

    def _read_whole(self, byte_size: int) -> bytes:
        data = self._stream.read(byte_size) if byte_size else b""
        if len(data) < byte_size:
            raise ArchiveError("The archive breaks off before its end.")
        self.position += byte_size
        return data


def _parse(block: bytes) -> tarfile.TarInfo:
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as exc:
        raise ArchiveError("The archive is no tar, or is damaged from here on.") from exc
    if header.size < 0:
        raise ArchiveError("The archive is no tar, or is damaged from here on.")
    return header
