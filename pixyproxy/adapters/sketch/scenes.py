"""Scenes of sketches: functions from a canvas, a palette and a random source to a picture."""

import math
import random
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from PIL import Image

from pixyproxy.adapters.sketch.canvas import Canvas, Curve, Point, above, both, cover, dimmed, extremes
from pixyproxy.adapters.sketch.palette import Colour, Palette, mix

Scene = Callable[[Canvas, Palette, random.Random], Image.Image]

WHITE: Final[Colour] = (255, 255, 255)
SUNLIGHT: Final[Colour] = (255, 243, 208)


def hills(canvas: Canvas, palette: Palette, rng: random.Random) -> Image.Image:
    """Ranges of hills that fade into the mist, under a low sun."""
    picture = _sky(canvas, palette, rng)
    _sun(canvas, picture, palette, rng, y=rng.uniform(0.2, 0.42))
    _clouds(canvas, picture, palette, rng)
    _ranges(canvas, picture, palette, rng, first=rng.uniform(0.42, 0.52), count=rng.randint(5, 7))
    return picture


def forest(canvas: Canvas, palette: Palette, rng: random.Random) -> Image.Image:
    """Rows of conifers that fade into the mist."""
    picture = _sky(canvas, palette, rng)
    _sun(canvas, picture, palette, rng, y=rng.uniform(0.16, 0.34))
    _ranges(canvas, picture, palette, rng, first=0.36, count=2, last=0.2)
    rows = rng.randint(4, 5)
    for row in range(rows):
        place = (row + 1) / rows
        ground = canvas.wave(rng, 0.46 + 0.5 * place, 0.025, bends=rng.uniform(0.5, 1.2))
        trees = canvas.shapes(*_trees(canvas, rng, ground, height=0.09 + 0.2 * place, count=34 - 20 * place))
        _mist(canvas, picture, palette, 0.3 + 0.45 * place)
        for mask in (trees, canvas.below(ground)):
            cover(picture, palette.at(0.3 + 0.68 * place), mask)
    return picture


def sea(canvas: Canvas, palette: Palette, rng: random.Random) -> Image.Image:
    """A sun above the water, and its path on the waves."""
    picture = _sky(canvas, palette, rng)
    horizon = rng.uniform(0.5, 0.6)
    x = _sun(canvas, picture, palette, rng, y=horizon - rng.uniform(0.04, 0.2))
    _clouds(canvas, picture, palette, rng)
    if rng.choice((True, True, False)):
        coast = canvas.wave(rng, horizon - 0.03, rng.uniform(0.03, 0.07), bends=0.6)
        cover(picture, palette.at(0.5), canvas.below(coast))
    water = canvas.blend([[palette.middle], [palette.middle], [palette.deep], [palette.dark]])
    cover(picture, water, canvas.below(lambda _: horizon))
    ripples = above(canvas.noise(rng, 5, 70, 2), 150, 6)
    cover(picture, palette.soft, dimmed(both(ripples, canvas.below(lambda _: horizon)), 0.35))
    path = canvas.shapes(*_ripples(canvas, rng, x, horizon))
    cover(picture, mix(palette.sun, SUNLIGHT, 0.4), dimmed(path, 0.8))
    return picture


def night(canvas: Canvas, palette: Palette, rng: random.Random) -> Image.Image:
    """A moon, stars and northern lights above dark ridges."""
    picture = canvas.blend([[palette.dark], [mix(palette.dark, palette.deep, 0.7)], [palette.deep], [palette.middle]])
    stars = [
        (rng.random(), rng.random() ** 1.4 * 0.75, rng.choice((0.0008, 0.0011, 0.0011, 0.0019)))
        for _ in range(round(320 * canvas.columns * canvas.rows))
    ]
    cover(picture, palette.light, dimmed(canvas.discs(*stars), 0.9))
    for _ in range(rng.randint(2, 3)):
        band = canvas.wave(rng, rng.uniform(0.2, 0.42), 0.09, bends=0.7, roughness=0.3)
        light = canvas.between(lambda x, band=band: band(x) - 0.2, band)  # type: ignore[misc]
        light = canvas.shadow(light, down=0, softness=0.05, strength=0.32)
        cover(picture, mix(rng.choice((palette.soft, palette.accent)), palette.middle, 0.2), light)
    x, y, radius = rng.uniform(0.2, 0.8), rng.uniform(0.14, 0.32), rng.uniform(0.05, 0.09)
    cover(picture, palette.sun, canvas.glow(x, y, radius * 5, 0.5))
    cover(picture, mix(palette.sun, SUNLIGHT, 0.75), canvas.discs((x, y, radius)))
    for row in range(4):
        ridge = canvas.wave(rng, 0.66 + 0.1 * row, 0.05, bends=rng.uniform(0.7, 1.6), roughness=0.5)
        cover(picture, mix(palette.deep, palette.dark, 0.25 + 0.25 * row), canvas.below(ridge))
    return picture


