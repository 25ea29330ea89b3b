"""Pictures that cost as many bytes as photographs do, made without one.

Their brightness is noise of all wavelengths, each half as long as the one before and a little fainter, as it is in
landscapes. Thumbnails of photographs take 7.2 KB at 256 pixels (AVIF, quality 70) and 11.2 KB at 512 (quality 50);
those of these pictures take about as much.
"""

import io
import random
from functools import cache
from typing import Final

from PIL import Image as Picture

SIDE: Final = 1024

# How much fainter each shorter wavelength is; more of it means more bytes.
_FADING: Final = 0.65
_CONTRAST: Final = 3


@cache
def photograph(seed: int) -> bytes:
    """Return a JPEG of 1024x1024 pixels, the same for the same seed."""
    source = random.Random(seed)  # noqa: S311 -- the same each time
    brightness = _noise(source, wavelengths=9).point(lambda value: (value - 128) * _CONTRAST + 128)
    colours = [_noise(source, wavelengths=3) for _ in range(2)]
    buffer = io.BytesIO()
    Picture.merge("YCbCr", (brightness, *colours)).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _noise(source: random.Random, *, wavelengths: int) -> Picture.Image:
    total, weight, cells = 0.0, 1.0, 3
    picture = Picture.new("L", (SIDE, SIDE))
    for _ in range(wavelengths):
        cells = min(cells, SIDE)
        layer = Picture.frombytes("L", (cells, cells), source.randbytes(cells * cells))
        total += weight
        picture = Picture.blend(picture, layer.resize((SIDE, SIDE), Picture.Resampling.BICUBIC), weight / total)
        weight *= _FADING
        cells *= 2
    return picture
