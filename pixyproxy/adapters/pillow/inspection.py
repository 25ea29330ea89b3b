"""What a picture is, judged by its bytes alone."""

import re

from pixyproxy.adapters.pillow.bitmap import inspect_bitmap
from pixyproxy.adapters.pillow.picture import Picture, UnreadablePictureError
from pixyproxy.adapters.pillow.svg import inspect_svg


def inspect_picture(data: bytes) -> Picture:
    """Return what kind of picture `data` is, whatever anybody has labelled it.

    Its size is that of the picture as it is shown. It takes a while: call it in a worker thread. Raises
    `UnreadablePictureError` for anything but a bitmap of which browsers show something and a whole SVG.
    """
    if not data:
        raise UnreadablePictureError("The picture is empty.")
    # Markup begins with `<`, behind a byte order mark and white space, in one byte or in two.
    if not re.match(rb"[\xef\xbb\xbf\xfe\xff\0 \t\r\n]*<", data):
        return inspect_bitmap(data)
    if re.match(rb"[\xef\xbb\xbf \t\r\n]*<(?:!doctype\s+)?html", data, re.IGNORECASE):
        raise UnreadablePictureError("The picture is a web page.")
    return inspect_svg(data)