def contours(canvas: Canvas, palette: Palette, rng: random.Random) -> Image.Image:
    """Sheets of paper, cut along lines of equal height and laid on each other."""
    heights = canvas.noise(rng, rng.randint(1, 3), rng.randint(1, 3), 3)
    low, high = extremes(heights)
    picture = canvas.plain(palette.at(0))
    sheets, is_rising = rng.randint(7, 10), rng.choice((True, False))
    for sheet in range(1, sheets):
        place = sheet / sheets
        mask = above(heights, low + (high - low) * place, 120)
        cover(picture, palette.dark, canvas.shadow(mask, strength=0.45))
        cover(picture, palette.at(place if is_rising else 1 - place), mask)
    return picture


def silk(canvas: Canvas, palette: Palette, rng: random.Random) -> Image.Image:
    """Ribbons that flow across the picture, one over the other."""
    picture = canvas.blend([[palette.light, palette.soft], [palette.soft, palette.middle]])
    ribbons, tilt = rng.randint(6, 9), rng.uniform(-0.35, 0.35)
    for ribbon in range(ribbons):
        place = ribbon / (ribbons - 1)
        flow = canvas.wave(rng, 0.12 + 0.85 * place, rng.uniform(0.05, 0.1), bends=rng.uniform(0.4, 0.8), roughness=0.2)
        upper = _tilted(flow, tilt)
        mask = canvas.below(upper)
        fill = palette.accent if ribbon == ribbons // 2 else palette.at(0.15 + 0.85 * place)
        cover(picture, palette.dark, canvas.shadow(mask, down=-0.012, softness=0.02, strength=0.4))
        cover(picture, canvas.blend([[mix(fill, WHITE, 0.28), fill], [fill, mix(fill, palette.dark, 0.3)]]), mask)
    return picture


def orbs(canvas: Canvas, palette: Palette, rng: random.Random) -> Image.Image:
    """Balls of light that float in front of each other."""
    picture = canvas.blend([[palette.light, palette.soft], [palette.soft, palette.middle]])
    cover(picture, palette.light, canvas.glow(rng.random(), rng.random(), 0.8, 0.8))
    # Each takes its time, however small it is.
    spread = min(canvas.columns * canvas.rows, 2.0)
    for number in range(round(rng.randint(8, 11) * spread)):
        radius = 0.24 * 0.86 ** (number / spread) * rng.uniform(0.8, 1.2)
        x, y = rng.uniform(0.05, 0.95), rng.uniform(0.05, 0.95)
        fill = palette.fills[number % len(palette.fills)]
        ball = canvas.discs((x, y, radius))
        cover(picture, palette.dark, canvas.shadow(ball, down=radius * 0.16, softness=radius * 0.18, strength=0.4))
        cover(picture, fill, ball)
        for tint, shift, strength in ((palette.dark, 0.5, 0.5), (WHITE, -0.45, 0.75)):
            light_x, light_y = x + shift * radius * canvas.across, y + shift * radius * canvas.down
            light = canvas.glow(light_x, light_y, radius * 1.3, strength)
            cover(picture, tint, both(light, ball))
    return picture


def mosaic(canvas: Canvas, palette: Palette, rng: random.Random) -> Image.Image:
    """A grid of quarter circles, leaves and discs."""
    colours = (palette.light, *palette.fills, palette.dark)
    picture = canvas.plain(palette.light)
    count = rng.choice((3, 4, 5, 6))
    columns, rows = round(count * canvas.columns), round(count * canvas.rows)
    grounds: dict[Colour, list[list[Point]]] = {colour: [] for colour in colours}
    figures: dict[Colour, list[list[Point]]] = {colour: [] for colour in colours}
    for cell in range(columns * rows):
        ground, figure = rng.sample(colours, 2)
        row, column = divmod(cell, columns)
        grounds[ground].append([((column + x) / columns, (row + y) / rows) for x, y in _SQUARE])
        quarters = rng.randrange(4)
        for outline in rng.choice(_TILES):
            turned = (_turned(point, quarters) for point in outline)
            figures[figure].append([((column + x) / columns, (row + y) / rows) for x, y in turned])
    for layer in (grounds, figures):
        for colour, outlines in layer.items():
            cover(picture, colour, canvas.shapes(*outlines))
    return picture


def _sky(canvas: Canvas, palette: Palette, rng: random.Random) -> Image.Image:
    high, low = rng.choice(
        ((palette.middle, palette.light), (palette.soft, palette.light), (palette.deep, palette.soft))
    )
    return canvas.blend([[high], [mix(high, low, 0.5)], [low], [mix(low, palette.sun, 0.35)]])


def _sun(canvas: Canvas, picture: Image.Image, palette: Palette, rng: random.Random, *, y: float) -> float:
    """Hang up a sun and return where it is, from left to right."""
    x, radius = rng.uniform(0.22, 0.78), rng.uniform(0.05, 0.1)
    cover(picture, mix(palette.sun, SUNLIGHT, 0.4), canvas.glow(x, y, radius * 6, 0.85))
    cover(picture, mix(palette.sun, SUNLIGHT, 0.75), canvas.discs((x, y, radius)))
    return x


