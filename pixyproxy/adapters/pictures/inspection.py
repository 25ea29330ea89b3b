"""Inspection of pictures by their bytes alone."""

import re
from typing import Final

from pixyproxy.adapters.pictures.decoding import decoded
from pixyproxy.adapters.pictures.formats import first_frame, is_markup
from pixyproxy.adapters.pictures.picture import Picture, UnreadablePictureError
from pixyproxy.adapters.pictures.svg import MAX_BYTE_SIZE, inspect_svg

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
