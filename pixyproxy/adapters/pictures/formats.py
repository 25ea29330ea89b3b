"""Picture formats, recognised by their first bytes."""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from pixyproxy.adapters.pictures.bitmaps import gif, jpeg, png, webp
from pixyproxy.adapters.pictures.bitmaps.frame import Bounds, Frame, is_turned
from pixyproxy.adapters.pictures.picture import UnreadablePictureError
from pixyproxy.domain.content import MediaType


class _Bitmap(NamedTuple):
    media_type: MediaType
    signature: bytes
    offset: int
    first_frame: Callable[[bytes, Bounds], Frame]
    orientation_in: Callable[[bytes], int | None]


_BITMAPS: Final = (
    _Bitmap(MediaType.PNG, png.SIGNATURE, 0, png.first_frame, png.orientation_in),
    _Bitmap(MediaType.JPEG, jpeg.SIGNATURE, 0, jpeg.first_frame, jpeg.orientation_in),
    _Bitmap(MediaType.WEBP, webp.SIGNATURE, webp.SIGNATURE_OFFSET, webp.first_frame, webp.orientation_in),
    *(_Bitmap(MediaType.GIF, signature, 0, gif.first_frame, gif.orientation_in) for signature in gif.SIGNATURES),
)
# Markup begins with `<`, after a byte order mark and white space, in one byte or in two.
_MARKUP: Final = re.compile(rb"[\xef\xbb\xbf\xfe\xff\0 \t\r\n]*+<")
# The search holds the GIL.
_MAX_SPACE: Final = 16 << 20

FIRST_BYTES: Final = (png.SIGNATURE, jpeg.SIGNATURE, webp.RIFF, *gif.SIGNATURES, b"<svg ", b"<?xml ")
"""The first bytes of most pictures of each format."""


def is_markup(data: bytes | bytearray) -> bool:
    """Whether the data is an SVG, if it is a picture at all."""
    return _MARKUP.match(data, 0, _MAX_SPACE) is not None


def begins_as_picture(data: bytes | bytearray) -> bool:
    """Whether the data begins like a picture; it may still be damaged, or markup other than SVG."""
    return is_markup(data) or begins_as_bitmap(data)


def begins_as_bitmap(data: bytes | bytearray) -> bool:
    """Whether the data begins like a PNG, JPEG, WebP or GIF."""
    return _bitmap(data) is not None


def first_frame(data: bytes, bounds: Bounds | None = None) -> Frame:
    """Return the first frame of a PNG, JPEG, WebP or GIF without decoding a pixel.

    The inspector and the variant makers decode this frame, so that they agree on what a picture is. Raises
    `UnreadablePictureError` for data of which browsers show nothing, for a frame of more than 64 million pixels, and
    for more than 10,000 frames or 300,000 chunks.
    """
    bitmap = _bitmap(data)
    if bitmap is None:
        raise UnreadablePictureError("The picture is none of PNG, JPEG, WebP, GIF and SVG.")
    return bitmap.first_frame(data, bounds or Bounds())


def is_turned_on_its_side(head: bytes) -> bool | None:
    """Whether EXIF data rotates the picture that begins with `head` by 90°; None if `head` is too short to tell."""
    bitmap = _bitmap(head)
    if bitmap is None:
        return False
    orientation = bitmap.orientation_in(head)
    return None if orientation is None else is_turned(orientation)


def bitmap_type_of(head: bytes) -> MediaType | None:
    """Return the media type of the bitmap that begins with `head`; None for anything else."""
    bitmap = _bitmap(head)
    return None if bitmap is None else bitmap.media_type


def _bitmap(data: bytes | bytearray) -> _Bitmap | None:
    return next((bitmap for bitmap in _BITMAPS if data.startswith(bitmap.signature, bitmap.offset)), None)
