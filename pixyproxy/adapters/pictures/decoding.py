"""Bitmaps decoded by Pillow."""

import io
import time
from typing import Final

from PIL import GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin
from PIL.ImageFile import ImageFile

from pixyproxy.adapters.pictures.bitmaps.frame import Frame
from pixyproxy.adapters.pictures.picture import UnreadablePictureError, broken
from pixyproxy.domain.content import MediaType

SECONDS: Final = 30.0
"""The time limit of decoding one frame. Pixels and scans are bounded, so this is for busy machines."""

# Call the plugin classes directly: `Image.open` would also try every other registered format, and would answer a large
# picture with a warning instead of an error.
_PLUGINS: Final[dict[MediaType, type[ImageFile]]] = {
    MediaType.PNG: PngImagePlugin.PngImageFile,
    MediaType.JPEG: JpegImagePlugin.JpegImageFile,
    MediaType.WEBP: WebPImagePlugin.WebPImageFile,
    MediaType.GIF: GifImagePlugin.GifImageFile,
}
# Browsers show what was decoded of these before an error.
_SHOWN_IN_PART: Final = frozenset({MediaType.PNG, MediaType.GIF})

_TRANSPOSITIONS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def drawn(frame: Frame, *, seconds: float = SECONDS) -> Image.Image:
    """Return the frame upright, in RGB or RGBA with 8 bits each; raise `UnreadablePictureError`."""
    with decoded(frame, seconds=seconds) as image:
        if image.mode.startswith("I"):
            # Pillow cuts 16 bits off at 255 instead of scaling them.
            upright: Image.Image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
            upright = upright.convert("RGB")
        else:
            upright = image.convert("RGBA" if image.has_transparency_data else "RGB")
    turn = _TRANSPOSITIONS.get(frame.orientation)
    return upright if turn is None else upright.transpose(turn)


def decoded(frame: Frame, *, seconds: float = SECONDS, is_whole: bool = False) -> ImageFile:
    """Return the frame, decoded as far as possible; raise `UnreadablePictureError` if nothing can be shown.

    With `is_whole`, raise it also if the frame can't be decoded to its end.
    """
    try:
        image = _PLUGINS[frame.media_type](_File(frame.data, time.monotonic() + seconds))
        try:
            image.load()
        except OSError:
            if is_whole or frame.media_type not in _SHOWN_IN_PART:
                raise
            # Keep the pixels from before the damage.
            image.tile = []
            image.load()
    except (UnreadablePictureError, MemoryError):
        raise
    except Exception as exc:
        # Damaged files raise a dozen unrelated kinds of errors, from Pillow and the modules it uses.
        raise broken(frame.media_type) from exc
    if image.size != (frame.width, frame.height):
        raise broken(frame.media_type)
    return image


class _File(io.BytesIO):
    """A file in memory that is readable until a deadline."""

    def __init__(self, data: bytes, deadline: float) -> None:
        super().__init__(data)
        self._deadline = deadline

    def read(self, size: int | None = -1, /) -> bytes:
        if time.monotonic() > self._deadline:
            raise UnreadablePictureError("The picture takes too long to be decoded.")
        return super().read(size)
