"""The header `Content-Disposition` (RFC 6266)."""

import re
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import quote

from slugify import slugify

_PLAIN: Final = re.compile("[0-9A-Za-z_][0-9A-Za-z_.-]*")
# Besides letters and digits (RFC 8187, section 3.2.1).
_ATTR_CHAR: Final = "!#$&+-.^_`|~"


def content_disposition(filename: str, *, is_download: bool) -> str:
    """Return the header value with which a browser shows a picture, or saves it, under this name.

    A name with characters other than letters, digits, `_`, `.` and `-` is given twice: transliterated to ASCII, and as
    it is (RFC 8187).
    """
    kind = "attachment" if is_download else "inline"
    if _PLAIN.fullmatch(filename):
        return f'{kind}; filename="{filename}"'
    path = PurePosixPath(filename)
    stem = slugify(path.stem, lowercase=False, entities=False, decimal=False, hexadecimal=False) or "image"
    suffix = path.suffix if _PLAIN.fullmatch(path.suffix[1:]) else ""
    return f"{kind}; filename=\"{stem}{suffix}\"; filename*=UTF-8''{quote(filename, safe=_ATTR_CHAR)}"
