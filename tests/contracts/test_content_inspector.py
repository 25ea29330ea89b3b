"""The contract of `ContentInspector`."""

import asyncio
import hashlib
import io
import threading
from collections.abc import AsyncIterator

import pytest
from PIL import Image

from pixyproxy.adapters.pictures.inspection import inspect_picture
from pixyproxy.adapters.pictures.picture import Picture
from pixyproxy.adapters.pictures.pillow import content_inspector
from pixyproxy.adapters.pictures.pillow.content_inspector import PillowContentInspector
from pixyproxy.domain.content import ContentInfo, MediaType
from pixyproxy.domain.errors import ContentStoreError, DamagedContentError
from pixyproxy.domain.ports import ContentInspector, InputInfo, StoredContent
from tests import odd_pictures


@pytest.fixture(params=["pillow"])
def inspector() -> ContentInspector:
    return PillowContentInspector()


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="12" height="7"><path d="M0 0h12v7z"/></svg>'


def picture(media_type: MediaType) -> bytes:
    if media_type is MediaType.SVG:
        return SVG
    target = io.BytesIO()
    Image.linear_gradient("L").resize((12, 7)).convert("RGB").save(target, media_type.name)
    return target.getvalue()


def stored(data: bytes, *, chunk_size: int = 100) -> StoredContent:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(data), chunk_size):
            yield data[start : start + chunk_size]

    return StoredContent(len(data), chunks())


@pytest.mark.parametrize("media_type", MediaType)
async def test_a_picture_is_described_by_its_bytes(inspector: ContentInspector, media_type: MediaType) -> None:
    data = picture(media_type)
    assert await inspector.inspect(stored(data)) == ContentInfo(
        media_type=media_type, byte_size=len(data), sha256=hashlib.sha256(data).hexdigest(), width=12, height=7
    )


@pytest.mark.parametrize("data", [b"", b"no picture", picture(MediaType.WEBP)[:-5], SVG[:-5], b"<svg/>"])
async def test_anything_but_a_picture_is_damaged(inspector: ContentInspector, data: bytes) -> None:
    with pytest.raises(DamagedContentError):
        await inspector.inspect(stored(data))


