"""Shapes, textures and light.

All are Pillow operations on whole pictures, which release the GIL. Places are fractions of the picture's width and
height, from the upper left corner; radii and other lengths are fractions of its shorter side.
"""

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageMath

from pixyproxy.adapters.sketch.palette import Colour

# Shapes are drawn this many times larger and made smaller again, which smooths their outlines.
_FINENESS: Final = 2
# Shadows are blurred at this part of their size: blurring costs by the pixel, and a coarse shadow looks the same.
_SHADOW_PART: Final = 4

_MAX_SPREAD: Final = 16.0
# One call holds the GIL; as the generator makes 4 bytes at a time, parts of this size are the same as a whole.
_RANDOM_PART: Final = 1 << 20

Point = tuple[float, float]
Curve = Callable[[float], float]
Mask = Image.Image


@dataclass(frozen=True, slots=True)
class Canvas:
    """The size of a picture in pixels, and what can be made in this size."""

    width: int
    height: int

    @property
    def size(self) -> tuple[int, int]:
        """The width and the height."""
        return self.width, self.height

    @property
    def unit(self) -> int:
        """The shorter side in pixels."""
        return min(self.size)

    @property
    def across(self) -> float:
        """The shorter side as a fraction of the width: turns a length into a distance from left to right."""
        return self.unit / self.width

    @property
    def down(self) -> float:
        """The shorter side as a fraction of the height: turns a length into a distance downwards."""
        return self.unit / self.height

    @property
    def columns(self) -> float:
        """How many squares of the shorter side fit side by side; at most 16."""
        return min(self.width / self.unit, _MAX_SPREAD)

    @property
    def rows(self) -> float:
        """How many squares of the shorter side fit below each other; at most 16."""
        return min(self.height / self.unit, _MAX_SPREAD)

    def plain(self, colour: Colour) -> Image.Image:
        """Return a picture of one colour."""
        return Image.new("RGB", self.size, colour)

    def blend(self, rows: Sequence[Sequence[Colour]]) -> Image.Image:
        """Return a picture in which the colours of a grid flow into each other."""
        grid = Image.new("RGB", (len(rows[0]), len(rows)))
        grid.putdata([colour for row in rows for colour in row])
        return grid.resize(self.size, Image.Resampling.BICUBIC)

    def fade(self, *strengths: float) -> Mask:
        """Return a mask that goes from one strength (0 to 1) to the next, downwards."""
        column = Image.new("L", (1, len(strengths)))
        column.putdata([round(255 * strength) for strength in strengths])
        return column.resize(self.size, Image.Resampling.BILINEAR)

    def shapes(self, *outlines: Iterable[Point]) -> Mask:
        """Return the mask of polygons."""
        mask, draw = self._drawing()
        for outline in outlines:
            draw.polygon(self._scaled(outline), fill=255)
        return mask.reduce(_FINENESS)

    def discs(self, *discs: tuple[float, float, float]) -> Mask:
        """Return the mask of discs, each given by its centre and its radius."""
        mask, draw = self._drawing()
        for x, y, radius in discs:
            half, tall = radius * self.across, radius * self.down
            draw.ellipse(self._scaled([(x - half, y - tall), (x + half, y + tall)]), fill=255)
        return mask.reduce(_FINENESS)

    def below(self, curve: Curve) -> Mask:
        """Return the mask of what lies below a curve."""
        return self.between(curve, lambda _: 1.1)

    def between(self, upper: Curve, lower: Curve) -> Mask:
        """Return the mask of what lies between two curves."""
        steps = max(64, self.width // 4)
        places = [place / steps for place in range(-4, steps + 6)]
        return self.shapes([*((x, upper(x)) for x in places), *((x, lower(x)) for x in reversed(places))])

    def glow(self, x: float, y: float, radius: float, strength: float = 1.0) -> Mask:
        """Return the mask of a light that fades away from its centre."""
        # Pillow's gradient rises from 0 in the centre to 181 in the middle of each side.
        strengths = [round(255 * strength * max(0.0, 1 - value / 181) ** 2) for value in range(256)]
        light = Image.radial_gradient("L").point(strengths)
        edge = max(1, round(2 * radius * self.unit))
        mask = Image.new("L", self.size)
        corner = round((x - radius * self.across) * self.width), round((y - radius * self.down) * self.height)
        mask.paste(light.resize((edge, edge), Image.Resampling.BICUBIC), corner)
        return mask

    def wave(
        self, rng: random.Random, height: float, swing: float, *, bends: float = 1.0, roughness: float = 0.45
    ) -> Curve:
        """Return a curve around a height that swings like a range of hills, with more detail as it gets rougher."""
        parts = [
            (
                swing * self.down * roughness**octave,
                bends * self.columns * 2.03**octave * rng.uniform(0.8, 1.25),
                rng.uniform(0, math.tau),
            )
            for octave in range(6)
        ]
        return lambda x: height + sum(size * math.sin(math.tau * turns * x + phase) for size, turns, phase in parts)

    def noise(self, rng: random.Random, columns: int, rows: int, octaves: int = 3) -> Image.Image:
        """Return soft random heights, from 0 to 255 as floating point numbers.

        `columns` and `rows` give their fineness in a square of the shorter side.
        """
        columns, rows = round(columns * self.columns), round(rows * self.rows)
        total = Image.new("F", self.size)
        for octave in range(octaves):
            size = (columns * 2**octave + 2, rows * 2**octave + 2)
            layer = Image.frombytes("L", size, rng.randbytes(size[0] * size[1])).convert("F")
            layer = layer.resize(self.size, Image.Resampling.BICUBIC).point(_scaled_by(0.5**octave))
            total = ImageMath.lambda_eval(lambda images: images["total"] + images["layer"], total=total, layer=layer)
        return total.point(_scaled_by(1 / (2 - 0.5 ** (octaves - 1))))

    def shadow(self, mask: Mask, *, down: float = 0.008, softness: float = 0.012, strength: float = 0.35) -> Mask:
        """Return the mask of a shape's shadow."""
        small = dimmed(mask.reduce(_SHADOW_PART), strength)
        small = small.filter(ImageFilter.GaussianBlur(softness * self.unit / _SHADOW_PART))
        thrown = Image.new("L", self.size)
        thrown.paste(small.resize(self.size, Image.Resampling.BILINEAR), (0, round(down * self.unit)))
        return thrown

    def _drawing(self) -> tuple[Mask, ImageDraw.ImageDraw]:
        mask = Image.new("L", (_FINENESS * self.width, _FINENESS * self.height))
        return mask, ImageDraw.Draw(mask)

    def _scaled(self, points: Iterable[Point]) -> list[Point]:
        return [(x * self.width * _FINENESS, y * self.height * _FINENESS) for x, y in points]


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


def cover(picture: Image.Image, fill: Image.Image | Colour, mask: Mask) -> None:
    """Lay a colour or a picture over another as far as the mask lets it."""
    picture.paste(fill, (0, 0, *picture.size), mask)


def grained(picture: Image.Image, rng: random.Random, depth: int = 2) -> Image.Image:
    """Return the picture with the grain of paper, which also hides the steps of its gradients."""
    grain = Image.frombytes("L", picture.size, b"".join(_random_parts(rng, picture.width * picture.height)))
    grain = grain.point([value * (2 * depth + 1) // 256 for value in range(256)])
    return ImageChops.add(picture, Image.merge("RGB", (grain, grain, grain)), offset=-depth)


def _random_parts(rng: random.Random, size: int) -> Iterator[bytes]:
    for start in range(0, size, _RANDOM_PART):
        yield rng.randbytes(min(_RANDOM_PART, size - start))


def _scaled_by(factor: float) -> Callable[[float], float]:
    return lambda value: value * factor
