"""The colours of a sketch."""

import colorsys
import random
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

Colour = tuple[int, int, int]


_WARM: Final[Colour] = (224, 188, 132)


class Palette(NamedTuple):
    """Colours that go together: `light` to `dark`, as a landscape fades into the distance, and an `accent`."""

    light: Colour
    soft: Colour
    middle: Colour
    deep: Colour
    dark: Colour
    accent: Colour

    def at(self, place: float) -> Colour:
        """Return the colour at `place` between light (0) and dark (1)."""
        steps = (self.light, self.soft, self.middle, self.deep, self.dark)
        position = min(max(place, 0.0), 1.0) * (len(steps) - 1)
        index = min(int(position), len(steps) - 2)
        return mix(steps[index], steps[index + 1], position - index)

    @property
    def sun(self) -> Colour:
        """The colour of a sun or a moon: the accent, if it is warm enough."""
        return self.accent if self.accent[0] >= _WARM[0] else _WARM

    @property
    def fills(self) -> Sequence[Colour]:
        """The colours that large shapes may have."""
        return (self.soft, self.middle, self.deep, self.accent)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Return the colour between `one` (share 0) and `other` (share 1)."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def choose_palette(prompt: str, rng: random.Random) -> Palette:
    """Return the palette of the first colour word in the prompt; without one, any, with its hues turned a little."""
    named = [_WORDS[word] for word in re.findall(r"\w+", prompt.lower()) if word in _WORDS]
    if not named:
        return _turned(rng.choice(list(_PALETTES.values())), rng.uniform(-0.05, 0.05))
    first = _PALETTES[named[0]]
    others = [_PALETTES[name] for name in named if name != named[0]]
    return first._replace(accent=others[0].accent) if others else first


def _turned(palette: Palette, angle: float) -> Palette:
    return Palette(*(_turned_colour(colour, angle) for colour in palette))


def _turned_colour(colour: Colour, angle: float) -> Colour:
    hue, lightness, saturation = colorsys.rgb_to_hls(*(part / 255 for part in colour))
    red, green, blue = colorsys.hls_to_rgb((hue + angle) % 1.0, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def _palette(text: str) -> Palette:
    """Read six colours in hex, from light to dark and the accent."""
    return Palette(*((int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)) for code in text.split()))


_PALETTES: Final = {
    "sunset": _palette("ffe3b3 ffb27a f0726a 8f3f71 2b1b3d ffd166"),
    "ocean": _palette("e6f6f4 9fd8dc 3f9fb5 1b5e82 0b2545 ffb562"),
    "forest": _palette("eef3e2 bcd4b0 6f9f7c 2f6650 12332c f2b84b"),
    "night": _palette("8fa3d9 5566a8 34407f 1c2454 0a0e29 ffe9a8"),
    "desert": _palette("fbe9cf f2c38b d98c5f a6543f 4a2330 3f8f8b"),
    "winter": _palette("fbfdff d5e5f0 9dbdd6 5b83a8 24405f f08a6b"),
    "blossom": _palette("fff3f0 fccfd3 f095ab b3567f 4d2545 7fb69b"),
    "autumn": _palette("fdf0d5 f6c66f e0863a a8452c 45201f 6b8f4e"),
    "lavender": _palette("f5f0fb d4c5ec a08bd0 66519b 2c2150 ffc46b"),
    "red": _palette("ffe9dc f9ab8f e2503f a3202f 3d0f1c ffc857"),
    "orange": _palette("fff1d8 ffc778 f98f2d c4551a 4a1c14 2b8c8c"),
    "yellow": _palette("fffbe0 ffe680 f7c325 c98a10 4f3408 e4572e"),
    "green": _palette("f2f9e6 c1e3a3 74bb6b 2f7f52 0f3b2e ff9f5a"),
    "teal": _palette("e8f8f3 a1e0d0 43b3a5 177a7c 0a3640 ff8a66"),
    "blue": _palette("eaf2ff a9cbfb 4f8ef0 2350b8 0c1d4f ffcf5c"),
    "purple": _palette("f7eaff d9b3f5 a366dd 642f9e 270f45 ffb84d"),
    "pink": _palette("fff0f6 ffc2dc fb7fb3 c43c7f 4c1538 5cc8c2"),
    "brown": _palette("f7ede2 dfc2a2 b58863 76503a 2e1d17 d9a441"),
    "grey": _palette("f6f5f3 d0cfcd 9b9ba0 5b5d66 22242b e8735a"),
}

_WORDS: Final = {
    word: name
    for name, words in {
        "sunset": "sunset dusk evening sunrise dawn",
        "ocean": "ocean sea beach wave waves lake river water underwater fish island coast",
        "forest": "forest woods jungle tree trees pine moss fern",
        "night": "night midnight moon moonlight star stars starry space galaxy cosmos black dark",
        "desert": "desert dune dunes sand canyon clay sahara",
        "winter": "winter snow snowy ice frost white arctic glacier",
        "blossom": "blossom spring cherry sakura flower flowers",
        "autumn": "autumn fall october pumpkin maple",
        "lavender": "lavender lilac mist dream",
        "red": "red crimson scarlet ruby fire lava",
        "orange": "orange amber fox tiger copper",
        "yellow": "yellow gold golden sun sunny honey lemon",
        "green": "green emerald lime grass meadow leaf frog",
        "teal": "teal turquoise cyan mint aqua",
        "blue": "blue azure navy sky sapphire",
        "purple": "purple violet indigo magenta",
        "pink": "pink rose coral flamingo",
        "brown": "brown coffee chocolate wood bear",
        "grey": "grey gray silver stone concrete",
    }.items()
    for word in words.split()
}
