"""Content: media types, descriptions, keys in the content store, and file names."""

import re
from enum import StrEnum
from typing import Final, NewType
from uuid import UUID

import msgspec
from slugify import slugify

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.text import ensure_encodable

SLUG_MAX_LENGTH = 80

CONTENT_MAX_SIZE: Final = 64 << 20
"""The most bytes of a content that is inspected, imported or made variants of."""

_SHA256: Final = re.compile("[0-9a-f]{64}")

ContentKey = NewType("ContentKey", str)


class MediaType(StrEnum):
    """The media types of content.

    All are bitmaps except SVG, which is stored unchanged, scripts included: serve it sandboxed.
    """

    PNG = "image/png"
    JPEG = "image/jpeg"
    WEBP = "image/webp"
    GIF = "image/gif"
    SVG = "image/svg+xml"

    @property
    def extension(self) -> str:
        """The customary file name extension, with its dot."""
        return ".jpg" if self is MediaType.JPEG else f".{self.name.lower()}"


def filename_for(prompt: str, guid: UUID, media_type: MediaType | None = None) -> str:
    """Make a readable ASCII file name, well below 255 bytes, that is unique and safe whatever the prompt is."""
    words = slugify(
        prompt[: 4 * SLUG_MAX_LENGTH],
        max_length=SLUG_MAX_LENGTH,
        word_boundary=True,
        save_order=True,
        entities=False,
        decimal=False,
        hexadecimal=False,
    )
    return f"{words or 'image'}-{guid}{media_type.extension if media_type else ''}"


class ContentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A description of an image's content: media type, bytes, SHA-256 in hex, and size in pixels as shown."""

    media_type: MediaType
    byte_size: int
    sha256: str
    width: int
    height: int

    def ensure_valid(self) -> None:
        """Raise `DataValidationError` for a field that breaks a rule."""
        if min(self.byte_size, self.width, self.height) < 1:
            raise DataValidationError("content", "must not be empty")
        if not _SHA256.fullmatch(self.sha256):
            raise DataValidationError("sha256", "must be 64 hexadecimal digits in lower case")


def content_key_of(guid: UUID) -> ContentKey:
    """Return the key of an image's content, stored or not."""
    return ContentKey(str(guid))


def partial_key_of(guid: UUID, position: int) -> ContentKey:
    """Return the key of an image's partial image, stored or not, in the area of partial images."""
    return ContentKey(f"{guid}-{position}")


def image_of_partial(key: ContentKey) -> UUID | None:
    """Return the guid of the image that a key of `partial_key_of` belongs to; None for any other key."""
    guid, _, position = key.rpartition("-")
    try:
        return UUID(guid) if position.isdecimal() else None
    except ValueError:
        return None


ASCII_MAX_LENGTH: Final = 255

# A disk's 255 bytes hold 80 characters of three bytes each.
OTHER_MAX_LENGTH: Final = 80

# Excludes characters that mean something on a disk or in a shell, line ends, invisible characters and bidirectional
# controls. Joiners are allowed inside: emoji and Persian need them.
_UNSAFE: Final = (
    r'\x00-\x1f"*/:<>?\\|\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff'
)

_FIRST: Final = rf"[^{_UNSAFE}\s.\u200c\u200d-]"

_MIDDLE: Final = rf"[^{_UNSAFE}]"

_LAST: Final = rf"[^{_UNSAFE}\s\u200c\u200d]"

_ASCII_FIRST: Final = r"[!#-)+,0-9;=@-\[\]-{}~]"

_ASCII_MIDDLE: Final = r"[ !#-)+-.0-9;=@-\[\]-{}~]"

_ASCII_LAST: Final = r"[!#-)+-.0-9;=@-\[\]-{}~]"

# Python and ECMAScript read it alike.
FILENAME_PATTERN: Final = (
    f"^(?:{_ASCII_FIRST}(?:{_ASCII_MIDDLE}{{0,253}}{_ASCII_LAST})?|{_FIRST}(?:{_MIDDLE}{{0,78}}{_LAST})?)$"
)

_FILENAME: Final = re.compile(FILENAME_PATTERN)

_SUFFIX: Final = re.compile(
    r"\.(?:apng|avif|bmp|gif|heic|heif|jfif|jpe|jpeg|jpg|png|svg|svgz|tif|tiff|webp)", re.IGNORECASE
)

_ALSO: Final = {".jpg": frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})}


def ensure_filename(text: str) -> None:
    """Raise `DataValidationError` for a file name that means more than a name on a disk or in a header."""
    ensure_encodable("filename", text)
    if not _FILENAME.fullmatch(text):
        raise DataValidationError(
            "filename",
            f"must be 1 to {ASCII_MAX_LENGTH} ASCII characters, or {OTHER_MAX_LENGTH} of any script, without"
            ' `" * / : < > ? \\ |`, control or invisible characters, and not begin with `.`, `-` or white space, or end'
            " with that",
        )


def with_extension(filename: str, extension: str) -> str:
    """Return the file name with this extension, in place of that of another picture format.

    Truncates the name before the extension if it gets too long.
    """
    stem, dot, last = filename.rpartition(".")
    suffix = f".{last.lower()}" if dot and stem else ""
    if suffix in _ALSO.get(extension, {extension}):
        return filename
    kept = stem if suffix and _SUFFIX.fullmatch(suffix) else filename
    limit = ASCII_MAX_LENGTH if kept.isascii() else OTHER_MAX_LENGTH
    return kept[: limit - len(extension)] + extension
