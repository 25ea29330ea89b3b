"""What a bitmap is, judged by its bytes alone."""

import io
from collections.abc import Iterator
from typing import Final

from PIL import GifImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin
from PIL.ImageFile import ImageFile

from pixyproxy.adapters.pillow.picture import MAX_PIXELS, Picture, UnreadablePictureError
from pixyproxy.domain.image import MediaType

# The plugin classes are called by themselves: `Image.open` would also try every other format that some import has
# registered, and would answer a large picture with a warning instead of an error.
_FORMATS: Final = (
    (b"\x89PNG\r\n\x1a\n", 0, MediaType.PNG, PngImagePlugin.PngImageFile),
    (b"\xff\xd8\xff", 0, MediaType.JPEG, JpegImagePlugin.JpegImageFile),
    (b"WEBP", 8, MediaType.WEBP, WebPImagePlugin.WebPImageFile),
    (b"GIF87a", 0, MediaType.GIF, GifImagePlugin.GifImageFile),
    (b"GIF89a", 0, MediaType.GIF, GifImagePlugin.GifImageFile),
)

# Pillow is content with a file that lacks these last bytes.
_ENDS: Final = {
    MediaType.PNG: b"\x00\x00\x00\x00IEND\xaeB`\x82",
    MediaType.JPEG: b"\xff\xd9",
    MediaType.GIF: b"\x3b",
}


def inspect_bitmap(data: bytes) -> Picture:
    """Return what kind of bitmap `data` is, whatever anybody has labelled it.

    Every frame is decoded to its end, which takes a while: call it in a worker thread. Raises `UnreadablePictureError`
    for anything but a whole PNG, JPEG, WebP or GIF of at most 64 million pixels.
    """
    media_type, plugin = _recognise(data)
    try:
        with plugin(io.BytesIO(data)) as image:
            for _ in _frames(image):
                image.load()
            width, height = image.size
    except (UnreadablePictureError, MemoryError):
        raise
    except Exception as exc:
        # Damaged files raise a dozen unrelated kinds of errors, out of Pillow and out of the modules it uses.
        raise UnreadablePictureError(f"The {media_type.name} picture is damaged or incomplete.") from exc
    if not data[-64:].rstrip(b"\0\r\n").endswith(_ENDS.get(media_type, b"")):
        raise UnreadablePictureError(f"The {media_type.name} picture breaks off before its end.")
    return Picture(media_type=media_type, width=width, height=height)


def _recognise(data: bytes) -> tuple[MediaType, type[ImageFile]]:
    for magic, offset, media_type, plugin in _FORMATS:
        if data.startswith(magic, offset):
            return media_type, plugin
    raise UnreadablePictureError("The picture is none of PNG, JPEG, WebP, GIF and SVG.")


def _frames(image: ImageFile) -> Iterator[int]:
    """Turn `image` to one frame after the other; raise `UnreadablePictureError` when they are too many pixels."""
    number = 0
    while True:
        number += 1
        if image.width * image.height * number > MAX_PIXELS:
            raise UnreadablePictureError(f"The picture has more than {MAX_PIXELS:,} pixels.")
        yield number
        try:
            image.seek(number)
        except EOFError:
            return
