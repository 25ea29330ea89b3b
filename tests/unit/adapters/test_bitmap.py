import contextlib
import io
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixyproxy.adapters.pillow.bitmap import inspect_bitmap
from pixyproxy.adapters.pillow.picture import UnreadablePictureError
from pixyproxy.domain.image import MediaType


def bitmap(kind: str, size: tuple[int, int] = (12, 7), frames: int = 1, **options: Any) -> bytes:
    pictures = [Image.linear_gradient("L").resize(size).rotate(90 * turn).convert("RGB") for turn in range(frames)]
    target = io.BytesIO()
    animation = {"save_all": True, "append_images": pictures[1:]} if frames > 1 else {}
    pictures[0].save(target, kind, **animation, **options)
    return target.getvalue()


BITMAPS = {
    "png": (MediaType.PNG, bitmap("png")),
    "animated png": (MediaType.PNG, bitmap("png", frames=3)),
    "jpeg": (MediaType.JPEG, bitmap("jpeg")),
    "progressive jpeg": (MediaType.JPEG, bitmap("jpeg", progressive=True)),
    "webp": (MediaType.WEBP, bitmap("webp")),
    "lossless webp": (MediaType.WEBP, bitmap("webp", lossless=True)),
    "animated webp": (MediaType.WEBP, bitmap("webp", frames=3)),
    "gif": (MediaType.GIF, bitmap("gif")),
    "animated gif": (MediaType.GIF, bitmap("gif", frames=3)),
}
ALL_BITMAPS = pytest.mark.parametrize(("media_type", "data"), BITMAPS.values(), ids=BITMAPS)


def png_header(width: int, height: int) -> bytes:
    """Make a PNG that declares a size and has next to no content."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


@ALL_BITMAPS
def test_a_whole_bitmap_is_known_by_its_bytes(media_type: MediaType, data: bytes) -> None:
    found = inspect_bitmap(data)

    assert (found.media_type, found.width, found.height) == (media_type, 12, 7)


@ALL_BITMAPS
def test_a_bitmap_that_lacks_as_little_as_its_last_byte_is_unreadable(media_type: MediaType, data: bytes) -> None:
    for length in range(len(data)):
        with pytest.raises(UnreadablePictureError):
            inspect_bitmap(data[:length])


@pytest.mark.parametrize("name", ["png", "animated png", "webp", "lossless webp", "gif", "animated gif"])
def test_a_bitmap_with_a_hole_is_unreadable_though_it_ends_as_it_should(name: str) -> None:
    _, data = BITMAPS[name]

    with pytest.raises(UnreadablePictureError, match="damaged"):
        inspect_bitmap(data[: len(data) // 2] + data[-16:])


@ALL_BITMAPS
@settings(max_examples=50, deadline=None)
@given(damage=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=20))
def test_damage_never_raises_anything_but_unreadable(
    media_type: MediaType, data: bytes, damage: list[tuple[int, int]]
) -> None:
    damaged = bytearray(data)
    for position, value in damage:
        damaged[position % len(damaged)] = value
    with contextlib.suppress(UnreadablePictureError):
        inspect_bitmap(bytes(damaged))


@settings(max_examples=50)
@given(st.binary(max_size=300))
def test_random_bytes_are_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadablePictureError):
        inspect_bitmap(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "none of PNG, JPEG, WebP, GIF and SVG"),
        (b"hello", "none of PNG, JPEG, WebP, GIF and SVG"),
        (b"BM" + b"\0" * 60, "none of PNG, JPEG, WebP, GIF and SVG"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "none of PNG, JPEG, WebP, GIF and SVG"),
        (b"\x89PNG\r\n\x1a\n", "PNG picture is damaged"),
        (b"\xff\xd8\xff\xd9", "JPEG picture is damaged"),
    ],
)
def test_the_error_says_what_is_there_instead_of_a_bitmap(data: bytes, words: str) -> None:
    with pytest.raises(UnreadablePictureError, match=words):
        inspect_bitmap(data)


@pytest.mark.parametrize("kind", ["bmp", "tiff", "ppm", "ico", "tga"])
def test_other_formats_that_pillow_knows_are_unreadable(kind: str) -> None:
    with pytest.raises(UnreadablePictureError, match="none of"):
        inspect_bitmap(bitmap(kind))


@pytest.mark.parametrize("size", [(10_000, 9_000), (30_000, 30_000), (2_000_000_000, 2_000_000_000)])
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(size: tuple[int, int]) -> None:
    with pytest.raises(UnreadablePictureError, match="more than 64,000,000 pixels"):
        inspect_bitmap(png_header(*size))


def test_the_frames_of_an_animation_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixyproxy.adapters.pillow.bitmap.MAX_PIXELS", 12 * 7 * 2)

    with pytest.raises(UnreadablePictureError, match="more than 168 pixels"):
        inspect_bitmap(bitmap("gif", frames=3))


def test_padding_behind_a_bitmap_is_no_damage() -> None:
    assert inspect_bitmap(bitmap("jpeg") + b"\n\0\0").media_type is MediaType.JPEG


def test_markup_behind_a_bitmap_is_refused() -> None:
    with pytest.raises(UnreadablePictureError, match="breaks off"):
        inspect_bitmap(bitmap("png") + b"<script>alert(1)</script>")
