"""WebP (RFC 9649)."""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from pixyproxy.adapters.pictures.bitmaps.exif import PREFIX, UPRIGHT, orientation_of
from pixyproxy.adapters.pictures.bitmaps.frame import Bounds, Frame, ensure_size
from pixyproxy.adapters.pictures.picture import broken
from pixyproxy.domain.content import MediaType

SIGNATURE: Final = b"WEBP"
SIGNATURE_OFFSET: Final = 8

RIFF: Final = b"RIFF"

_HEAD_SIZE, _FLAGS_AT, _FRAME_HEAD_SIZE = 12, 20, 16
_ICC_FLAG, _ALPHA_FLAG, _EXIF_FLAG, _ANIMATION_FLAG = 0x20, 0x10, 0x08, 0x02
_ICC_MAX_SIZE: Final = 1 << 20
_VP8_START: Final = b"\x9d\x01\x2a"
_VP8L_START: Final = b"\x2f"


class _Chunk(NamedTuple):
    kind: bytes
    content: memoryview
    is_whole: bool


def first_frame(data: bytes, bounds: Bounds) -> Frame:
    """Return the first frame of a WebP on its canvas, without anything after it.

    Refuses a truncated frame: browsers show nothing of it. No browser rotates a WebP by its EXIF data. Raises
    `UnreadablePictureError`.
    """
    if not data.startswith(RIFF):
        raise broken(MediaType.WEBP)
    kept: dict[bytes, memoryview] = {}
    for chunk in _chunks(data, bounds):
        if chunk.kind == b"ANMF":
            bounds.count_frame()
        if chunk.is_whole:
            kept.setdefault(chunk.kind, chunk.content)
    extended = kept.get(b"VP8X")
    is_moving = extended is not None and len(extended) >= 10 and bool(extended[0] & _ANIMATION_FLAG)  # noqa: PLR2004
    parts = list(_moving(kept) if is_moving else _still(kept, extended))
    if extended is not None and len(extended) >= 10:  # noqa: PLR2004 -- as RFC 9649 has it
        size = 1 + int.from_bytes(extended[4:7], "little"), 1 + int.from_bytes(extended[7:10], "little")
    else:
        size = _pixel_size(*parts[0])
    ensure_size(*size)
    profile = kept.get(b"ICCP")
    if extended is not None and profile is not None and 0 < len(profile) <= _ICC_MAX_SIZE:
        parts.insert(0, (b"ICCP", profile))
    if extended is not None:
        flags = extended[0] & (_ALPHA_FLAG | _ANIMATION_FLAG) | (_ICC_FLAG if parts[0][0] == b"ICCP" else 0)
        parts.insert(0, (b"VP8X", memoryview(bytes([flags]) + bytes(extended[1:10]))))
    body = b"".join(_packed(kind, content) for kind, content in parts)
    return Frame(
        media_type=MediaType.WEBP,
        data=RIFF + struct.pack("<I", 4 + len(body)) + SIGNATURE + body,
        width=size[0],
        height=size[1],
    )


def orientation_in(head: bytes) -> int | None:
    """Return the orientation in the head of a WebP; None if `head` ends before its EXIF data.

    Other programs may have swapped width and height for it.
    """
    if len(head) < _FLAGS_AT + 1:
        return None
    if head[_HEAD_SIZE : _HEAD_SIZE + 4] != b"VP8X" or not head[_FLAGS_AT] & _EXIF_FLAG:
        return UPRIGHT
    for chunk in _chunks(head, Bounds()):
        if chunk.kind == b"EXIF" and chunk.is_whole:
            return orientation_of(bytes(chunk.content).removeprefix(PREFIX))
    return UPRIGHT if len(head) >= 8 + int.from_bytes(head[4:8], "little") else None


def _chunks(data: bytes, bounds: Bounds) -> Iterator[_Chunk]:
    """Yield the chunks of the file; the last one may be truncated."""
    view, position = memoryview(data), _HEAD_SIZE
    end_of_file = min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    while position + 8 <= end_of_file:
        bounds.count_chunk()
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        end = position + 8 + length
        yield _Chunk(data[position : position + 4], view[position + 8 : end], end <= end_of_file)
        position = end + length % 2


def _still(kept: dict[bytes, memoryview], extended: memoryview | None) -> Iterator[tuple[bytes, memoryview]]:
    if extended is not None and b"ALPH" in kept and b"VP8 " in kept:
        yield b"ALPH", kept[b"ALPH"]
    for kind in (b"VP8 ", b"VP8L"):
        if kind in kept:
            _pixel_size(kind, kept[kind])
            yield kind, kept[kind]
            return
    raise broken(MediaType.WEBP)


def _moving(kept: dict[bytes, memoryview]) -> Iterator[tuple[bytes, memoryview]]:
    frame = kept.get(b"ANMF")
    if frame is None or len(frame) <= _FRAME_HEAD_SIZE:
        raise broken(MediaType.WEBP)
    yield b"ANIM", kept.get(b"ANIM", memoryview(bytes(6)))
    yield b"ANMF", frame


def _pixel_size(kind: bytes, pixels: memoryview) -> tuple[int, int]:
    """Return the size in the pixel data."""
    content = bytes(pixels[:10])
    if kind == b"VP8 " and content[3:6] == _VP8_START and len(content) >= 10:  # noqa: PLR2004 -- RFC 6386, 9.1
        return struct.unpack_from("<H", content, 6)[0] & 0x3FFF, struct.unpack_from("<H", content, 8)[0] & 0x3FFF
    if kind == b"VP8L" and content[:1] == _VP8L_START and len(content) >= 5:  # noqa: PLR2004 -- RFC 9649, 3.4
        bits = int.from_bytes(content[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    raise broken(MediaType.WEBP)


def _packed(kind: bytes, content: memoryview) -> bytes:
    return b"".join((kind, struct.pack("<I", len(content)), content, b"\0" * (len(content) % 2)))
