"""A zip that is written as a stream, and whose size is known before its first byte."""

import struct
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Final
from zipfile import ZipFile, ZipInfo

import msgspec

from pixyproxy.domain.errors import ContentStoreError

# The range of a zip's dates.
_FIRST: Final = datetime(1980, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC)

_READABLE_FILE: Final = 0o100644 << 16

# The extra field "UT", until 2038: a zip's dates have no time zone, and most programs take them for local ones.
_TIMESTAMP: Final = struct.Struct("<HHBi")
_TIMESTAMP_ID: Final = 0x5455
_TIMESTAMP_MAX: Final = (1 << 31) - 1


class ZipMember(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a zip: its name, its size, when it was made, and what opens its bytes."""

    name: str
    byte_size: int
    made_at: datetime
    chunks: Callable[[], AsyncIterator[bytes]]

    def to_info(self) -> ZipInfo:
        """Return its description for `zipfile`."""
        made_at = min(max(self.made_at.astimezone(UTC), _FIRST), _LAST)
        info = ZipInfo(
            self.name, (made_at.year, made_at.month, made_at.day, made_at.hour, made_at.minute, made_at.second)
        )
        info.external_attr = _READABLE_FILE
        # Decides whether its sizes need 8 bytes each (ZIP64).
        info.file_size = self.byte_size
        timestamp = int(made_at.timestamp())
        if timestamp <= _TIMESTAMP_MAX:
            info.extra = _TIMESTAMP.pack(_TIMESTAMP_ID, _TIMESTAMP.size - 4, 1, timestamp)
        return info


class _Output:
    """Collects what `zipfile` writes until it is taken. It can't seek, so each size and checksum follows its bytes."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._position = 0

    def write(self, data: bytes, /) -> int:
        self._pieces.append(data)
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def skip(self, count: int) -> None:
        self._position += count

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def zip_size(members: Sequence[ZipMember]) -> int:
    """Return the number of bytes of the zip, of which none is read: `zipfile` writes all but the members' bytes."""
    output = _Output()
    with ZipFile(output, "w") as archive:
        for member in members:
            info = member.to_info()
            with archive.open(info, "w"):
                output.skip(member.byte_size)
            # The directory at the end depends on them.
            info.file_size = info.compress_size = member.byte_size
            output.take()
    return output.tell()


async def zip_chunks(members: Sequence[ZipMember]) -> AsyncGenerator[bytes]:
    """Yield the zip, with its members as they are; holds one chunk at a time in memory.

    Raises what reading the members raises, and `ContentStoreError` for one of another size.
    """
    output = _Output()
    with ZipFile(output, "w") as archive:
        for member in members:
            left = member.byte_size
            with archive.open(member.to_info(), "w") as file:
                async for chunk in member.chunks():
                    left -= len(chunk)
                    if left < 0:
                        raise ContentStoreError("The content is longer than its record says.")
                    file.write(chunk)
                    yield output.take()
            if left:
                raise ContentStoreError("The content breaks off before its end.")
    yield output.take()