def _clouds(canvas: Canvas, picture: Image.Image, palette: Palette, rng: random.Random) -> None:
    clouds = above(canvas.noise(rng, 2, 7, 4), rng.uniform(135, 160), 4)
    cover(picture, mix(palette.light, WHITE, 0.5), dimmed(both(clouds, canvas.fade(1, 0.8, 0, 0)), 0.5))


def _mist(canvas: Canvas, picture: Image.Image, palette: Palette, y: float) -> None:
    """Lay a bank of mist at the height `y`, so that what comes next stands out."""
    cover(picture, palette.light, canvas.fade(*(0.55 * max(0.0, 1 - abs(step / 11 - y) * 5) for step in range(12))))


def _ranges(
    canvas: Canvas,
    picture: Image.Image,
    palette: Palette,
    rng: random.Random,
    *,
    first: float,
    count: int,
    last: float = 1.0,
) -> None:
    """Put ranges of hills one before the other, from light to dark."""
    for index in range(count):
        place = (index + 1) / count
        height = first + (0.92 - first) * index / count
        rough = rng.uniform(0.38, 0.52)
        ridge = canvas.wave(rng, height, rng.uniform(0.03, 0.065), bends=rng.uniform(0.5, 1.3), roughness=rough)
        fill = palette.at(0.15 + 0.83 * place * last)
        hazy = mix(fill, palette.light, 0.55 * (1 - place**2 * last))
        clear = min(8, round(height * 9))
        cover(picture, canvas.blend([[fill]] * clear + [[hazy]] * (10 - clear)), canvas.below(ridge))


def _trees(canvas: Canvas, rng: random.Random, ground: Curve, *, height: float, count: float) -> Iterator[list[Point]]:
    """Yield the parts of conifers, `count` of them in the width of a square."""
    count = round(count * canvas.columns)
    for number in range(count):
        x = (number + rng.uniform(0, 1)) / count
        tall = height * rng.uniform(0.55, 1.15)
        foot = ground(x) + 0.02
        for part in range(4):
            top = foot - tall * (1 - 0.2 * part) * canvas.down
            bottom = foot - tall * (0.6 - 0.2 * part) * canvas.down
            half = tall * (0.09 + 0.045 * part) * canvas.across
            yield [(x, top), (x + half, bottom), (x - half, bottom)]


def _ripples(canvas: Canvas, rng: random.Random, x: float, horizon: float) -> Iterator[list[Point]]:
    y = horizon + 0.006
    while y < 1:
        depth = (y - horizon) / (1 - horizon)
        half, thick = rng.uniform(0.02, 0.06) + 0.13 * depth * rng.random(), 0.002 + 0.007 * depth
        middle = x + rng.uniform(-0.03, 0.03) * (1 + 2 * depth) * canvas.across
        yield [
            (middle + half * canvas.across * math.cos(a / 12 * math.tau), y + thick * math.sin(a / 12 * math.tau))
            for a in range(12)
        ]
        y += 0.008 + 0.03 * depth


def _tilted(curve: Curve, tilt: float) -> Curve:
    return lambda x: curve(x) + tilt * (x - 0.5)


def _arc(x: float, y: float, radius: float, start: float, end: float) -> list[Point]:
    """Return points on a circle; angles are in quarters of it."""
    angles = [math.pi / 2 * (start + (end - start) * step / 24) for step in range(25)]
    return [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]


def _turned(point: Point, quarters: int) -> Point:
    x, y = point
    for _ in range(quarters):
        x, y = 1 - y, x
    return x, y


_SQUARE: Final = ((0, 0), (1, 0), (1, 1), (0, 1))
_TILES: Final[tuple[tuple[list[Point], ...], ...]] = (
    ([(0, 0), *_arc(0, 0, 1, 0, 1)],),
    ([*_arc(0, 0, 1, 0, 1), *_arc(1, 1, 1, 2, 3)],),
    (_arc(0.5, 0, 0.5, 0, 2), _arc(0.5, 1, 0.5, 2, 4)),
    (_arc(0.5, 0.5, 0.32, 0, 4),),
    ([(0, 0), (1, 0), (0, 1)],),
    (_arc(0.5, 0, 0.5, 0, 2),),
    ([(0, 0), *_arc(0, 0, 0.75, 0, 1)], [(1, 1), *_arc(1, 1, 0.25, 2, 3)]),
)

SCENES: Final[Mapping[str, Scene]] = {
    scene.__name__: scene for scene in (hills, forest, sea, night, contours, silk, orbs, mosaic)
}

_WORDS: Final = {
    word: scene
    for scene, words in {
        hills: "hill hills mountain mountains landscape valley desert dunes canyon meadow field",
        forest: "forest wood woods tree trees pine jungle winter christmas",
        sea: "sea ocean beach lake river water island coast boat ship sail fish whale",
        night: "night midnight moon moonlight star stars space galaxy cosmos planet aurora owl",
    }.items()
    for word in words.split()
}


def choose_scene(prompt: str, rng: random.Random) -> Scene:
    """Return the scene that a word of the prompt names; without such a word, a random one."""
    named = [_WORDS[word] for word in re.findall(r"\w+", prompt.lower()) if word in _WORDS]
    return named[0] if named else rng.choice(list(SCENES.values()))
