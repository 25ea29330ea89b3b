"""What is found out about a picture."""

import msgspec

from pixyproxy.adapters.pictures.bitmaps.frame import MAX_PIXELS, UnreadablePictureError
from pixyproxy.domain.content import MediaType

__all__ = ["MAX_PIXELS", "Picture", "UnreadablePictureError"]


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture's media type and its size in pixels as it is shown, after it was turned as its EXIF data says."""

    media_type: MediaType
    width: int
    height: int
