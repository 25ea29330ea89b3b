"""Orientation in EXIF data."""

import struct
from typing import Final

PREFIX: Final = b"Exif\0\0"
"""The first bytes of EXIF data in a JPEG."""

_ORDERS: Final = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION, _SHORT = 0x0112, 3
_MAX_ENTRIES: Final = 1_000

UPRIGHT: Final = 1


def orientation_of(tiff: bytes) -> int:
    """Return the orientation, 1 to 8, in EXIF data without its prefix; 1 for missing or damaged data.

    As in browsers, the tag must be one SHORT in the first directory (EXIF 3.0, 4.6.5.1).
    """
    order = _ORDERS.get(tiff[:4])
    if order is None:
        return UPRIGHT
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for number in range(min(count, _MAX_ENTRIES)):
            tag, kind, length, value = struct.unpack_from(f"{order}HHIHxx", tiff, start + 2 + 12 * number)
            if tag == _ORIENTATION:
                return value if kind == _SHORT and length == 1 and 1 <= value <= 8 else UPRIGHT  # noqa: PLR2004
    except struct.error:
        pass
    return UPRIGHT
