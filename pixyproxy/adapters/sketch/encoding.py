"""Pictures as files."""

import io
from collections.abc import Mapping
from typing import Any, Final

from PIL import Image

from pixyproxy.domain.content import MediaType

FORMATS: Final[Mapping[str, MediaType]] = {
    "png": MediaType.PNG,
    "jpeg": MediaType.JPEG,
    "webp": MediaType.WEBP,
}
"""The formats that sketches come in, by their names in a request."""

DEFAULT_FORMAT: Final = "png"

_DEFAULT_QUALITY: Final = 90


def encoded(picture: Image.Image, output_format: str, compression: int | None = None) -> bytes:
    """Return the picture as a file; `compression` is the quality of a JPEG or WebP, from 0 to 100."""
    options: dict[str, Any] = {"compress_level": 5}
    if output_format != DEFAULT_FORMAT:
        # To Pillow, 0 is not the worst quality of a JPEG but no choice.
        options = {"quality": _DEFAULT_QUALITY if compression is None else max(1, compression)}
    target = io.BytesIO()
    picture.save(target, output_format, **options)
    return target.getvalue()


def opaque(picture: Image.Image) -> Image.Image:
    """Return the picture on white, without transparency."""
    if picture.mode != "RGBA":
        return picture
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def blurred(picture: Image.Image, side: int) -> Image.Image:
    """Return the picture with no more detail than one whose shorter side has `side` pixels."""
    share = min(1.0, side / min(picture.size))
    coarse = picture.resize(
        (max(1, round(picture.width * share)), max(1, round(picture.height * share))), Image.Resampling.BOX
    )
    return coarse.resize(picture.size, Image.Resampling.BICUBIC)
