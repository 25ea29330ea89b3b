"""Which format a bitmap has, and its first frame."""

from collections.abc import Callable
from typing import Final

from pixyproxy.adapters.pictures.bitmaps import gif, jpeg, png, webp
from pixyproxy.adapters.pictures.bitmaps.frame import Bounds, Frame, UnreadablePictureError, is_turned

_FORMATS: Final[tuple[tuple[bytes, int, Callable[[bytes, Bounds], Frame]], ...]] = (
    (png.SIGNATURE, 0, png.first_frame),
    (jpeg.SIGNATURE, 0, jpeg.first_frame),
    (webp.SIGNATURE, webp.SIGNATURE_OFFSET, webp.first_frame),
    (gif.SIGNATURES[0], 0, gif.first_frame),
    (gif.SIGNATURES[1], 0, gif.first_frame),
)
_ORIENTATIONS: Final[tuple[tuple[bytes, int, Callable[[bytes], int | None]], ...]] = (
    (png.SIGNATURE, 0, png.orientation_in),
    (jpeg.SIGNATURE, 0, jpeg.orientation_in),
    (webp.SIGNATURE, webp.SIGNATURE_OFFSET, webp.orientation_in),
)


def first_frame(data: bytes) -> Frame:
    """Return the first frame of a PNG, JPEG, WebP or GIF, none of whose pixels is decoded.

    The inspector and the makers of variants decode what this returns, so that one judge says what a picture is. Raises
    `UnreadablePictureError` for anything of which browsers show nothing, for a frame of more than 64 million pixels,
    and for more than 10,000 frames or 300,000 chunks.
    """
    for signature, offset, read in _FORMATS:
        if data.startswith(signature, offset):
            return read(data, Bounds())
    raise UnreadablePictureError("The picture is none of PNG, JPEG, WebP, GIF and SVG.")


def is_turned_on_its_side(head: bytes) -> bool | None:
    """Whether the EXIF data of the picture that begins with `head` turns it on its side.

    None if it takes more to tell.
    """
    for signature, offset, orientation_in in _ORIENTATIONS:
        if head.startswith(signature, offset):
            orientation = orientation_in(head)
            return None if orientation is None else is_turned(orientation)
    return False
