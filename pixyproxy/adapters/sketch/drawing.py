"""Sketches of prompts."""

import hashlib
import math
import random
from collections.abc import Iterator
from typing import Final

from PIL import Image

from pixyproxy.adapters.sketch.canvas import Canvas, Point, grained
from pixyproxy.adapters.sketch.palette import choose_palette
from pixyproxy.adapters.sketch.scenes import WHITE, choose_scene
from pixyproxy.domain.generation_request import TRANSPARENT, GenerationRequest, parse_size

EDGE: Final = 1024
"""The sides of a sketch in pixels unless a size is asked for."""

LOW: Final = "low"
"""The quality without grain."""

_RIM: Final = 0.012


def draw(request: GenerationRequest) -> Image.Image:
    """Return the sketch of a request without references, the same at any time on any machine.

    Slow: call it in a worker thread.
    """
    canvas = Canvas(*(parse_size(request.size or "auto") or (EDGE, EDGE)))
    rng = random.Random(hashlib.sha256(request.prompt.encode()).digest())  # noqa: S311 -- it has to be predictable
    palette = choose_palette(request.prompt, rng)
    picture = choose_scene(request.prompt, rng)(canvas, palette, rng)
    if request.quality != LOW:
        picture = grained(picture, rng)
    return _sticker(canvas, picture, rng) if request.background == TRANSPARENT else picture


def _sticker(canvas: Canvas, picture: Image.Image, rng: random.Random) -> Image.Image:
    """Cut a round shape with a white rim out of the picture; the rest is transparent."""
    wobble = [(turns, rng.uniform(0, math.tau)) for turns in (2, 3, 5)]
    sticker = Image.new("RGBA", canvas.size, (*WHITE, 0))
    sticker.paste(WHITE, (0, 0, *canvas.size), canvas.shapes(_outline(canvas, wobble, 0.0)))
    sticker.paste(picture, (0, 0), canvas.shapes(_outline(canvas, wobble, _RIM)))
    return sticker


def _outline(canvas: Canvas, wobble: list[tuple[int, float]], inset: float) -> Iterator[Point]:
    """Yield the points of a soft shape that nearly fills the picture, less an inset."""
    for step in range(360):
        angle = math.tau * step / 360
        reach = 0.97 - sum(0.012 * (1 + math.sin(turns * angle + phase)) for turns, phase in wobble)
        x, y = (math.copysign(abs(side) ** 0.6, side) for side in (math.cos(angle), math.sin(angle)))
        yield 0.5 + x * (reach / 2 - inset * canvas.across), 0.5 + y * (reach / 2 - inset * canvas.down)
