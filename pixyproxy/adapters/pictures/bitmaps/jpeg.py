"""JPEG (ITU-T T.81) in the containers that browsers accept: JFIF, EXIF, MPO and others."""

import re
from typing import Final, NamedTuple

from pixyproxy.adapters.pictures.bitmaps.exif import PREFIX, UPRIGHT, orientation_of
from pixyproxy.adapters.pictures.bitmaps.frame import Bounds, Frame, ensure_size
from pixyproxy.adapters.pictures.picture import UnreadablePictureError, broken
from pixyproxy.domain.content import MediaType

SIGNATURE: Final = b"\xff\xd8\xff"
MAX_SCANS: Final = 100
MAX_SCANNED_PIXELS: Final = 1_280_000_000
"""The most pixels of all scans together: 20 scans of the largest picture. Encoders make about a dozen."""

_SOI, _EOI, _SOS, _DQT, _DNL, _DRI, _APP1 = 0xD8, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xE1
_NO_FRAMES: Final = frozenset({0xC4, 0xC8, 0xCC})
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - _NO_FRAMES
_NEEDED: Final = frozenset({*_FRAMES, *_NO_FRAMES, _SOI, _SOS, _DQT, _DNL, _DRI})
_WITHOUT_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD8)})
# Both patterns begin with one byte, so that `re`, which holds the GIL, searches 64 MiB in 0.03 s.
_MARKER: Final = re.compile(rb"\xff([\x01-\xfe])")
# Within a scan, restart markers belong to the data.
_END_OF_SCAN: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_ADOBE_SIZE: Final = 12
_FRAME_SIZE: Final = 6
_END: Final = b"\xff\xd9"


class _Segment(NamedTuple):
    marker: int
    start: int
    end: int
    content: bytes
    is_whole: bool


def first_frame(data: bytes, bounds: Bounds) -> Frame:
    """Return the first picture of a JPEG without camera data and anything after its end.

    Like browsers, it tolerates a file that is truncated within the pixels. Raises `UnreadablePictureError`.
    """
    parts: list[bytes] = [data[:2]]
    size: tuple[int, int] | None = None
    orientation: int | None = None
    position, scans, is_whole = 2, 0, False
    while (segment := _next(data, position, bounds)) is not None and segment.is_whole:
        if segment.marker == _EOI:
            is_whole = True
            break
        position = segment.end
        if segment.marker in _FRAMES:
            size = size or _size(segment.content)
        elif segment.marker == _APP1 and orientation is None and segment.content.startswith(PREFIX):
            orientation = orientation_of(segment.content.removeprefix(PREFIX))
        elif segment.marker == _SOS:
            if not scans and position == len(data):
                # There is not one pixel.
                break
            scans += 1
            _ensure_scans(scans, size)
            position = _end_of_scan(data, position)
        if _is_needed(segment):
            parts.append(data[segment.start : position])
    if size is None or not scans:
        raise broken(MediaType.JPEG)
    return Frame(
        media_type=MediaType.JPEG,
        data=b"".join([*parts, _END]),
        width=size[0],
        height=size[1],
        orientation=orientation or UPRIGHT,
        is_whole=is_whole,
    )


def _size(content: bytes) -> tuple[int, int]:
    """Return the width and the height in the header of a frame."""
    if len(content) < _FRAME_SIZE:
        raise broken(MediaType.JPEG)
    size = int.from_bytes(content[3:5]), int.from_bytes(content[1:3])
    ensure_size(*size)
    return size


def _ensure_scans(scans: int, size: tuple[int, int] | None) -> None:
    """Raise `UnreadablePictureError` for a scan without a frame, and for too many scans to decode in time."""
    if size is None:
        raise broken(MediaType.JPEG)
    if scans > MAX_SCANS or scans * size[0] * size[1] > MAX_SCANNED_PIXELS:
        raise UnreadablePictureError("The picture has too many scans.")


def _end_of_scan(data: bytes, start: int) -> int:
    found = _END_OF_SCAN.search(data, start)
    return found.start() if found else len(data)


def orientation_in(head: bytes) -> int | None:
    """Return the orientation in the head of a JPEG; None if `head` ends before the pixels without one."""
    position, bounds = 2, Bounds()
    while (segment := _next(head, position, bounds)) is not None and segment.is_whole:
        if segment.marker in {_SOS, _EOI}:
            return UPRIGHT
        if segment.marker == _APP1 and segment.content.startswith(PREFIX):
            return orientation_of(segment.content.removeprefix(PREFIX))
        position = segment.end
    return None


def _next(data: bytes, position: int, bounds: Bounds) -> _Segment | None:
    """Return the next segment, from its marker to its end; skip other bytes."""
    while (found := _MARKER.search(data, position)) is not None:
        bounds.count_chunk()
        marker, start = found[1][0], found.start()
        if marker == _EOI:
            return _Segment(marker, start, found.end(), b"", is_whole=True)
        if marker in _WITHOUT_LENGTH:
            position = found.end()
            continue
        length = int.from_bytes(data[found.end() : found.end() + 2])
        end = found.end() + length
        content = data[found.end() + 2 : end]
        return _Segment(marker, start, end, content, is_whole=length >= 2 and end <= len(data))  # noqa: PLR2004
    return None


def _is_needed(segment: _Segment) -> bool:
    match segment.marker:
        case 0xE0:
            return segment.content.startswith(b"JFIF\0")
        case 0xE2:
            return segment.content.startswith(b"ICC_PROFILE\0")
        case 0xEE:
            return segment.content.startswith(b"Adobe") and len(segment.content) >= _ADOBE_SIZE
        case marker:
            return marker in _NEEDED
