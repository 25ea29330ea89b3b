"""Markup, converted to UTF-8."""

import codecs
import re
from typing import Final

from pixyproxy.adapters.pictures.picture import UnreadablePictureError

# The declaration of a document in an ASCII-compatible encoding.
_DECLARATION: Final = re.compile(rb"(?:\xef\xbb\xbf)?<\?xml\s+version\s*=[^<>]{0,200}\?>", re.DOTALL)
_NAME: Final = re.compile(rb"""encoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']""")
_PIECE: Final = 1 << 20

# Labels of the Encoding Standard (https://encoding.spec.whatwg.org/#names-and-labels) and Python's codecs for them.
# Includes the labels that browsers read as UTF-8, because the document can be nothing else.
_CODECS: Final = {
    **dict.fromkeys(("utf-8", "utf8", "utf_8", "utf-16", "utf-16le", "utf-16be", "unicode-1-1-utf-8"), "utf-8"),
    **dict.fromkeys(("ascii", "us-ascii", "latin1", "iso-8859-1", "iso8859-1", "windows-1252", "cp1252"), "cp1252"),
    **{f"iso-8859-{part}": f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)},
    **{f"windows-{page}": f"cp{page}" for page in (874, 1250, 1251, 1253, 1254, 1255, 1256, 1257, 1258)},
    "iso-8859-9": "cp1254",
    "koi8-r": "koi8-r",
    "koi8-u": "koi8-u",
    "macintosh": "mac-roman",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "euc-jp": "euc-jp",
    "euc-kr": "cp949",
    "big5": "big5hkscs",
    **dict.fromkeys(("gbk", "gb2312", "gb18030"), "gb18030"),
}


def in_utf8(data: bytes) -> bytes:
    """Return a document in UTF-8 without its declaration.

    Raises `UnreadablePictureError` for bytes that are not in the declared encoding.
    """
    if data[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE} or 0 in data[:2]:
        is_little = data[:2] == codecs.BOM_UTF16_LE or data[1:2] == b"\0"
        data = _recoded(data, "utf-16-le" if is_little else "utf-16-be")
        declaration = _DECLARATION.match(data)
        return data[declaration.end() :] if declaration else data
    declaration = _DECLARATION.match(data)
    if declaration is None:
        return data
    name = _NAME.search(declaration[0])
    # Browsers read pictures of an unknown encoding as UTF-8.
    codec = _CODECS.get(name[1].decode().lower(), "utf-8") if name else "utf-8"
    rest = data[declaration.end() :]
    return rest if codec == "utf-8" or data.startswith(codecs.BOM_UTF8) else _recoded(rest, codec)


def _recoded(data: bytes, codec: str) -> bytes:
    try:
        # The codecs hold the GIL: release it between the pieces.
        pieces = (data[start : start + _PIECE] for start in range(0, len(data), _PIECE))
        return b"".join(text.encode() for text in codecs.iterdecode(pieces, codec))
    except UnicodeError as exc:
        raise UnreadablePictureError("The SVG picture is not in the encoding that it names.") from exc
