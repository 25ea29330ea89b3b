"""GIF (the specification of CompuServe, version 89a)."""

from typing import Final

from pixyproxy.adapters.pictures.bitmaps.exif import UPRIGHT
from pixyproxy.adapters.pictures.bitmaps.frame import Bounds, Frame, ensure_size
from pixyproxy.adapters.pictures.picture import broken
from pixyproxy.domain.content import MediaType

SIGNATURES: Final = (b"GIF87a", b"GIF89a")

_HEAD_SIZE, _DESCRIPTOR_SIZE = 13, 10
_IMAGE, _EXTENSION, _CONTROL, _TRAILER = 0x2C, 0x21, 0xF9, b"\x3b"


def first_frame(data: bytes, bounds: Bounds) -> Frame:
    """Return the first picture of a GIF with its palette and transparency.

    Like browsers, it tolerates a truncated file. Raises `UnreadablePictureError`.
    """
    if len(data) < _HEAD_SIZE:
        raise broken(MediaType.GIF)
    screen = int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    position = _HEAD_SIZE + _palette_size(data[10])
    head, control, frame = data[:position], b"", None
    while position < len(data):
        start = position
        if data[position] == _EXTENSION:
            position, is_whole = _skip(data, position + 2, bounds)
            if is_whole and data[start + 1] == _CONTROL and frame is None:
                control = data[start:position]
        elif data[position] == _IMAGE and position + _DESCRIPTOR_SIZE < len(data):
            bounds.count_frame()
            sides = [int.from_bytes(data[at : at + 2], "little") for at in range(start + 1, start + 9, 2)]
            blocks = start + _DESCRIPTOR_SIZE + _palette_size(data[start + 9]) + 1
            position, is_whole = _skip(data, blocks, bounds)
            if frame is None:
                frame = _only(
                    head + control, data, start, blocks, position, is_whole=is_whole, screen=screen, sides=sides
                )
        else:
            break
    if frame is None:
        raise broken(MediaType.GIF)
    return frame


def orientation_in(head: bytes) -> int:  # noqa: ARG001 -- as in the other formats
    """Return `UPRIGHT`: a GIF has no EXIF data."""
    return UPRIGHT


def _only(
    head: bytes,
    data: bytes,
    start: int,
    blocks: int,
    end: int,
    *,
    is_whole: bool,
    screen: tuple[int, int],
    sides: list[int],
) -> Frame:
    """Return the picture at `start`, whose blocks lie between `blocks` and `end`, as a GIF of its own."""
    left, top, width, height = sides
    ensure_size(width, height)
    # A picture beyond the edge enlarges the screen.
    width, height = max(screen[0], left + width), max(screen[1], top + height)
    ensure_size(width, height)
    if end <= blocks or not data[blocks : blocks + 1].strip(b"\0"):
        raise broken(MediaType.GIF)
    packed = data[start:end] if is_whole else _mended(data, start, blocks, end)
    return Frame(
        media_type=MediaType.GIF,
        data=head + packed + _TRAILER,
        width=width,
        height=height,
        is_whole=is_whole,
    )


def _mended(data: bytes, start: int, blocks: int, end: int) -> bytes:
    """Return the picture with its truncated last block shortened to the data that is there."""
    position = blocks
    while position + 1 + data[position] < end:
        position += 1 + data[position]
    rest = data[position + 1 : end]
    return data[start:position] + (bytes([len(rest)]) + rest if rest else b"") + b"\0"


def _palette_size(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _skip(data: bytes, position: int, bounds: Bounds) -> tuple[int, bool]:
    """Return the end of the blocks from `position` on, and whether they are complete."""
    while position < len(data):
        bounds.count_chunk()
        length = data[position]
        position += 1 + length
        if not length:
            return position, True
    return len(data), False