@pytest.mark.parametrize("data", odd_pictures.shown().values(), ids=odd_pictures.shown())
async def test_a_picture_is_what_browsers_show(inspector: ContentInspector, data: bytes) -> None:
    found = await inspector.inspect(stored(data, chunk_size=1 << 20))
    assert (found.byte_size, found.sha256) == (len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("data", odd_pictures.hidden().values(), ids=odd_pictures.hidden())
async def test_a_picture_of_which_browsers_show_nothing_is_damaged(inspector: ContentInspector, data: bytes) -> None:
    with pytest.raises(DamagedContentError):
        await inspector.inspect(stored(data))


@pytest.mark.parametrize(("kind", "size"), [("PNG", (40, 80)), ("JPEG", (40, 80)), ("WEBP", (80, 40))])
async def test_the_size_of_a_turned_picture_is_the_one_that_is_shown(
    inspector: ContentInspector, kind: str, size: tuple[int, int]
) -> None:
    turned = odd_pictures.encoded(odd_pictures.gradient(80, 40), kind, exif=b"Exif\0\0" + odd_pictures.exif(6))
    found = await inspector.inspect(stored(turned))
    assert (found.width, found.height) == size


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_beginning_tells_whether_a_picture_is_turned(
    inspector: ContentInspector, kind: str, orientation: int
) -> None:
    exif = b"Exif\0\0" + odd_pictures.exif(orientation)
    data = odd_pictures.encoded(odd_pictures.gradient(), kind, exif=exif)
    told = [inspector.is_turned(data[:length]) for length in range(12, len(data) + 1)]
    assert set(told[told.index(orientation > 4) :]) == {orientation > 4}
    assert set(told[: told.index(orientation > 4)]) == {None}


@pytest.mark.parametrize("media_type", MediaType)
def test_a_picture_without_exif_data_is_not_turned(inspector: ContentInspector, media_type: MediaType) -> None:
    assert inspector.is_turned(picture(media_type)) is False


@pytest.mark.parametrize("data", [*odd_pictures.shown().values(), *odd_pictures.hidden().values(), b""])
def test_whether_an_odd_picture_is_turned_is_no_error(inspector: ContentInspector, data: bytes) -> None:
    assert not inspector.is_turned(data[:65_536])


@pytest.mark.parametrize("media_type", MediaType)
def test_a_bitmap_is_known_by_its_first_bytes(inspector: ContentInspector, media_type: MediaType) -> None:
    found = inspector.media_type_of(picture(media_type)[:16])
    assert found == (None if media_type is MediaType.SVG else media_type)


@pytest.mark.parametrize("head", [b"", b"\x89PNG", b"<html>", bytes(16), b"RIFF\0\0\0\0WAVE"])
def test_other_first_bytes_are_of_no_bitmap(inspector: ContentInspector, head: bytes) -> None:
    assert inspector.media_type_of(head) is None


async def test_a_read_error_raises_the_stores_own_error(inspector: ContentInspector) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"half"
        raise ContentStoreError("The content store does not work.")

    with pytest.raises(ContentStoreError, match="does not work"):
        await inspector.inspect(StoredContent(8, chunks()))


@pytest.mark.parametrize("announced", [10, 1 << 40])
async def test_content_of_more_than_64_mib_is_refused_before_it_is_held(
    inspector: ContentInspector, announced: int
) -> None:
    mib, given = bytes(1 << 20), 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield mib

    with pytest.raises(DamagedContentError, match="64 MiB"):
        await inspector.inspect(StoredContent(announced, chunks()))
    assert given == 65


async def test_the_loop_goes_on_while_a_picture_is_decoded(
    inspector: ContentInspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    the_loop_went_on, is_decoding = threading.Event(), threading.Event()

    def slow_inspect_picture(data: bytes) -> Picture:
        is_decoding.set()
        assert the_loop_went_on.wait(10)
        return inspect_picture(data)

    monkeypatch.setattr(content_inspector, "inspect_picture", slow_inspect_picture)
    running = asyncio.create_task(inspector.inspect(stored(picture(MediaType.PNG))))
    await asyncio.to_thread(is_decoding.wait, 10)
    the_loop_went_on.set()
    assert (await running).width == 12


def animated(kind: str) -> bytes:
    first, second = odd_pictures.gradient(), odd_pictures.gradient().rotate(180)
    return odd_pictures.encoded(first, kind, save_all=True, append_images=[second], duration=100)


def palette_with_transparency() -> bytes:
    return odd_pictures.encoded(odd_pictures.gradient().convert("P"), "PNG", transparency=3)


INPUTS = {
    "png": (odd_pictures.encoded(odd_pictures.gradient(), "PNG"), MediaType.PNG, False),
    "jpeg": (odd_pictures.encoded(odd_pictures.gradient(), "JPEG"), MediaType.JPEG, False),
    "webp": (odd_pictures.encoded(odd_pictures.gradient(), "WEBP"), MediaType.WEBP, False),
    "png with alpha": (odd_pictures.encoded(odd_pictures.gradient().convert("RGBA"), "PNG"), MediaType.PNG, True),
    "grey png with alpha": (odd_pictures.encoded(odd_pictures.gradient().convert("LA"), "PNG"), MediaType.PNG, True),
    "png with a transparent colour": (palette_with_transparency(), MediaType.PNG, True),
}


@pytest.mark.parametrize(("data", "media_type", "has_alpha"), INPUTS.values(), ids=INPUTS)
async def test_an_input_is_described_by_its_bytes(
    inspector: ContentInspector, data: bytes, media_type: MediaType, has_alpha: bool
) -> None:
    found = await inspector.inspect_input(stored(data))
    assert found == InputInfo(content=await inspector.inspect(stored(data)), has_alpha=has_alpha)
    assert found.content.media_type is media_type


async def test_the_size_of_a_turned_input_is_the_one_that_is_shown(inspector: ContentInspector) -> None:
    turned = odd_pictures.encoded(odd_pictures.gradient(80, 40), "JPEG", exif=b"Exif\0\0" + odd_pictures.exif(6))
    found = await inspector.inspect_input(stored(turned))
    assert (found.content.width, found.content.height) == (40, 80)


NO_INPUTS = {
    "nothing": (b"", "none of PNG"),
    "text": (b"What I want is a fox.", "none of PNG"),
    "svg": (SVG, "none of PNG"),
    "web page": (b"<!doctype html><html></html>", "none of PNG"),
    "gif": (picture(MediaType.GIF), "The GIF is none of PNG"),
    "animated gif": (animated("GIF"), "The GIF is none of PNG"),
    "animated png": (animated("PNG"), "PNG picture is animated"),
    "animated webp": (animated("WEBP"), "WEBP picture is animated"),
}


@pytest.mark.parametrize(("data", "reason"), NO_INPUTS.values(), ids=NO_INPUTS)
async def test_other_files_are_no_inputs(inspector: ContentInspector, data: bytes, reason: str) -> None:
    with pytest.raises(DamagedContentError, match=reason):
        await inspector.inspect_input(stored(data))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
async def test_a_truncated_picture_is_no_input(inspector: ContentInspector, kind: str, kept: float) -> None:
    data = odd_pictures.encoded(Image.effect_noise((200, 200), 90).convert("RGB"), kind)
    assert (await inspector.inspect_input(stored(data))).content.width == 200
    with pytest.raises(DamagedContentError, match="damaged or incomplete"):
        await inspector.inspect_input(stored(data[: int(len(data) * kept)]))


async def test_a_png_that_ends_between_two_chunks_of_pixels_is_no_input(inspector: ContentInspector) -> None:
    chunks = list(odd_pictures.chunks_of(odd_pictures.encoded(odd_pictures.gradient(), "PNG")))
    pixels = b"".join(content for kind, content in chunks if kind == b"IDAT")
    half = odd_pictures.chunk(b"IDAT", pixels[: len(pixels) // 2])
    cut = odd_pictures.png(odd_pictures.header(), half, odd_pictures.chunk(b"IEND", b""))
    await inspector.inspect(stored(cut))
    with pytest.raises(DamagedContentError, match="damaged or incomplete"):
        await inspector.inspect_input(stored(cut))
