"""Inspection of SVGs by their bytes alone."""

import math
import re
from collections.abc import Mapping
from typing import Final
from xml.parsers import expat

from pixyproxy.adapters.pictures.markup import in_utf8
from pixyproxy.adapters.pictures.picture import MAX_PIXELS, Picture, UnreadablePictureError
from pixyproxy.domain.content import MediaType

MAX_BYTE_SIZE: Final = 16 << 20
MAX_DEPTH: Final = 1_000

_PIECE: Final = 1 << 20
# No document can contain this character, so names can't be confused.
_SEPARATOR: Final = "\f"
_ROOT: Final = f"http://www.w3.org/2000/svg{_SEPARATOR}svg"
_NUMBER: Final = r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:e[+-]?\d+)?"
_GAP: Final = r"(?:\s+,?\s*|,\s*)"
_LENGTH: Final = re.compile(f"({_NUMBER})([a-z]*)", re.ASCII | re.IGNORECASE)
_BOX: Final = re.compile(f"{_NUMBER}{_GAP}{_NUMBER}{_GAP}({_NUMBER}){_GAP}({_NUMBER})", re.ASCII | re.IGNORECASE)
_TEXT_MAX: Final = 500
_SIDE_MIN, _SIDE_MAX = 1e-9, 1e9
# CSS's sizes of units; font units as of the default font, whose letters are 16 pixels high.
_PIXELS: Final = {
    "": 1,
    "px": 1,
    "pt": 96 / 72,
    "pc": 16,
    "in": 96,
    "cm": 96 / 2.54,
    "mm": 96 / 25.4,
    "q": 96 / 101.6,
    "em": 16,
    "rem": 16,
    "ex": 8,
    "ch": 8,
}
# CSS's size of a picture without one.
_WIDTH, _HEIGHT = 300.0, 150.0


def inspect_svg(data: bytes) -> Picture:
    """Return the size of the SVG `data`; parse it to its end without drawing it.

    Does not judge scripts: serve the SVG sandboxed. Loads no references. Raises `UnreadablePictureError`
    for anything except a well-formed document of at most 16 MiB, nested at most 1,000 deep, whose root is `svg` in
    SVG's namespace. The document may declare entities without references, and attributes, as long as they can't expand
    it beyond 16 MiB.
    """
    if len(data) > MAX_BYTE_SIZE:
        raise UnreadablePictureError(f"The SVG picture has more than {MAX_BYTE_SIZE >> 20} MiB.")
    data = in_utf8(data)
    outline = _Outline(ampersands=data.count(b"&"), tags=data.count(b"<"))
    # Names are not interned: a document can have a million of them.
    parser = expat.ParserCreate("utf-8", namespace_separator=_SEPARATOR, intern=None)
    parser.EntityDeclHandler = outline.declare_entity
    parser.AttlistDeclHandler = outline.declare_attribute
    parser.SkippedEntityHandler = outline.skip_entity
    parser.StartElementHandler = outline.start
    parser.EndElementHandler = outline.end
    try:
        # The parser holds the GIL: release it between the pieces.
        for start in range(0, len(data), _PIECE):
            parser.Parse(data[start : start + _PIECE], False)
        parser.Parse(b"", True)
    except UnreadablePictureError:
        raise
    except (expat.ExpatError, ValueError) as exc:
        what = "The SVG picture is damaged or incomplete" if outline.is_svg else "The picture is markup, but no SVG"
        raise UnreadablePictureError(f"{what} ({exc}).") from exc
    width, height = _fitted(*outline.size)
    return Picture(media_type=MediaType.SVG, width=width, height=height)


class _Outline:
    """The parser's findings: whether the root is an SVG's, and its size in pixels."""

    def __init__(self, *, ampersands: int, tags: int) -> None:
        self.is_svg = False
        self.size = (_WIDTH, _HEIGHT)
        self._depth = 0
        self._ampersands, self._tags = ampersands, tags
        self._entity_size = self._attributes_size = 0

    def declare_entity(self, _name: str, is_parameter: int, value: str | None, *_: object) -> None:
        # Entities that refer to others can multiply a thousandfold.
        if is_parameter or value is None or "&" in value:
            raise UnreadablePictureError("The SVG picture declares entities that refer to something else.")
        self._entity_size = max(self._entity_size, len(value))
        self._ensure_size()

    def declare_attribute(self, _element: str, name: str, _type: str, default: str | None, _required: int) -> None:
        self._attributes_size += len(name) + len(default or "")
        self._ensure_size()

    def skip_entity(self, name: str, _is_parameter: int) -> None:
        # It may be declared in an external document, which browsers don't load either.
        raise UnreadablePictureError(f"The SVG picture is damaged or incomplete (undefined entity {name[:40]}).")

    def _ensure_size(self) -> None:
        # Assume that each ampersand is an entity, and that each tag gets all attributes.
        if self._ampersands * self._entity_size + self._tags * self._attributes_size > MAX_BYTE_SIZE:
            raise UnreadablePictureError(f"The SVG picture declares what may take more than {MAX_BYTE_SIZE >> 20} MiB.")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self.is_svg:
            if name != _ROOT:
                raise UnreadablePictureError("The picture is markup, but its root is no svg in SVG's namespace.")
            self.is_svg, self.size = True, _size(attributes)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise UnreadablePictureError(f"The SVG picture is nested more than {MAX_DEPTH:,} deep.")

    def end(self, _name: str) -> None:
        self._depth -= 1


def _size(attributes: Mapping[str, str]) -> tuple[float, float]:
    """Return the size in pixels: from the attributes, else from the view box, else CSS's."""
    width, height = _pixels(attributes.get("width", "")), _pixels(attributes.get("height", ""))
    if box := _box(attributes.get("viewBox", "")):
        if width is None and height is None:
            return box
        ratio = box[0] / box[1]
        width = height * ratio if width is None and height is not None else width
        height = width / ratio if height is None and width is not None else height
    return _WIDTH if width is None else width, _HEIGHT if height is None else height


def _pixels(text: str) -> float | None:
    """Return a length in pixels, at most a billion; None for a malformed or relative length."""
    found = _LENGTH.fullmatch(text.strip()) if len(text) <= _TEXT_MAX else None
    if found is None or (factor := _PIXELS.get(found[2].lower())) is None:
        return None
    pixels = float(found[1]) * factor
    return min(pixels, _SIDE_MAX) if pixels >= 0 else None


def _box(text: str) -> tuple[float, float] | None:
    """Return the width and the height of a view box, or None if it is malformed or empty."""
    found = _BOX.fullmatch(text.strip()) if len(text) <= _TEXT_MAX else None
    if found is None:
        return None
    width, height = (float(side) for side in found.groups())
    if width <= 0 or height <= 0:
        return None
    return min(max(width, _SIDE_MIN), _SIDE_MAX), min(max(height, _SIDE_MIN), _SIDE_MAX)


def _fitted(width: float, height: float) -> tuple[int, int]:
    """Return the size in whole pixels, at least one and within a bitmap's limit.

    The picture has no pixels: an excessive size is no reason to lose it.
    """
    if round(width) * round(height) > MAX_PIXELS:
        scale = math.sqrt(MAX_PIXELS / (width * height))
        width, height = math.floor(width * scale), math.floor(height * scale)
    whole_width, whole_height = (min(max(1, round(side)), MAX_PIXELS) for side in (width, height))
    return whole_width, min(whole_height, MAX_PIXELS // whole_width)
