"""Conversion of pictures by libvips."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pyvips

from pixyproxy.adapters.pictures.bitmaps.frame import Frame
from pixyproxy.adapters.pictures.formats import first_frame
from pixyproxy.adapters.pictures.markup import in_utf8
from pixyproxy.adapters.pictures.picture import UnreadablePictureError
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.errors import DamagedContentError
from pixyproxy.domain.variant import Variant, VariantFormat

# libvips' settings are global. A cache would hold pictures that are not requested again, and one thread a picture keeps
# as many cores busy as there are conversions.
pyvips.cache_set_max(0)
pyvips.concurrency_set(1)
# It logs its threads' work at info level.
logging.getLogger("pyvips").setLevel(logging.WARNING)

# Choose the loader here: libvips would try some two dozen, most of them less hardened.
_LOADERS: Final = {
    MediaType.PNG: "pngload_buffer",
    MediaType.JPEG: "jpegload_buffer",
    MediaType.WEBP: "webpload_buffer",
    MediaType.GIF: "gifload_buffer",
}

# JPEGs can be loaded at 1/8, 1/4 or 1/2 of their size, WebPs at any. That saves time and memory, but is coarse: load
# twice the wanted size.
_JPEG_SHRINKS: Final = (8, 4, 2)
_SPARE: Final = 2

# AVIF at 64 looks about like JPEG at 80.
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


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Raise `DamagedContentError` for every error of libvips, whose texts may name paths."""
    try:
        yield
    except pyvips.Error as exc:
        raise DamagedContentError("The picture is damaged or incomplete.") from exc


@_translated_errors()
def convert_bitmap(data: bytes, variant: Variant) -> bytes:
    """Return the first frame of a PNG, JPEG, WebP or GIF as `variant`.

    Raises `DamagedContentError` exactly for what the inspector refuses. Most pictures are read row by row; others, such
    as interlaced ones, take up to 8 bytes per pixel.
    """
    try:
        frame = first_frame(data)
        size = variant.size_of(*frame.shown_size)
        try:
            return _save(_loaded(frame, size), size, variant)
        except pyvips.Error:
            # Pillow is the inspector's judge: it can draw what it accepted and libvips can't read.
            return _save(_drawn(frame), size, variant)
    except UnreadablePictureError as exc:
        raise DamagedContentError(str(exc)) from exc


@_translated_errors()
def resize_bitmap(data: bytes, width: int, height: int) -> tuple[str, bytes]:
    """Return the first frame of a PNG, JPEG, WebP or GIF as shown, in this size: Pillow's mode, and the pixels.

    The mode is RGB or RGBA, with 8 bits each; in its own size, the picture keeps every pixel. Raises
    `DamagedContentError` exactly for what the inspector refuses. Most pictures are read row by row; others, such as
    interlaced ones, take up to 8 bytes per pixel.
    """
    try:
        frame = first_frame(data)
        if frame.shown_size == (width, height):
            return _exact_pixels(frame)
        try:
            return _pixels(_loaded(frame, (width, height)), width, height)
        except pyvips.Error:
            return _pixels(_drawn(frame), width, height)
    except UnreadablePictureError as exc:
        raise DamagedContentError(str(exc)) from exc


def _exact_pixels(frame: Frame) -> tuple[str, bytes]:
    from pixyproxy.adapters.pictures.decoding import drawn  # noqa: PLC0415 -- variants do without Pillow

    image = drawn(frame)
    return image.mode, image.tobytes()


def _pixels(image: Any, width: int, height: int) -> tuple[str, bytes]:
    resized = _resized(image, width, height, size="force").colourspace("srgb").cast("uchar")
    return "RGBA" if resized.hasalpha() else "RGB", bytes(resized.write_to_memory())


def _loaded(frame: Frame, size: tuple[int, int]) -> Any:
    """Return the frame upright, read by libvips row by row, no smaller than `size`."""
    width, height = frame.shown_size
    room = min(width / size[0], height / size[1]) / _SPARE
    options: dict[str, float] = {}
    if frame.media_type is MediaType.JPEG:
        options["shrink"] = next((shrink for shrink in _JPEG_SHRINKS if shrink <= room), 1)
    elif frame.media_type is MediaType.WEBP:
        options["scale"] = 1 / max(1.0, room)
    load = getattr(pyvips.Image, _LOADERS[frame.media_type])
    image = load(frame.data, fail_on="none", access="sequential", **options).copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", frame.orientation)
    return image


def _drawn(frame: Frame) -> Any:
    """Return the frame, or the part that there is, drawn by Pillow."""
    from pixyproxy.adapters.pictures.decoding import drawn  # noqa: PLC0415 -- damaged pictures alone need it

    image = drawn(frame)
    return pyvips.Image.new_from_memory(image.tobytes(), *image.size, len(image.mode), "uchar").copy(
        interpretation="srgb"
    )


@_translated_errors()
def draw_svg(data: bytes, variant: Variant) -> bytes:
    """Return an SVG as `variant`; load no references.

    Time and memory are unbounded: call it in a process that can be killed. Raises `DamagedContentError`.
    """
    try:
        # librsvg knows fewer encodings than browsers, and no XML 1.1.
        data = in_utf8(data)
    except UnreadablePictureError as exc:
        raise DamagedContentError(str(exc)) from exc
    header = pyvips.Image.svgload_buffer(data, fail_on="error")
    width, height = variant.size_of(header.width, header.height, is_scalable=True)
    scale = (max if variant.cut else min)(width / header.width, height / header.height)
    return _save(pyvips.Image.svgload_buffer(data, fail_on="error", scale=scale), (width, height), variant)


def _save(image: Any, size: tuple[int, int], variant: Variant) -> bytes:
    width, height = size
    manner = {"crop": "centre"} if variant.cut else {"size": "force"}
    image = _resized(image, width, height, **manner)
    if variant.format is VariantFormat.JPEG and image.hasalpha():
        image = image.flatten(background=_WHITE)
    # The original is no longer held from here on.
    image = image.copy_memory()
    return bytes(_SAVERS[variant.format](image, variant.quality))


def _resized(image: Any, width: int, height: int, **manner: str) -> Any:
    return image.thumbnail_image(
        width,
        height=height,
        input_profile="cmyk" if image.interpretation == "cmyk" else "srgb",
        output_profile="srgb",
        fail_on="error",
        **manner,
    )
