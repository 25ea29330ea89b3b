"""The contract of `VariantMaker`."""

import io
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageSequence
from PIL.PngImagePlugin import PngInfo

from pixyproxy.adapters.pictures.inspection import inspect_picture
from pixyproxy.adapters.pictures.picture import UnreadablePictureError
from pixyproxy.adapters.pictures.pillow.variant_maker import PillowVariantMaker
from pixyproxy.adapters.pictures.vips.variant_maker import VipsVariantMaker
from pixyproxy.domain.errors import ContentStoreError, DamagedContentError
from pixyproxy.domain.ports import StoredContent, VariantMaker
from pixyproxy.domain.variant import Fit, Variant, VariantFormat
from tests import odd_pictures

ORIENTATION, GPS, ARTIST = 0x0112, 0x8825, 0x013B
SECRET = "At home, 51.5 north"
XMP = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{SECRET}</x:xmpmeta>"


@pytest.fixture(params=["pillow", "vips"])
async def maker(request: pytest.FixtureRequest) -> AsyncIterator[VariantMaker]:
    maker = PillowVariantMaker() if request.param == "pillow" else VipsVariantMaker()
    yield maker
    await maker.close()


def stored(data: bytes, *, chunk_size: int = 1_000) -> StoredContent:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(data), chunk_size):
            yield data[start : start + chunk_size]

    return StoredContent(len(data), chunks())


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    target = io.BytesIO()
    picture.save(target, kind, **options)
    return target.getvalue()


