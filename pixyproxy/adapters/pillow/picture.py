"""What is found out about a picture."""

from typing import Final

import msgspec

from pixyproxy.domain.image import MediaType

MAX_PIXELS: Final = 64_000_000
"""The pixels of all frames together; the largest picture of the OpenAI reference, 3840x2160, has 8.3 million."""


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture's media type and its size in pixels."""

    media_type: MediaType
    width: int
    height: int


class UnreadablePictureError(ValueError):
    """The bytes are no picture that can be shown; the message is a sentence that says why."""
