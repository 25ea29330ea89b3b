"""Shapes, textures and light.

All are Pillow operations on whole pictures, which release the GIL. Measures are fractions of the picture's edge, from
the upper left corner.
"""

import io
import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageMath

from pixyproxy.adapters.sketch.palette import Colour

EDGE: Final = 1024

# Shapes are drawn this many times larger and made smaller again, which smooths their outlines.
_FINENESS: Final = 2

Point = tuple[float, float]
Curve = Callable[[float], float]
Mask = Image.Image


def blend(rows: Sequence[Sequence[Colour]]) -> Image.Image:
    """Return a picture in which the colours of a grid flow into each other."""
    grid = Image.new("RGB", (len(rows[0]), len(rows)))
    grid.putdata([colour for row in rows for colour in row])
    return grid.resize((EDGE, EDGE), Image.Resampling.BICUBIC)


def fade(*strengths: float) -> Mask:
    """Return a mask that goes from one strength (0 to 1) to the next, downwards."""
    column = Image.new("L", (1, len(strengths)))
    column.putdata([round(255 * strength) for strength in strengths])
    return column.resize((EDGE, EDGE), Image.Resampling.BILINEAR)


def shapes(*outlines: Iterable[Point]) -> Mask:
    """Return the mask of polygons."""
    mask, draw = _drawing()
    for outline in outlines:
        draw.polygon(_scaled(outline), fill=255)
    return mask.reduce(_FINENESS)


def discs(*discs: tuple[float, float, float]) -> Mask:
    """Return the mask of discs, each given by its centre and its radius."""
    mask, draw = _drawing()
    for x, y, radius in discs:
        draw.ellipse(_scaled([(x - radius, y - radius), (x + radius, y + radius)]), fill=255)
    return mask.reduce(_FINENESS)


def below(curve: Curve) -> Mask:
    """Return the mask of what lies below a curve."""
    return between(curve, lambda _: 1.1)


def between(upper: Curve, lower: Curve) -> Mask:
    """Return the mask of what lies between two curves."""
    places = [place / 256 for place in range(-4, 262)]
    return shapes([*((x, upper(x)) for x in places), *((x, lower(x)) for x in reversed(places))])


def glow(x: float, y: float, radius: float, strength: float = 1.0) -> Mask:
    """Return the mask of a light that fades away from its centre."""
    # Pillow's gradient rises from 0 in the centre to 181 in the middle of each side.
    strengths = [round(255 * strength * max(0.0, 1 - value / 181) ** 2) for value in range(256)]
    light = Image.radial_gradient("L").point(strengths)
    edge = round(2 * radius * EDGE)
    mask = Image.new("L", (EDGE, EDGE))
    mask.paste(light.resize((edge, edge), Image.Resampling.BICUBIC), _pixels(x - radius, y - radius))
    return mask


def wave(rng: random.Random, height: float, swing: float, *, bends: float = 1.0, roughness: float = 0.45) -> Curve:
    """Return a curve around a height that swings like a range of hills, with more detail as it gets rougher."""
    parts = [
        (swing * roughness**octave, bends * 2.03**octave * rng.uniform(0.8, 1.25), rng.uniform(0, math.tau))
        for octave in range(6)
    ]
    return lambda x: height + sum(size * math.sin(math.tau * turns * x + phase) for size, turns, phase in parts)


def noise(rng: random.Random, columns: int, rows: int, octaves: int = 3) -> Image.Image:
    """Return soft random heights, from 0 to 255 as floating point numbers; `columns` and `rows` give their fineness."""
    total = Image.new("F", (EDGE, EDGE))
    for octave in range(octaves):
        size = (columns * 2**octave + 2, rows * 2**octave + 2)
        layer = Image.frombytes("L", size, rng.randbytes(size[0] * size[1])).convert("F")
        layer = layer.resize((EDGE, EDGE), Image.Resampling.BICUBIC).point(_scaled_by(0.5**octave))
        total = ImageMath.lambda_eval(lambda images: images["total"] + images["layer"], total=total, layer=layer)
    return total.point(_scaled_by(1 / (2 - 0.5 ** (octaves - 1))))


def extremes(heights: Image.Image) -> tuple[float, float]:
    """Return the lowest and the highest of `heights`."""
    low, high = heights.getextrema()
    if isinstance(low, tuple) or isinstance(high, tuple):
        raise TypeError("heights have one number for each pixel")
    return low, high


def above(heights: Image.Image, level: float, steepness: float = 20.0) -> Mask:
    """Return the mask of where `heights` are above a level, with an edge that is sharper the steeper it is."""
    return heights.point(lambda height: height * steepness + (128 - level * steepness)).convert("L")


def dimmed(mask: Mask, strength: float) -> Mask:
    """Return a mask that covers less."""
    return mask.point([round(strength * value) for value in range(256)])


def both(one: Mask, other: Mask) -> Mask:
    """Return the mask of what two masks have in common."""
    return ImageChops.multiply(one, other)


def shadow(mask: Mask, *, down: float = 0.008, softness: float = 0.012, strength: float = 0.35) -> Mask:
    """Return the mask of a shape's shadow."""
    # Blurring costs by the pixel, and a coarse shadow looks the same.
    small = dimmed(mask.reduce(4), strength).filter(ImageFilter.GaussianBlur(softness * EDGE / 4))
    thrown = Image.new("L", (EDGE, EDGE))
    thrown.paste(small.resize((EDGE, EDGE), Image.Resampling.BILINEAR), _pixels(0, down))
    return thrown


def cover(picture: Image.Image, fill: Image.Image | Colour, mask: Mask) -> None:
    """Lay a colour or a picture over another as far as the mask lets it."""
    picture.paste(fill, (0, 0, EDGE, EDGE), mask)


def grained(picture: Image.Image, rng: random.Random, depth: int = 2) -> Image.Image:
    """Return the picture with the grain of paper, which also hides the steps of its gradients."""
    grain = Image.frombytes("L", (EDGE, EDGE), rng.randbytes(EDGE * EDGE))
    grain = grain.point([value * (2 * depth + 1) // 256 for value in range(256)])
    return ImageChops.add(picture, Image.merge("RGB", (grain, grain, grain)), offset=-depth)


def encoded(picture: Image.Image) -> bytes:
    """Return the picture as a PNG."""
    target = io.BytesIO()
    picture.save(target, "PNG", compress_level=5)
    return target.getvalue()


def _scaled_by(factor: float) -> Callable[[float], float]:
    return lambda value: value * factor


def _drawing() -> tuple[Mask, ImageDraw.ImageDraw]:
    mask = Image.new("L", (_FINENESS * EDGE, _FINENESS * EDGE))
    return mask, ImageDraw.Draw(mask)


def _pixels(x: float, y: float) -> tuple[int, int]:
    return round(x * EDGE), round(y * EDGE)


def _scaled(points: Iterable[Point]) -> list[Point]:
    return [(x * EDGE * _FINENESS, y * EDGE * _FINENESS) for x, y in points]
