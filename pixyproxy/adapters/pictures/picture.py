"""Pictures, and the limits on them."""

from typing import Final

import msgspec

from pixyproxy.domain.content import MediaType

MAX_PIXELS: Final = 64_000_000
"""The most pixels of a picture; the largest in the OpenAI reference, 3840x2160, has 8.3 million."""


class UnreadablePictureError(ValueError):
    """The bytes are no picture that can be shown; the message is a sentence with the reason."""


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture's media type, and its size in pixels as shown, rotated by its EXIF data."""

    media_type: MediaType
    width: int
    height: int


def broken(media_type: MediaType) -> UnreadablePictureError:
    """Make the error for a file without anything to show."""
    return UnreadablePictureError(f"The {media_type.name} picture is damaged or incomplete.")
