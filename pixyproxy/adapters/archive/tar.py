"""The few things of the tar format (POSIX, ustar) that an archive needs, read and written as a stream.

The standard library's `tarfile` makes and understands the headers. Its reader is not used: it takes a damaged header,
and a tar that was cut off behind a file, for the end of a tar that is whole; and it keeps what it has read.
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
# What other programs tell of the file behind it, such as fractions of its time; nothing of it matters here.
_REMARKS: Final = frozenset({tarfile.XHDTYPE, tarfile.XGLTYPE})


# The header has eleven octal digits for it.
_TIME_MAX: Final = 8**11 - 1


class TarEntry(msgspec.Struct, frozen=True):
    """One entry of a tar: its name, its size in bytes, and what it is (a folder, a file, or neither)."""

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
        """Begin a file, whose bytes are then written, all of them and no more."""
        header = tarfile.TarInfo(name)
        header.size, header.mode, header.mtime = byte_size, 0o600, min(max(0, int(time)), _TIME_MAX)
        self.write(header.tobuf(tarfile.USTAR_FORMAT))

    def write(self, data: bytes) -> None:
        """Write some bytes of the file that was begun."""
        rest = memoryview(data)
        while rest:
            written = self._stream.write(rest)
            if written is None:
                raise BlockingIOError(errno.EAGAIN, "nobody takes what is written")
            rest = rest[written:]
        self._position += len(data)

    def end(self) -> None:
        """End the file that was begun."""
        self.write(bytes(-self._position % tarfile.BLOCKSIZE))

    def finish(self) -> None:
        """Write the end of the tar."""
        self.write(2 * _EMPTY_BLOCK)
        self.write(bytes(-self._position % tarfile.RECORDSIZE))
        self._stream.flush()


class TarInput:
    """Reads one entry of a tar after the other from a stream that can't go back.

    Takes a `stream` whose `read` returns fewer bytes than asked for only at its end. The methods block. They raise
    `OSError`, and `ArchiveError` for what is no tar and for one that breaks off.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._rest = 0
        self._padding = 0
        self._is_over = False
        self.position = 0

    def next(self) -> TarEntry | None:
        """Return the next entry, passing over what was not read of the one before; None at the end of the tar."""
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
        """Return at most so many bytes of the entry, none at its end."""
        data = self._read_whole(min(limit, self._rest))
        self._rest -= len(data)
        return data

    def _end(self) -> None:
        """Read to the end of the stream, so that whoever writes padding into a pipe is not turned away."""
        self._is_over = True
        rest = self._read_whole(tarfile.BLOCKSIZE)
        while rest:
            if rest.count(0) < len(rest):
                raise ArchiveError("The archive is damaged: something comes behind its end.")
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