def halves(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    """Return a picture that is red on its left and blue on its right."""
    picture = Image.new(mode, size, "red")
    picture.paste("blue", (size[0] // 2, 0, *size))
    return picture


def opened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def is_close(picture: Image.Image, place: tuple[int, int], colour: tuple[int, ...]) -> bool:
    found = picture.getpixel(place)
    assert isinstance(found, tuple)
    return len(found) == len(colour) and all(abs(one - other) < 40 for one, other in zip(found, colour, strict=True))


RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


@pytest.mark.parametrize("source", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize("kind", VariantFormat)
async def test_every_format_becomes_every_other(maker: VariantMaker, source: str, kind: VariantFormat) -> None:
    made = opened(await maker.make(stored(encoded(halves((100, 60)), source)), Variant(format=kind, width=50)))
    assert (made.format, made.size, made.mode) == (kind.upper(), (50, 30), "RGB")
    assert is_close(made, (5, 15), RED)
    assert is_close(made, (45, 15), BLUE)


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({}, (100, 60)),
        ({"width": 20}, (20, 12)),
        ({"height": 20}, (33, 20)),
        ({"width": 20, "height": 20}, (20, 12)),
        ({"width": 20, "height": 20, "fit": Fit.COVER}, (20, 20)),
        ({"width": 7, "height": 41, "fit": Fit.COVER}, (7, 41)),
        ({"width": 400}, (100, 60)),
        ({"width": 400, "height": 400}, (100, 60)),
        ({"width": 400, "height": 400, "fit": Fit.COVER}, (60, 60)),
        ({"width": 50, "height": 400, "fit": Fit.COVER}, (8, 60)),
        ({"width": 1, "height": 1}, (1, 1)),
    ],
)
@pytest.mark.parametrize("source", ["PNG", "JPEG", "WEBP"])
async def test_a_picture_becomes_as_large_as_the_variant_says(
    maker: VariantMaker, source: str, asked: dict[str, Any], size: tuple[int, int]
) -> None:
    variant = Variant(format=VariantFormat.PNG, **asked)
    made = opened(await maker.make(stored(encoded(halves((100, 60)), source)), variant))
    assert made.size == size == variant.size_of(100, 60)


async def test_a_picture_that_is_cut_keeps_its_middle(maker: VariantMaker) -> None:
    picture = halves((90, 30))
    picture.paste("white", (30, 0, 60, 30))
    variant = Variant(format=VariantFormat.PNG, width=10, height=10, fit=Fit.COVER)
    made = opened(await maker.make(stored(encoded(picture)), variant))
    assert all(is_close(made, place, WHITE) for place in ((2, 2), (8, 8)))


@pytest.mark.parametrize(
    ("source", "orientation", "size", "places"),
    [
        (source, orientation, size, places)
        for source in ("JPEG", "PNG")
        for orientation, size, places in (
            (1, (100, 60), [(9, 30), (90, 30)]),
            (3, (100, 60), [(90, 30), (9, 30)]),
            (6, (60, 100), [(30, 9), (30, 90)]),
        )
    ]
    # Browsers show a WebP as it lies.
    + [("WEBP", orientation, (100, 60), [(9, 30), (90, 30)]) for orientation in (1, 3, 6)],
)
async def test_a_picture_is_turned_as_it_is_shown(
    maker: VariantMaker,
    source: str,
    orientation: int,
    size: tuple[int, int],
    places: list[tuple[int, int]],
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    original = encoded(halves((100, 60)), source, exif=exif)
    made = opened(await maker.make(stored(original), Variant(format=VariantFormat.PNG, width=400)))
    assert made.size == size
    assert is_close(made, places[0], RED)
    assert is_close(made, places[1], BLUE)
    small = opened(await maker.make(stored(original), Variant(format=VariantFormat.PNG, width=20)))
    assert small.size == Variant(format=VariantFormat.PNG, width=20).size_of(*size)


def tell_tale(source: str) -> bytes:
    """Return a picture with metadata of its author, place and tool."""
    exif = Image.Exif()
    exif[ARTIST] = SECRET
    exif[GPS] = {1: "N", 2: (51.0, 30.0, 0.0), 29: SECRET}
    options: dict[str, Any] = {
        "exif": exif,
        "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    }
    if source == "PNG":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_text("Comment", SECRET)
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP)
    else:
        options["xmp"] = XMP.encode()
    if source == "JPEG":
        options["comment"] = SECRET
    return encoded(halves((100, 60)), source, **options)


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("kind", VariantFormat)
async def test_nothing_is_kept_of_what_a_picture_says_about_its_origin(
    maker: VariantMaker, source: str, kind: VariantFormat
) -> None:
    original = tell_tale(source)
    told = {"exif", "xmp", "XML:com.adobe.xmp", "Comment", "comment", "icc_profile"}
    assert SECRET.encode() in original
    assert len(told & opened(original).info.keys()) >= 3
    data = await maker.make(stored(original), Variant(format=kind))
    assert SECRET.encode() not in data
    assert not re.search(rb"Exif\0|GPS|xmp|XMP|ICC_PROFILE|iCCP|tEXt|iTXt|eXIf", data)
    made = opened(data)
    assert not told & made.info.keys()
    assert not made.getexif()


@pytest.mark.parametrize("kind", VariantFormat)
async def test_what_is_transparent_stays_so_but_as_a_jpeg_it_is_white(maker: VariantMaker, kind: VariantFormat) -> None:
    picture = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (20, 0, 40, 40))
    made = opened(await maker.make(stored(encoded(picture)), Variant(format=kind)))
    if kind is VariantFormat.JPEG:
        assert is_close(made, (5, 20), WHITE)
        assert is_close(made, (35, 20), BLUE)
    else:
        alpha = made.getchannel("A")
        assert alpha.getpixel((5, 20)) == 0
        assert alpha.getpixel((35, 20)) == 255


@pytest.mark.parametrize("source", ["GIF", "WEBP", "PNG"])
async def test_of_a_moving_picture_the_first_frame_is_taken(maker: VariantMaker, source: str) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue", "white")]
    original = encoded(frames[0], source, save_all=True, append_images=frames[1:], duration=100)
    assert len(list(ImageSequence.Iterator(opened(original)))) == 3
    made = opened(await maker.make(stored(original), Variant(format=VariantFormat.WEBP)))
    assert getattr(made, "n_frames", 1) == 1
    assert made.size == (40, 40)
    assert is_close(made, (20, 20), RED)


@pytest.mark.parametrize(("source", "mode"), [("PNG", "L"), ("PNG", "LA"), ("PNG", "P"), ("PNG", "1"), ("JPEG", "L")])
async def test_a_picture_of_few_colours_becomes_one_of_all(maker: VariantMaker, source: str, mode: str) -> None:
    picture = Image.new("L", (40, 40), "white").convert(mode)
    made = opened(await maker.make(stored(encoded(picture, source)), Variant(format=VariantFormat.JPEG, width=20)))
    assert (made.mode, made.size) == ("RGB", (20, 20))
    assert is_close(made, (10, 10), WHITE)


@pytest.mark.parametrize("kind", [VariantFormat.JPEG, VariantFormat.WEBP, VariantFormat.AVIF])
async def test_less_quality_makes_fewer_bytes(maker: VariantMaker, kind: VariantFormat) -> None:
    original = encoded(Image.effect_noise((100, 100), 80).convert("RGB"))
    sizes = [len(await maker.make(stored(original), Variant(format=kind, quality=quality))) for quality in (1, 50, 95)]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize(
    "data",
    [b"", b"no picture", b"<html><body>No picture</body></html>", *odd_pictures.hidden().values()],
    ids=["empty", "text", "page", *odd_pictures.hidden()],
)
@pytest.mark.parametrize("width", [10, None])
async def test_anything_but_a_picture_is_damaged(maker: VariantMaker, data: bytes, width: int | None) -> None:
    with pytest.raises(DamagedContentError) as caught:
        await maker.make(stored(data), Variant(format=VariantFormat.JPEG, width=width))
    assert re.fullmatch(r"The [\w ,']+\.", caught.value.detail)


ACCEPTED = {name: data for name, data in odd_pictures.shown().items() if name != "gif-9-frames-3840x2160.gif"}


@pytest.mark.parametrize("data", ACCEPTED.values(), ids=ACCEPTED)
@pytest.mark.parametrize("asked", [{"format": VariantFormat.PNG}, {"format": VariantFormat.WEBP, "width": 20}], ids=str)
async def test_what_the_inspector_accepts_can_be_drawn(maker: VariantMaker, data: bytes, asked: dict[str, Any]) -> None:
    picture, variant = inspect_picture(data), Variant(**asked)
    made = opened(await maker.make(stored(data, chunk_size=1 << 20), variant))
    assert made.size == variant.size_of(picture.width, picture.height)


@pytest.mark.parametrize("name", odd_pictures.plain())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    damage=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=8), cut=st.integers(0, 1 << 16)
)
async def test_what_the_inspector_accepts_of_damaged_pictures_can_be_drawn(
    maker: VariantMaker, name: str, damage: list[tuple[int, int]], cut: int
) -> None:
    damaged = bytearray(odd_pictures.plain()[name])
    for position, value in damage:
        damaged[position % len(damaged)] = value
    data = bytes(damaged[: len(damaged) - cut % len(damaged)]) if cut % 2 else bytes(damaged)
    variant = Variant(format=VariantFormat.PNG, width=20)
    try:
        picture = inspect_picture(data)
        if picture.width * picture.height > 1_000_000:
            return
    except UnreadablePictureError:
        with pytest.raises(DamagedContentError):
            await maker.make(stored(data), variant)
    else:
        made = opened(await maker.make(stored(data), variant))
        assert made.size == variant.size_of(picture.width, picture.height)


@pytest.mark.parametrize("name", ["jpeg-cut", "png-cut", "gif-cut", "png-interlaced-cut", "png-idat-checksum"])
async def test_the_part_of_a_picture_that_is_there_is_drawn(maker: VariantMaker, name: str) -> None:
    data = odd_pictures.shown()[name]
    made = opened(await maker.make(stored(data), Variant(format=VariantFormat.PNG))).convert("RGB")
    above = made.crop((0, 0, made.width, made.height // 4))
    assert len(above.getcolors(1 << 24) or ()) > (0 if "interlaced" in name else 50)
    assert above.getextrema() != ((0, 0), (0, 0), (0, 0))


async def test_a_read_error_raises_the_stores_own_error(maker: VariantMaker) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"half"
        raise ContentStoreError("The content store does not work.")

    with pytest.raises(ContentStoreError, match="does not work"):
        await maker.make(StoredContent(8, chunks()), Variant(format=VariantFormat.JPEG))
    made = await maker.make(stored(encoded(halves((10, 10)))), Variant(format=VariantFormat.JPEG))
    assert opened(made).size == (10, 10)
