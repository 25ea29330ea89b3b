"""Range requests (RFC 9110, section 14)."""

import re
from typing import Final

import msgspec
from litestar.exceptions import HTTPException

_RANGE: Final = re.compile(r"bytes=[ \t,]*(?:([0-9]+)-([0-9]*)|-([0-9]+))[ \t,]*", re.ASCII | re.IGNORECASE)
# No content is larger, and longer numbers are slow to parse.
_DIGITS_MAX: Final = 18


class ByteRange(msgspec.Struct, frozen=True):
    """The bytes from `start` up to, but without, `end`."""

    start: int
    end: int

    @property
    def byte_size(self) -> int:
        """The number of bytes."""
        return self.end - self.start


def parse_range(text: str | None, byte_size: int) -> ByteRange | None:
    """Return the range of `byte_size` bytes that the header asks for, or None to send all.

    None also for a malformed header, other units and several ranges: a server may ignore them, and pictures are not
    read that way. Raises the `HTTPException` of a 416 if none of the bytes exist.
    """
    found = text and _RANGE.fullmatch(text)
    if not found:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, end = max(0, byte_size - _number(suffix)), byte_size
    else:
        start = _number(first)
        end = min(byte_size, _number(last) + 1) if last else byte_size
        if last and _number(last) < start:
            return None
    if start >= end:
        raise HTTPException(
            status_code=416,
            detail=f"The content has {byte_size} bytes, and none of those that `Range` asks for.",
            headers={"Content-Range": f"bytes */{byte_size}"},
        )
    return ByteRange(start, end)


def _number(digits: str) -> int:
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= _DIGITS_MAX else 10**_DIGITS_MAX
