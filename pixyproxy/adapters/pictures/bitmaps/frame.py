"""First frames of bitmaps."""

from typing import Final

import msgspec

from pixyproxy.adapters.pictures.bitmaps.exif import UPRIGHT
from pixyproxy.adapters.pictures.picture import MAX_PIXELS, UnreadablePictureError
from pixyproxy.domain.content import MediaType

MAX_FRAMES: Final = 10_000
MAX_CHUNKS: Final = 300_000
"""The most chunks, segments or blocks of a file; a GIF of 64 MiB has 263,172 blocks of the usual size."""

_FIRST_TURNED: Final = 5


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """The first frame of a bitmap as a small file of the same format, reduced to what decoders need.

    `data` has no EXIF data, no texts and no further frames, and correct checksums; it keeps a colour profile. `width`
    and `height` are those of the stored pixels, `orientation` (1 to 8, EXIF's) says how they are shown. `is_whole` is
    false if the file is truncated within the frame, so that only a part of it can be drawn.
    """

    media_type: MediaType
    data: bytes
    width: int
    height: int
    orientation: int = UPRIGHT
    is_whole: bool = True

    @property
    def is_turned(self) -> bool:
        """Whether width and height are swapped when the picture is shown."""
        return is_turned(self.orientation)

    @property
    def shown_size(self) -> tuple[int, int]:
        """The width and the height of the picture as shown."""
        return (self.height, self.width) if self.is_turned else (self.width, self.height)


def is_turned(orientation: int) -> bool:
    """Whether this orientation swaps width and height."""
    return orientation >= _FIRST_TURNED


def ensure_size(width: int, height: int) -> None:
    """Raise `UnreadablePictureError` for a frame without pixels or with more than 64 million."""
    if not width or not height:
        raise UnreadablePictureError("The picture has no pixels.")
    if width * height > MAX_PIXELS:
        raise UnreadablePictureError(f"The picture has more than {MAX_PIXELS:,} pixels.")


class Bounds:
    """Counts the chunks and the frames of one file; raises `UnreadablePictureError` for too many."""

    def __init__(self) -> None:
        self._chunks = self._frames = 0

    @property
    def is_animated(self) -> bool:
        """Whether a file that is no GIF has the frames of an animation."""
        return self._frames > 0

    def count_chunk(self) -> None:
        """Count one more chunk, segment or block."""
        self._chunks += 1
        if self._chunks > MAX_CHUNKS:
            raise UnreadablePictureError(f"The picture has more than {MAX_CHUNKS:,} chunks.")

    def count_frame(self) -> None:
        """Count one more frame."""
        self._frames += 1
        if self._frames > MAX_FRAMES:
            raise UnreadablePictureError(f"The picture has more than {MAX_FRAMES:,} frames.")
