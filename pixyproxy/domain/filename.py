"""File names under which pictures are downloaded: readable in any script, and safe on any disk and in any header."""

import re
from typing import Final

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.text import ensure_encodable

ASCII_MAX_LENGTH: Final = 255
# A disk's 255 bytes are enough for so many characters of three bytes each.
OTHER_MAX_LENGTH: Final = 80

# What has a meaning on a disk or in a shell, ends a line, is invisible or turns the reading direction. Joiners are
# allowed inside: emoji and Persian need them.
_UNSAFE: Final = (
    r'\x00-\x1f"*/:<>?\\|\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff'
)
_FIRST: Final = rf"[^{_UNSAFE}\s.\u200c\u200d-]"
_MIDDLE: Final = rf"[^{_UNSAFE}]"
_LAST: Final = rf"[^{_UNSAFE}\s\u200c\u200d]"
_ASCII_FIRST: Final = r"[!#-)+,0-9;=@-\[\]-{}~]"
_ASCII_MIDDLE: Final = r"[ !#-)+-.0-9;=@-\[\]-{}~]"
_ASCII_LAST: Final = r"[!#-)+-.0-9;=@-\[\]-{}~]"
# It says the same to Python and to ECMAScript.
FILENAME_PATTERN: Final = (
    f"^(?:{_ASCII_FIRST}(?:{_ASCII_MIDDLE}{{0,253}}{_ASCII_LAST})?|{_FIRST}(?:{_MIDDLE}{{0,78}}{_LAST})?)$"
)
_FILENAME: Final = re.compile(FILENAME_PATTERN)

_SUFFIX: Final = re.compile(
    r"\.(?:apng|avif|bmp|gif|heic|heif|jfif|jpe|jpeg|jpg|png|svg|svgz|tif|tiff|webp)", re.IGNORECASE
)
_ALSO: Final = {".jpg": frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})}


def ensure_filename(text: str) -> None:
    """Raise `DataValidationError` for a file name that could be more than a name on a disk or in a header."""
    ensure_encodable("filename", text)
    if not _FILENAME.fullmatch(text):
        raise DataValidationError(
            "filename",
            f"must be 1 to {ASCII_MAX_LENGTH} ASCII characters, or {OTHER_MAX_LENGTH} of any script, without"
            ' `" * / : < > ? \\ |`, control or invisible characters, and not begin with `.`, `-` or white space, or end'
            " with that",
        )


def with_extension(filename: str, extension: str) -> str:
    """Return the file name with this extension instead of that of another picture format, if it has one.

    What does not fit is cut off before it.
    """
    stem, dot, last = filename.rpartition(".")
    suffix = f".{last.lower()}" if dot and stem else ""
    if suffix in _ALSO.get(extension, {extension}):
        return filename
    kept = stem if suffix and _SUFFIX.fullmatch(suffix) else filename
    limit = ASCII_MAX_LENGTH if kept.isascii() else OTHER_MAX_LENGTH
    return kept[: limit - len(extension)] + extension
