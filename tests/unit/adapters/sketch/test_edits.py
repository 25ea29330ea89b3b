"""Edits and partial images of the sketch generator, by their pixels."""

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
import pytest
from PIL import Image, ImageChops, ImageDraw, ImageStat

from pixyproxy.adapters.sketch.collage import places_in
from pixyproxy.adapters.sketch.encoding import opaque
from pixyproxy.adapters.sketch.image_generator import SketchImageGenerator
from pixyproxy.domain.errors import GenerationNotStartedError
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.ports import GeneratedImage, InputPicture, InputPictures, PartialImage, StoredContent
from tests.input_pictures import input_picture
from tests.odd_pictures import encoded, gradient

RED, GREEN, BLUE = (200, 30, 30), (30, 160, 60), (40, 60, 200)
HOLE: Final = (60, 20, 140, 80)


@pytest.fixture
async def generator() -> AsyncIterator[SketchImageGenerator]:
    made = SketchImageGenerator(pause=0)
    yield made
    await made.close()


def plain(colour: tuple[int, int, int], width: int = 200, height: int = 100) -> InputPicture:
    return input_picture(encoded(Image.new("RGB", (width, height), colour), "png"))


def mask(width: int = 200, height: int = 100) -> Image.Image:
    """Return a mask that is transparent within `HOLE`."""
    picture = Image.new("RGBA", (width, height), "black")
    ImageDraw.Draw(picture).rectangle((HOLE[0], HOLE[1], HOLE[2] - 1, HOLE[3] - 1), fill=(0, 0, 0, 0))
    return picture


def masked(first: Image.Image, kind: str = "png", *others: InputPicture) -> InputPictures:
    return InputPictures(
        references=[input_picture(encoded(first, kind)), *others], mask=input_picture(encoded(mask(*first.size), "png"))
    )


def shown(image: GeneratedImage | PartialImage) -> Image.Image:
    return Image.open(io.BytesIO(image.data)).copy()


def distance(one: Any, other: Any) -> float:
    return float(sum(abs(a - b) for a, b in zip(one, other, strict=True)))


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return by how much two pictures differ on average, from 0 to 255."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16])
async def test_each_reference_is_seen_in_its_order(generator: SketchImageGenerator, count: int) -> None:
    colours = [(RED, GREEN, BLUE)[number % 3] for number in range(count)]
    references = [plain(colour) for colour in colours]
    image = await generator.generate(
        GenerationRequest(prompt="a meadow", size="800x600"), pictures=InputPictures(references=references)
    )
    places = places_in((0, 0, 800, 600), [(200, 100)] * count)

    assert sorted(places, key=lambda place: (place.y, place.x)) == places
    for place, colour in zip(places, colours, strict=True):
        pixel = shown(image).getpixel((place.x, place.y))
        assert min((RED, GREEN, BLUE), key=lambda other: distance(pixel, other)) == colour


