"""Edits: references laid as prints on the sketch of the prompt."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from PIL import Image, ImageChops, ImageOps

from pixyproxy.adapters.sketch.canvas import Canvas, cover
from pixyproxy.adapters.sketch.drawing import draw, random_for
from pixyproxy.adapters.sketch.encoding import opaque
from pixyproxy.adapters.sketch.palette import Palette, choose_palette
from pixyproxy.adapters.sketch.scenes import WHITE
from pixyproxy.domain.generation_request import GenerationRequest

_PRINT_SHARE: Final = 0.78
"""How much of its cell a print takes, so that there is room to turn it."""

_BORDER: Final = 0.03
_MAX_ANGLE: Final = 5.0
_TINT: Final = 0.25

Box = tuple[int, int, int, int]


class Place(NamedTuple):
    """Where a print lies: its centre, and the size of the reference on it, in pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What a mask keeps: the first reference, the alpha channel of the mask, and the box around all that may change.

    Both pictures have the size of the edit.
    """

    first: Image.Image
    alpha: Image.Image
    region: Box

    @classmethod
    def by(cls, mask: Image.Image, first: Image.Image) -> Self:
        """Return what the mask keeps of the first reference."""
        alpha = mask.convert("RGBA").getchannel("A")
        return cls(first, alpha, ImageChops.invert(alpha).getbbox() or (0, 0, *alpha.size))

    def redrawn(self, picture: Image.Image) -> Image.Image:
        """Return the first reference with `picture` where the mask is transparent; other pixels are untouched."""
        redrawn = Image.composite(self.first.convert("RGBA"), picture.convert("RGBA"), self.alpha)
        return redrawn if redrawn.getchannel("A").getextrema() != (255, 255) else redrawn.convert("RGB")


def places_in(region: Box, sizes: Sequence[tuple[int, int]]) -> Sequence[Place]:
    """Return the places of references of these sizes, in rows that fill the region."""
    left, top, right, bottom = region
    count = len(sizes)
    columns = max(1, min(count, round(math.sqrt(count * (right - left) / (bottom - top)))))
    rows = max(1, math.ceil(count / columns))
    tall = (bottom - top) / rows
    places = []
    for number, (width, height) in enumerate(sizes):
        row, column = divmod(number, columns)
        wide = (right - left) / min(columns, count - row * columns)
        scale = _PRINT_SHARE * min(wide / width, tall / height)
        place = round(left + wide * (column + 0.5)), round(top + tall * (row + 0.5))
        places.append(Place(*place, max(1, round(width * scale)), max(1, round(height * scale))))
    return places


def compose(
    request: GenerationRequest,
    canvas: Canvas,
    references: Sequence[Image.Image],
    places: Sequence[Place],
    kept: Kept | None,
) -> Image.Image:
    """Return the edit: the prompt's sketch with prints of the references, as far as there is nothing to be kept.

    The references have the sizes of their places. Slow: call it in a worker thread.
    """
    picture = draw(request, canvas)
    if references:
        _lay(picture, request.prompt, references, places)
    return picture if kept is None else kept.redrawn(picture)


def _print_of(reference: Image.Image, palette: Palette) -> Image.Image:
    """Return the reference with a tint of the palette and a white border, in RGBA."""
    photo = opaque(reference)
    tint = ImageOps.colorize(photo.convert("L"), palette.dark, palette.light, palette.middle)
    photo = Image.blend(photo, tint, _TINT)
    border = max(1, round(_BORDER * min(photo.size)))
    framed = ImageOps.expand(photo, border, WHITE).convert("RGBA")
    # A clear edge makes the outline smooth when the print is turned.
    return ImageOps.expand(framed, 2, (*WHITE, 0))


def _lay(picture: Image.Image, prompt: str, references: Sequence[Image.Image], places: Sequence[Place]) -> None:
    """Lay prints of the references onto the picture, in their order, each turned a little."""
    rng = random_for(prompt)
    palette = choose_palette(prompt, rng)
    shapes = Image.new("L", picture.size)
    prints: list[tuple[Image.Image, tuple[int, int]]] = []
    for reference, place in zip(references, places, strict=True):
        angle = rng.uniform(-_MAX_ANGLE, _MAX_ANGLE)
        turned = _print_of(reference, palette).rotate(angle, Image.Resampling.BICUBIC, expand=True)
        corner = place.x - turned.width // 2, place.y - turned.height // 2
        shapes.paste(255, corner, turned.getchannel("A"))
        prints.append((turned, corner))
    cover(picture, palette.dark, Canvas(*picture.size).shadow(shapes, strength=0.5))
    for turned, corner in prints:
        picture.paste(turned.convert("RGB"), corner, turned.getchannel("A"))
