"""Inspection of pictures by their bytes alone."""

import re
from typing import Final, NamedTuple

from pixyproxy.adapters.pictures.bitmaps.frame import Bounds
from pixyproxy.adapters.pictures.decoding import decoded
from pixyproxy.adapters.pictures.formats import begins_as_bitmap, first_frame, is_markup
from pixyproxy.adapters.pictures.picture import Picture, UnreadablePictureError, broken
from pixyproxy.adapters.pictures.svg import MAX_BYTE_SIZE, inspect_svg
from pixyproxy.domain.reference import REFERENCE_MEDIA_TYPES


class Input(NamedTuple):
    """A picture that goes into a generation, and whether it has an alpha channel or a transparent colour."""

    picture: Picture
    has_alpha: bool


_WEB_PAGE: Final = re.compile(rb"[\xef\xbb\xbf \t\r\n]*+<(?:!doctype\s+)?html", re.IGNORECASE)


def inspect_picture(data: bytes) -> Picture:
    """Return the format and the shown size of a picture, whatever its label says.

    Slow: call it in a worker thread. Raises `UnreadablePictureError` for anything except a complete SVG and a bitmap of
    which browsers show something.
    """
    if not data:
        raise UnreadablePictureError("The picture is empty.")
    if not is_markup(data):
        return inspect_bitmap(data)
    if _WEB_PAGE.match(data, 0, MAX_BYTE_SIZE):
        raise UnreadablePictureError("The picture is a web page.")
    return inspect_svg(data)


def inspect_bitmap(data: bytes) -> Picture:
    """Return the format and the shown size of a bitmap.

    Decodes the first frame, and accepts the bitmap if browsers show at least a part of it. Slow: call it in a worker
    thread. Raises `UnreadablePictureError`.
    """
    frame = first_frame(data)
    with decoded(frame):
        pass
    width, height = frame.shown_size
    return Picture(media_type=frame.media_type, width=width, height=height)


def inspect_input(data: bytes) -> Input:
    """Return what is to be known of a picture that goes into a generation.

    Slow: call it in a worker thread. Raises `UnreadablePictureError` for anything except a PNG, JPEG or WebP that is
    not animated and can be decoded to its end.
    """
    bounds = Bounds()
    frame = first_frame(data, bounds) if begins_as_bitmap(data) else None
    if frame is None or frame.media_type not in REFERENCE_MEDIA_TYPES:
        kind = "The file" if frame is None else f"The {frame.media_type.name}"
        raise UnreadablePictureError(f"{kind} is none of PNG, JPEG and WebP.")
    if bounds.is_animated:
        raise UnreadablePictureError(f"The {frame.media_type.name} picture is animated.")
    if not frame.is_whole:
        raise broken(frame.media_type)
    with decoded(frame, is_whole=True) as image:
        has_alpha = image.has_transparency_data
    width, height = frame.shown_size
    return Input(Picture(media_type=frame.media_type, width=width, height=height), has_alpha)
