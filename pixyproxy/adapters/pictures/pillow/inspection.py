"""What a picture is, judged by its bytes alone."""

import re
from typing import Final

from pixyproxy.adapters.pictures.pillow.bitmap import inspect_bitmap
from pixyproxy.adapters.pictures.pillow.picture import Picture, UnreadablePictureError
from pixyproxy.adapters.pictures.pillow.svg import MAX_BYTE_SIZE, inspect_svg

# Markup begins with `<`, behind a byte order mark and white space, in one byte or in two.
_MARKUP: Final = re.compile(rb"[\xef\xbb\xbf\xfe\xff\0 \t\r\n]*+<")
_WEB_PAGE: Final = re.compile(rb"[\xef\xbb\xbf \t\r\n]*+<(?:!doctype\s+)?html", re.IGNORECASE)


def inspect_picture(data: bytes) -> Picture:
    """Return what kind of picture `data` is, whatever anybody has labelled it.

    Its size is that of the picture as it is shown. It takes a while: call it in a worker thread. Raises
    `UnreadablePictureError` for anything but a bitmap of which browsers show something and a whole SVG.
    """
    if not data:
        raise UnreadablePictureError("The picture is empty.")
    # The interpreter's lock is kept while white space is passed over.
    if not _MARKUP.match(data, 0, MAX_BYTE_SIZE):
        return inspect_bitmap(data)
    if _WEB_PAGE.match(data, 0, MAX_BYTE_SIZE):
        raise UnreadablePictureError("The picture is a web page.")
    return inspect_svg(data)
