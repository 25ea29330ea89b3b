import contextlib
import io
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixyproxy.adapters.pictures.bitmaps import frame, jpeg
from pixyproxy.adapters.pictures.decoding import decoded
from pixyproxy.adapters.pictures.formats import first_frame
from pixyproxy.adapters.pictures.inspection import inspect_bitmap
from pixyproxy.adapters.pictures.picture import UnreadablePictureError
from pixyproxy.domain.content import MediaType
from tests import odd_pictures


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
def test_a_bitmap_that_breaks_off_is_the_same_or_unreadable(media_type: MediaType, data: bytes) -> None:
    whole = inspect_bitmap(data)
    found: list[bool] = []
    for length in range(len(data)):
        try:
            assert inspect_bitmap(data[:length]) == whole
        except UnreadablePictureError:
            found.append(False)
        else:
            found.append(True)
    assert found[0] is False
    # Once there is something to be shown, more bytes take nothing of it away.
    assert found == sorted(found)


@pytest.mark.parametrize(("name", "data"), odd_pictures.shown().items(), ids=odd_pictures.shown())
def test_a_picture_that_browsers_show_is_one(name: str, data: bytes) -> None:
    assert inspect_bitmap(data).media_type.name.lower() == name.partition("-")[0].partition("+")[0]


@pytest.mark.parametrize("data", odd_pictures.hidden().values(), ids=odd_pictures.hidden())
def test_a_picture_of_which_browsers_show_nothing_is_none(data: bytes) -> None:
    with pytest.raises(UnreadablePictureError):
        inspect_bitmap(data)


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_the_size_is_that_of_the_picture_as_it_is_shown(kind: str, orientation: int) -> None:
    data = bitmap(kind, exif=b"Exif\0\0" + odd_pictures.exif(orientation))

    found = inspect_bitmap(data)

    is_turned = kind != "webp" and 5 <= orientation <= 8
    assert (found.width, found.height) == ((7, 12) if is_turned else (12, 7))


def test_the_first_exif_data_of_a_jpeg_counts() -> None:
    data = bitmap("jpeg")
    turned, upright = (odd_pictures.segment(0xE1, b"Exif\0\0" + odd_pictures.exif(turn)) for turn in (6, 1))

    assert inspect_bitmap(data[:2] + turned + upright + data[2:]).width == 7
    assert inspect_bitmap(data[:2] + upright + turned + data[2:]).width == 12


@pytest.mark.parametrize("wrong", [b"", b"MM", b"MM\0*\xff\xff\xff\xff", odd_pictures.exif()[:-6], b"\0" * 40])
def test_damaged_exif_data_turns_nothing(wrong: bytes) -> None:
    data = bitmap("jpeg")

    assert inspect_bitmap(data[:2] + odd_pictures.segment(0xE1, b"Exif\0\0" + wrong) + data[2:]).width == 12


def test_exif_data_of_a_png_with_a_wrong_checksum_or_after_the_pixels_is_ignored() -> None:
    exif, pixels = odd_pictures.exif(), odd_pictures.chunk(b"IDAT", zlib.compress(bytes(37 * 7)))
    right, wrong = odd_pictures.chunk(b"eXIf", exif), odd_pictures.chunk(b"eXIf", exif, 0)
    header = odd_pictures.header(12, 7)

    assert inspect_bitmap(odd_pictures.png(header, right, pixels)).width == 7
    assert inspect_bitmap(odd_pictures.png(header, wrong, pixels)).width == 12
    assert inspect_bitmap(odd_pictures.png(header, pixels, right)).width == 12


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


def test_the_frames_of_an_animation_do_not_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "MAX_PIXELS", 12 * 7)

    assert inspect_bitmap(bitmap("gif", frames=3)).width == 12
    with pytest.raises(UnreadablePictureError, match="more than 84 pixels"):
        inspect_bitmap(bitmap("gif", (12, 8), frames=3))


@pytest.mark.parametrize("kind", ["png", "webp", "gif"])
def test_frames_are_bounded_in_number(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "MAX_FRAMES", 3)

    assert inspect_bitmap(bitmap(kind, frames=3)).width == 12
    with pytest.raises(UnreadablePictureError, match="more than 3 frames"):
        inspect_bitmap(bitmap(kind, frames=4))


def test_a_gif_of_a_million_frames_is_refused_without_decoding_them() -> None:
    with pytest.raises(UnreadablePictureError, match="more than 10,000 frames"):
        inspect_bitmap(odd_pictures.gif_of(1_000_000))


@pytest.mark.parametrize(
    "data",
    [
        odd_pictures.png(odd_pictures.header(), odd_pictures.chunk(b"tEXt", b"a\0b") * 300_000),
        b"\xff\xd8" + odd_pictures.segment(0xEC, b"") * 300_001,
        b"GIF89a" + bytes(7) + b"\x21\xfe" + b"\1a" * 300_001 + b"\0",
        b"RIFF\xff\xff\xff\0WEBP" + b"ABCD\0\0\0\0" * 300_001,
    ],
    ids=["png", "jpeg", "gif", "webp"],
)
def test_chunks_are_bounded_in_number(data: bytes) -> None:
    with pytest.raises(UnreadablePictureError, match="more than 300,000 chunks"):
        inspect_bitmap(data)


def test_scans_are_bounded_in_number_and_by_their_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bitmap("jpeg", progressive=True)
    scan = data.index(b"\xff\xda")
    end = data.index(b"\xff", scan + 2)
    many = data[:scan] + data[scan:end] * 101 + data[end:]

    with pytest.raises(UnreadablePictureError, match="too many scans"):
        inspect_bitmap(many)
    monkeypatch.setattr(jpeg, "MAX_SCANNED_PIXELS", 3 * 12 * 7)
    with pytest.raises(UnreadablePictureError, match="too many scans"):
        inspect_bitmap(data)


def test_decoding_has_a_deadline() -> None:
    with pytest.raises(UnreadablePictureError, match="takes too long"):
        decoded(first_frame(bitmap("png")), seconds=-1)


@ALL_BITMAPS
def test_bytes_after_a_bitmap_are_no_damage(media_type: MediaType, data: bytes) -> None:
    whole = inspect_bitmap(data)

    for more in (b"\n", b"\0", b"<script>alert(1)</script>", odd_pictures.JUNK, data):
        assert inspect_bitmap(data + more) == whole


@ALL_BITMAPS
def test_the_first_frame_is_a_small_picture_of_its_own(media_type: MediaType, data: bytes) -> None:
    only = first_frame(data + odd_pictures.JUNK)

    assert first_frame(only.data) == only
    assert len(only.data) <= len(data)
    with Image.open(io.BytesIO(only.data)) as image:
        assert getattr(image, "n_frames", 1) == 1
