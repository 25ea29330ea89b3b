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
from pixyproxy.domain.generation_request import SIZE_AUTO, TRANSPARENT, GenerationRequest, parse_size

EDGE: Final = 1024
"""The sides of a sketch in pixels unless a size is asked for."""

MAX_PIXELS: Final = 4_000_000
"""The most pixels of a sketch."""

LOW: Final = "low"
"""The quality without grain."""

_RIM: Final = 0.012


def random_for(prompt: str) -> random.Random:
    """Return the random source of a prompt, the same each time."""
    return random.Random(hashlib.sha256(prompt.encode()).digest())  # noqa: S311 -- it has to be predictable


def canvas_for(request: GenerationRequest, first: tuple[int, int] | None = None) -> Canvas:
    """Return the canvas of a request: as large as it asks for, or else as the first reference, or else a square.

    Has at most 4 million pixels.
    """
    width, height = parse_size(request.size or SIZE_AUTO) or first or (EDGE, EDGE)
    scale = min(1.0, math.sqrt(MAX_PIXELS / (width * height)))
    return Canvas(max(1, int(width * scale)), max(1, int(height * scale)))


def draw(request: GenerationRequest, canvas: Canvas) -> Image.Image:
    """Return the sketch of a prompt, the same at any time on any machine.

    Slow: call it in a worker thread.
    """
    rng = random_for(request.prompt)
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
