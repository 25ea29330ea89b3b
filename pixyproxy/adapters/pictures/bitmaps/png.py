"""PNG (RFC 2083; the third edition of the W3C's recommendation, with animations)."""

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from pixyproxy.adapters.pictures.bitmaps.exif import UPRIGHT, orientation_of
from pixyproxy.adapters.pictures.bitmaps.frame import Bounds, Frame, ensure_size
from pixyproxy.adapters.pictures.picture import broken
from pixyproxy.domain.content import MediaType

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

# The sample depths that each colour type may have, and its samples per pixel.
_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_SAMPLES: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PALETTE: Final = 3
_TRANSPARENCIES: Final = {0: 2, 2: 6}
_LAST_FILTER: Final = 4
_KEPT: Final = frozenset({b"PLTE", b"tRNS", b"iCCP", b"eXIf"})
_PROFILE_MAX_SIZE: Final = 1 << 20
_ROW_PART: Final = 1 << 16


class _Header(NamedTuple):
    width: int
    height: int
    depth: int
    colour: int
    compression: int
    filter: int
    interlace: int


class _Chunk(NamedTuple):
    kind: bytes
    content: memoryview
    is_whole: bool
    is_right: bool


def first_frame(data: bytes, bounds: Bounds) -> Frame:
    """Return the default picture of a PNG, whatever its ancillary chunks and the data after the pixels.

    Like browsers, it tolerates wrong checksums, except of the header and the palette, and a file that is truncated
    after the first row. Raises `UnreadablePictureError`.
    """
    chunks = _chunks(data, bounds)
    header = _header(next(chunks, None))
    kept: dict[bytes, bytes] = {}
    pixels: list[memoryview] = []
    before, is_whole = b"", True
    for chunk in chunks:
        if chunk.kind == b"fcTL":
            bounds.count_frame()
        if chunk.kind == b"IDAT" and (before == b"IDAT" or not pixels):
            pixels.append(chunk.content)
            is_whole = chunk.is_whole
        elif not pixels:
            _ensure_known(chunk)
            if chunk.kind == b"PLTE" and b"PLTE" in kept:
                # Decoders fail at a second palette.
                raise broken(MediaType.PNG)
            if chunk.is_right and chunk.kind in _KEPT:
                kept.setdefault(chunk.kind, bytes(chunk.content))
        before = chunk.kind
    if not pixels:
        raise broken(MediaType.PNG)
    packed = b"".join(pixels)
    _ensure_first_row(header, packed)
    parts = [SIGNATURE, _packed(b"IHDR", struct.pack(">IIBBBBB", *header))]
    parts += [_packed(kind, content) for kind, content in _needed(header, kept)]
    parts += [_packed(b"IDAT", packed), _packed(b"IEND", b"")]
    return Frame(
        media_type=MediaType.PNG,
        data=b"".join(parts),
        width=header.width,
        height=header.height,
        orientation=orientation_of(kept[b"eXIf"]) if b"eXIf" in kept else UPRIGHT,
        is_whole=is_whole,
    )


def orientation_in(head: bytes) -> int | None:
    """Return the orientation in the head of a PNG; None if `head` ends before the pixels without one."""
    for chunk in _chunks(head, Bounds()):
        if chunk.kind in {b"IDAT", b"IEND"}:
            return UPRIGHT
        if chunk.kind == b"eXIf" and chunk.is_right:
            return orientation_of(bytes(chunk.content))
    return None


def _chunks(data: bytes, bounds: Bounds) -> Iterator[_Chunk]:
    """Yield the chunks up to IEND or the end of the data; the last one may be truncated."""
    view, position = memoryview(data), len(SIGNATURE)
    while position + 8 <= len(data):
        bounds.count_chunk()
        (length,) = struct.unpack_from(">I", data, position)
        kind, start, end = data[position + 4 : position + 8], position + 8, position + 8 + length
        is_whole = end <= len(data)
        # The pixels have stronger checksums of their own.
        is_right = kind == b"IDAT" or (
            end + 4 <= len(data) and zlib.crc32(view[position + 4 : end]) == struct.unpack_from(">I", data, end)[0]
        )
        yield _Chunk(kind, view[start:end], is_whole, is_right)
        if kind == b"IEND":
            return
        position = end + 4


def _ensure_known(chunk: _Chunk) -> None:
    """Raise `UnreadablePictureError` for an invalid critical chunk before the pixels."""
    if chunk.kind[:1].isupper() and (chunk.kind != b"PLTE" or not chunk.is_right):
        raise broken(MediaType.PNG)


def _header(chunk: _Chunk | None) -> _Header:
    if (
        chunk is None
        or chunk.kind != b"IHDR"
        or not chunk.is_right
        or len(chunk.content) != struct.calcsize(">IIBBBBB")
    ):
        raise broken(MediaType.PNG)
    header = _Header(*struct.unpack(">IIBBBBB", chunk.content))
    ensure_size(header.width, header.height)
    if (
        header.depth not in _DEPTHS.get(header.colour, ())
        or header.compression
        or header.filter
        or header.interlace > 1
    ):
        raise broken(MediaType.PNG)
    return header


def _needed(header: _Header, kept: dict[bytes, bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the colour chunks: the profile, the palette and the transparency."""
    profile, palette, transparency = kept.get(b"iCCP"), kept.get(b"PLTE"), kept.get(b"tRNS")
    if profile is not None and _is_profile(profile):
        yield b"iCCP", profile
    if header.colour == _PALETTE:
        # Decoders ignore colours beyond the pixels' range, some also half a colour at the end.
        palette = palette and palette[: min(len(palette) // 3, 1 << header.depth) * 3]
        if not palette:
            raise broken(MediaType.PNG)
        yield b"PLTE", palette
        length_is_right = transparency is not None and 1 <= len(transparency) <= len(palette) // 3
    else:
        length_is_right = transparency is not None and len(transparency) == _TRANSPARENCIES.get(header.colour)
    if transparency is not None and length_is_right:
        yield b"tRNS", transparency


def _is_profile(content: bytes) -> bool:
    name, end, packed = content.partition(b"\0")
    if not end or not 1 <= len(name) <= 79 or packed[:1] != b"\0":  # noqa: PLR2004 -- the recommendation's
        return False
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(packed[1:], _PROFILE_MAX_SIZE)
    except zlib.error:
        return False
    return unpacker.eof


def _ensure_first_row(header: _Header, packed: bytes) -> None:
    """Raise `UnreadablePictureError` if not even the first row can be inflated: nothing would be shown."""
    width = -(-header.width // 8) if header.interlace else header.width
    row = 1 + -(-width * header.depth * _SAMPLES[header.colour] // 8)
    wanted, unpacker = min(row, _ROW_PART), zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(packed, wanted)
    except zlib.error as exc:
        raise broken(MediaType.PNG) from exc
    if len(unpacked) < wanted or unpacked[0] > _LAST_FILTER:
        raise broken(MediaType.PNG)


def _packed(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(content)), kind, content, struct.pack(">I", checksum)))
