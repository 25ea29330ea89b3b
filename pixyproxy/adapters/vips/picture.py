"""Pictures, out of one format and into another, by libvips."""

import logging
import re
from collections.abc import Callable
from typing import Any, Final

import pyvips

from pixyproxy.adapters.vips.errors import translated_errors
from pixyproxy.domain.errors import DamagedContentError
from pixyproxy.domain.variant import Variant, VariantFormat

MAX_PIXELS: Final = 64_000_000

# libvips' settings are those of the whole process. A cache would hold on to pictures that nobody asks for again, and
# with one thread a picture, as many cores are at work as pictures are being made.
pyvips.cache_set_max(0)
pyvips.concurrency_set(1)
# It logs at info level what its threads do.
logging.getLogger("pyvips").setLevel(logging.WARNING)

# The loader is chosen here and not by libvips, which would try some two dozen, most of them hardened less.
_BITMAPS: Final = (
    (b"\x89PNG\r\n\x1a\n", 0, "pngload_buffer"),
    (b"\xff\xd8\xff", 0, "jpegload_buffer"),
    (b"WEBP", 8, "webpload_buffer"),
    (b"GIF87a", 0, "gifload_buffer"),
    (b"GIF89a", 0, "gifload_buffer"),
)
_MARKUP: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?[ \t\r\n]*<|(?:\xff\xfe)?(?:[ \t\r\n]\0)*<\0|(?:\xfe\xff)?(?:\0[ \t\r\n])*\0<"
)

# A JPEG can be loaded at 1/8, 1/4 or 1/2 of its size, and a WebP at any. That saves time and memory, and is coarse: so
# twice of what is wanted is loaded.
_JPEG_SHRINKS: Final = (8, 4, 2)
_SPARE: Final = 2

# AVIF at 64 looks about like a JPEG at 80.
_AVIF_SHARE: Final = 0.8

_WHITE: Final = [255, 255, 255]

_SAVERS: Final[dict[VariantFormat, Callable[[Any, int], bytes]]] = {
    VariantFormat.PNG: lambda image, _: image.pngsave_buffer(keep="none", filter="all"),
    VariantFormat.JPEG: lambda image, quality: image.jpegsave_buffer(
        keep="none", Q=quality, optimize_coding=True, interlace=True
    ),
    VariantFormat.WEBP: lambda image, quality: image.webpsave_buffer(keep="none", Q=quality),
    # With more effort a large picture takes ten times as long.
    VariantFormat.AVIF: lambda image, quality: image.heifsave_buffer(
        keep="none", Q=max(1, round(quality * _AVIF_SHARE)), compression="av1", effort=2
    ),
}


def is_markup(data: bytes) -> bool:
    """Whether the content can only be an SVG, if it is a picture at all."""
    return _MARKUP.match(data) is not None


@translated_errors()
def convert_bitmap(data: bytes, variant: Variant) -> bytes:
    """Return the first frame of a PNG, JPEG, WebP or GIF as `variant`.

    Raises `DamagedContentError` for anything else, also for more than 64 million pixels. Most pictures are read row by
    row; those that can't be, such as interlaced ones, take 8 bytes for each pixel at most.
    """
    name = next((name for magic, offset, name in _BITMAPS if data.startswith(magic, offset)), None)
    if name is None:
        raise DamagedContentError("The content is none of PNG, JPEG, WebP, GIF and SVG.")
    load = getattr(pyvips.Image, name)
    header = load(data, fail_on="error")
    if header.width * header.height > MAX_PIXELS:
        raise DamagedContentError(f"The picture has more than {MAX_PIXELS:,} pixels.")
    # A picture can say that it lies on its side.
    is_turned = header.get_typeof("orientation") and header.get("orientation") in range(5, 9)
    width, height = (header.height, header.width) if is_turned else (header.width, header.height)
    size = variant.size_of(width, height)
    room = min(width / size[0], height / size[1]) / _SPARE
    options: dict[str, float] = {}
    if name == "jpegload_buffer":
        options["shrink"] = next((shrink for shrink in _JPEG_SHRINKS if shrink <= room), 1)
    elif name == "webpload_buffer":
        options["scale"] = 1 / max(1.0, room)
    return _save(load(data, fail_on="error", access="sequential", **options), size, variant)


@translated_errors()
def draw_svg(data: bytes, variant: Variant) -> bytes:
    """Return an SVG as `variant`; nothing that it refers to is loaded.

    How long that takes and how much memory, nobody can say before: do it where it can be broken off. Raises
    `DamagedContentError`.
    """
    header = pyvips.Image.svgload_buffer(data, fail_on="error")
    width, height = variant.size_of(header.width, header.height, is_scalable=True)
    scale = (max if variant.cut else min)(width / header.width, height / header.height)
    return _save(pyvips.Image.svgload_buffer(data, fail_on="error", scale=scale), (width, height), variant)


def _save(image: Any, size: tuple[int, int], variant: Variant) -> bytes:
    width, height = size
    manner = {"crop": "centre"} if variant.cut else {"size": "force"}
    image = image.thumbnail_image(
        width,
        height=height,
        input_profile="cmyk" if image.interpretation == "cmyk" else "srgb",
        output_profile="srgb",
        fail_on="error",
        **manner,
    )
    if variant.format is VariantFormat.JPEG and image.hasalpha():
        image = image.flatten(background=_WHITE)
    # From here on the original is no longer held.
    image = image.copy_memory()
    return bytes(_SAVERS[variant.format](image, variant.quality))
