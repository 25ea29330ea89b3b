"""Pictures as the adapters of this package describe them, and their limits."""

from typing import Final

import msgspec

from pixyproxy.domain.content import MediaType

MAX_PIXELS: Final = 64_000_000
"""The pixels of one picture; the largest of the OpenAI reference, 3840x2160, has 8.3 million."""


class UnreadablePictureError(ValueError):
    """The bytes are no picture that can be shown; the message is a sentence that says why."""


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture's media type, and its size in pixels as it is shown, turned as its EXIF data says."""

    media_type: MediaType
    width: int
    height: int


def broken(media_type: MediaType) -> UnreadablePictureError:
    """Make the error for a file of which nothing can be shown."""
    return UnreadablePictureError(f"The {media_type.name} picture is damaged or incomplete.")