@pytest.mark.parametrize("region", [(0, 0, 800, 600), (0, 0, 60, 3000), (10, 20, 900, 30), (5, 5, 6, 6)])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 16])
def test_prints_have_pixels_and_lie_in_their_region(region: tuple[int, int, int, int], count: int) -> None:
    places = places_in(region, [(3840, 2160), (1, 5000)] * (count // 2) + [(7, 7)] * (count % 2))

    assert len(places) == count
    for x, y, width, height in places:
        assert min(width, height) >= 1
        assert region[0] <= x - width // 2 <= x + width // 2 <= max(region[2], region[0] + 2)
        assert region[1] <= y - height // 2 <= y + height // 2 <= max(region[3], region[1] + 2)


async def test_the_prompt_decides_how_an_edit_looks(generator: SketchImageGenerator) -> None:
    pictures = InputPictures(references=[input_picture(encoded(gradient(200, 100), "png"))])
    meadow, lava = [
        await generator.generate(GenerationRequest(prompt=prompt), pictures=pictures)
        for prompt in ("a green meadow", "red lava")
    ]
    again = await generator.generate(GenerationRequest(prompt="red lava"), pictures=pictures)

    centre = (80, 40, 120, 60)
    assert difference(shown(meadow).crop(centre), shown(lava).crop(centre)) > 5
    assert again == lava


@pytest.mark.parametrize("size", [None, "auto"])
@pytest.mark.parametrize(
    ("first", "expected"),
    [((200, 100), (200, 100)), ((1, 1), (1, 1)), ((4000, 2000), (2828, 1414)), ((9000, 3), (9000, 3))],
)
async def test_an_edit_has_the_size_of_its_first_reference_up_to_four_million_pixels(
    generator: SketchImageGenerator, size: str | None, first: tuple[int, int], expected: tuple[int, int]
) -> None:
    pictures = InputPictures(references=[plain(RED, *first), plain(BLUE, 50, 50)])
    image = await generator.generate(GenerationRequest(prompt="a meadow", size=size), pictures=pictures)

    assert (image.width, image.height) == shown(image).size == expected


async def test_an_edit_has_the_size_that_is_asked_for(generator: SketchImageGenerator) -> None:
    pictures = masked(gradient(200, 100))
    for given in (pictures, msgspec.structs.replace(pictures, mask=None)):
        image = await generator.generate(GenerationRequest(prompt="a meadow", size="320x480"), pictures=given)
        assert shown(image).size == (320, 480)


async def test_the_first_reference_stays_where_the_mask_is_opaque(generator: SketchImageGenerator) -> None:
    first = gradient(200, 100)
    image = await generator.generate(GenerationRequest(prompt="a meadow"), pictures=masked(first, "png", plain(RED)))
    changed = ImageChops.difference(shown(image), first)

    assert changed.getbbox() == HOLE
    assert difference(shown(image).crop(HOLE), first.crop(HOLE)) > 10
    pixel = shown(image).getpixel((100, 50))
    assert distance(pixel, RED) < distance(pixel, first.getpixel((100, 50)))


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
async def test_formats_with_loss_keep_the_first_reference_nearly(generator: SketchImageGenerator, kind: str) -> None:
    first = gradient(200, 100)
    image = await generator.generate(
        GenerationRequest(prompt="a meadow", output_format=kind), pictures=masked(first, kind)
    )
    kept = (0, 0, 50, 100)

    assert difference(shown(image).convert("RGB").crop(kept), first.crop(kept)) < 4


async def test_a_transparent_reference_stays_transparent_where_the_mask_is_opaque(
    generator: SketchImageGenerator,
) -> None:
    first = gradient(200, 100)
    first.putalpha(Image.linear_gradient("L").resize((200, 100)))
    image, flat = [
        await generator.generate(GenerationRequest(prompt="a meadow", background=background), pictures=masked(first))
        for background in (None, "opaque")
    ]

    kept = (0, 0, 60, 100)
    assert shown(image).crop(kept).tobytes() == first.crop(kept).tobytes()
    assert shown(image).getpixel((100, 50))[3] == 255  # type: ignore[index]
    assert image.result is not None
    assert image.result.background == "transparent"
    assert shown(flat).mode == "RGB"


@pytest.mark.parametrize("mode", ["RGBA", "RGB", "L", "P", "1"])
async def test_a_mask_without_a_hole_changes_nothing(generator: SketchImageGenerator, mode: str) -> None:
    first = gradient(200, 100)
    pictures = InputPictures(
        references=[input_picture(encoded(first, "png")), plain(RED)],
        mask=input_picture(encoded(Image.new("RGBA", (200, 100), "white").convert(mode), "png")),
    )
    image = await generator.generate(GenerationRequest(prompt="a meadow"), pictures=pictures)

    assert ImageChops.difference(shown(image), first).getbbox() is None


async def test_a_reference_is_seen_as_it_is_shown(generator: SketchImageGenerator) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.new("RGB", (200, 100), RED)
    picture.paste(BLUE, (0, 0, 100, 100))
    turned = input_picture(encoded(picture, "jpeg", exif=exif, quality=95))
    image = await generator.generate(
        GenerationRequest(prompt="a meadow"),
        pictures=InputPictures(
            references=[turned], mask=input_picture(encoded(Image.new("RGBA", (100, 200), "black"), "png"))
        ),
    )

    assert shown(image).size == (100, 200)
    assert distance(shown(image).getpixel((50, 20)), BLUE) < distance(shown(image).getpixel((50, 20)), RED)
    assert distance(shown(image).getpixel((50, 180)), RED) < distance(shown(image).getpixel((50, 180)), BLUE)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16", "CMYK", "RGBA"], ids=lambda mode: mode.replace(";", "-"))
async def test_references_of_every_kind_can_be_drawn(generator: SketchImageGenerator, mode: str) -> None:
    picture = Image.new(mode, (300, 200))
    reference = input_picture(encoded(picture, "jpeg" if mode == "CMYK" else "png"))
    image = await generator.generate(
        GenerationRequest(prompt="a meadow", size="100x100"), pictures=InputPictures(references=[reference] * 2)
    )

    assert shown(image).size == (100, 100)


async def test_a_damaged_reference_is_not_drawn(generator: SketchImageGenerator) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"no picture"

    async def opened() -> StoredContent:
        return StoredContent(10, chunks())

    damaged = msgspec.structs.replace(plain(RED), open=opened)
    with pytest.raises(GenerationNotStartedError):
        await generator.generate(GenerationRequest(prompt="a meadow"), pictures=InputPictures(references=[damaged]))
    assert (await generator.generate(GenerationRequest(prompt="a meadow"))).data


async def test_references_and_mask_make_another_picture(generator: SketchImageGenerator) -> None:
    first, second = (input_picture(encoded(gradient(*size), "png")) for size in ((320, 200), (100, 300)))
    mask = input_picture(encoded(Image.new("RGBA", (320, 200), (0, 0, 0, 0)), "png"))
    request = GenerationRequest(prompt="a red fox", size="320x200")
    images = [
        await generator.generate(request, pictures=pictures)
        for pictures in (
            InputPictures(),
            InputPictures(references=[first]),
            InputPictures(references=[first, second]),
            InputPictures(references=[second, first]),
            InputPictures(references=[first, second], mask=mask),
        )
    ]

    assert len({image.data for image in images}) == len(images)


@pytest.mark.parametrize("background", [None, "transparent"])
@pytest.mark.parametrize("output_format", ["png", "webp"])
async def test_partial_images_come_nearer_to_the_picture(
    generator: SketchImageGenerator, background: str | None, output_format: str
) -> None:
    partials: list[PartialImage] = []

    async def on_partial(partial: PartialImage) -> None:
        partials.append(partial)

    request = GenerationRequest(
        prompt="a pine forest", size="400x300", background=background, output_format=output_format, partial_images=3
    )
    image = await generator.generate(request, on_partial=on_partial)
    steps = [difference(opaque(shown(partial)), opaque(shown(image))) for partial in partials]

    assert len(steps) == 3
    assert sorted(steps, reverse=True) == steps
    assert steps[-1] > 1
    assert {partial.media_type for partial in partials} == {image.media_type}
    assert {shown(partial).size for partial in partials} == {(400, 300)}
    assert {shown(partial).mode for partial in partials} == {shown(image).mode}


async def test_a_picture_is_the_same_with_and_without_partial_images(generator: SketchImageGenerator) -> None:
    request = GenerationRequest(prompt="a meadow", size="200x200")
    image = await generator.generate(msgspec.structs.replace(request, partial_images=2))

    assert image == await generator.generate(request)


async def test_the_generator_takes_a_break_after_each_partial_image() -> None:
    generator = SketchImageGenerator(pause=0.2)
    times: list[float] = []

    async def on_partial(partial: PartialImage) -> None:
        times.append(asyncio.get_running_loop().time())

    await generator.generate(
        GenerationRequest(prompt="a meadow", size="64x64", partial_images=2), on_partial=on_partial
    )
    assert times[1] - times[0] >= 0.2
    await generator.close()
