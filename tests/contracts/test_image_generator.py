"""The contract of `ImageGenerator`."""

import asyncio
import io
import re
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import msgspec
import pytest
from PIL import Image

from pixyproxy.adapters.memory.image_generator import PICTURE, InMemoryImageGenerator, Script
from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.adapters.openai.models import MODELS
from pixyproxy.adapters.pictures import inspection
from pixyproxy.adapters.pictures.inspection import inspect_picture
from pixyproxy.adapters.pictures.picture import MAX_PIXELS
from pixyproxy.adapters.sketch import encoding
from pixyproxy.adapters.sketch.image_generator import SketchImageGenerator
from pixyproxy.domain.capabilities import ModelCapabilities
from pixyproxy.domain.errors import (
    ContentNotFoundError,
    ContentStoreError,
    DataValidationError,
    GenerationError,
    GenerationFailedError,
)
from pixyproxy.domain.generation_request import (
    COMPRESSED_FORMATS,
    OUTPUT_FORMATS,
    SIZE_MAX_PIXELS,
    TRANSPARENT,
    GenerationRequest,
    parse_size,
)
from pixyproxy.domain.generation_result import GenerationResult
from pixyproxy.domain.ports import ImageGenerator, InputPicture, InputPictures, OnPartial, PartialImage, StoredContent
from pixyproxy.domain.reference import Reference, Upload
from tests.doubles.openai_server import OpenAIServer
from tests.input_pictures import input_picture
from tests.odd_pictures import encoded, gradient


@asynccontextmanager
async def in_memory() -> AsyncIterator[ImageGenerator]:
    yield InMemoryImageGenerator()


@asynccontextmanager
async def sketch() -> AsyncIterator[ImageGenerator]:
    yield SketchImageGenerator(pause=0)


@asynccontextmanager
async def openai() -> AsyncIterator[ImageGenerator]:
    async with OpenAIServer() as server:
        yield OpenAIImageGenerator(
            api_key=server.api_key or "",
            base_url=server.base_url,
            models=[*MODELS, "house-model"],
            size="256x256",
            quality="low",
        )


class Partials:
    """The bytes of the partial images that were handed over."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    async def __call__(self, partial: PartialImage) -> None:
        self.received.append(partial.data)


REQUEST: Final = GenerationRequest(prompt="a red fox")
GENERATORS: Final = {"memory": in_memory, "sketch": sketch, "openai": openai}


@pytest.fixture(params=GENERATORS)
async def generator(request: pytest.FixtureRequest) -> AsyncIterator[ImageGenerator]:
    async with GENERATORS[request.param]() as made:
        yield made
        await made.close()


async def test_the_result_is_the_picture_that_it_is_said_to_be(generator: ImageGenerator) -> None:
    image = await generator.generate(GenerationRequest(prompt="a red fox"))
    found = inspect_picture(image.data)

    assert (image.media_type, image.width, image.height) == (found.media_type, found.width, found.height)


@pytest.mark.parametrize("text", ["x", "🦊" * 32_000, "שלום עולם", "\u0085a\u2028b", '"}{[[', "../../etc/passwd"])
async def test_any_prompt_that_the_domain_allows_is_drawn(generator: ImageGenerator, text: str) -> None:
    image = await generator.generate(GenerationRequest(prompt=text))

    assert image.data


async def test_the_model_has_a_name_that_can_be_recorded(generator: ImageGenerator) -> None:
    assert 1 <= len(generator.capabilities().default) <= 255


def options_of(model: ModelCapabilities) -> Iterator[dict[str, Any]]:
    """Yield one option at a time, for each value that the model names."""
    yield {}
    names = ("size", "quality", "background", "output_format", "moderation")
    values = (model.sizes, model.qualities, model.backgrounds, model.output_formats, model.moderations)
    for name, allowed in zip(names, values, strict=True):
        yield from ({name: value} for value in allowed)
    reference = Reference(guid=UUID(int=1))
    references = {"references": (reference,) * model.max_references}
    if model.max_references:
        yield references
        yield from ({**references, "input_fidelity": value} for value in model.input_fidelities)
    if model.has_mask:
        yield {**references, "mask": reference}
    yield from ({"partial_images": count} for count in range(model.max_partial_images + 1))
    if model.has_compression:
        yield from ({"output_format": name, "output_compression": 50} for name in COMPRESSED_FORMATS)


async def test_the_default_is_one_of_the_models(generator: ImageGenerator) -> None:
    capabilities = generator.capabilities()

    ids = [model.id for model in capabilities.models]
    assert capabilities.default in ids
    assert len(set(ids)) == len(ids)
    assert capabilities.model_for(GenerationRequest(prompt="a red fox")).id == capabilities.default


async def test_each_value_that_a_model_names_is_taken(generator: ImageGenerator) -> None:
    capabilities = generator.capabilities()

    for model in capabilities.models:
        for options in options_of(model):
            request = GenerationRequest(prompt="a red fox", model=model.id, **options).normalized()
            assert capabilities.ensure_takes(request) == model


async def test_each_default_is_a_value_that_the_model_takes(generator: ImageGenerator) -> None:
    for model in generator.capabilities().models:
        model.ensure_takes(msgspec.structs.replace(GenerationRequest(prompt="a red fox"), **model.defaults))


async def test_no_size_is_larger_than_what_is_taken_as_a_picture(generator: ImageGenerator) -> None:
    for model in generator.capabilities().models:
        sizes = [sides for size in model.sizes if (sides := parse_size(size))]
        if model.size_range is not None:
            sizes.append((model.size_range.max_pixels, 1))
        assert all(width * height <= SIZE_MAX_PIXELS for width, height in sizes)
    assert SIZE_MAX_PIXELS <= MAX_PIXELS


async def test_several_images_can_be_asked_for_at_once(generator: ImageGenerator) -> None:
    images = await asyncio.gather(
        *(generator.generate(GenerationRequest(prompt=f"fox {number}")) for number in range(5))
    )

    assert all(inspect_picture(image.data) for image in images)


async def test_usage_is_an_account_or_nothing(generator: ImageGenerator) -> None:
    image = await generator.generate(GenerationRequest(prompt="a red fox"))

    assert image.usage is None or image.usage["total_tokens"] > 0


async def test_the_name_of_the_attempt_can_be_recorded_or_is_nothing(generator: ImageGenerator) -> None:
    image = await generator.generate(GenerationRequest(prompt="a red fox"))

    assert image.request_id is None or re.fullmatch(r"[ -~]{1,255}", image.request_id)


async def test_giving_up_leaves_a_generator_that_still_draws(generator: ImageGenerator) -> None:
    given_up = asyncio.create_task(generator.generate(GenerationRequest(prompt="never mind")))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)

    assert (await generator.generate(GenerationRequest(prompt="a red fox"))).data


async def test_closing_is_possible_before_anything_was_drawn_and_twice(generator: ImageGenerator) -> None:
    await generator.close()
    await generator.close()


@pytest.mark.parametrize("generator", ["sketch"], indirect=True)
@pytest.mark.parametrize("size", ["16x16", "640x360", "2000x2000", "500x8000"])
async def test_a_size_that_is_taken_is_the_size_of_the_picture(generator: ImageGenerator, size: str) -> None:
    request = GenerationRequest(prompt="a red fox", size=size)
    generator.capabilities().ensure_takes(request)
    image = await generator.generate(request)

    assert f"{image.width}x{image.height}" == size
    assert image.result is not None
    assert image.result.size == size


@pytest.mark.parametrize("generator", ["sketch"], indirect=True)
@pytest.mark.parametrize("size", ["15x1024", "8193x16", "2001x2000", "4000x4000"])
async def test_other_sizes_are_refused(generator: ImageGenerator, size: str) -> None:
    with pytest.raises(DataValidationError) as raised:
        generator.capabilities().ensure_takes(GenerationRequest(prompt="a red fox", size=size))
    assert raised.value.field == "size"


@pytest.mark.parametrize("generator", ["sketch"], indirect=True)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"output_format": "png", "background": "transparent"},
        {"output_format": "jpeg", "output_compression": 30},
        {"output_format": "jpeg", "background": "opaque", "quality": "low"},
        {"output_format": "webp", "background": "transparent", "output_compression": 0},
        {"output_format": "webp", "background": "auto", "quality": "high"},
    ],
    ids=str,
)
async def test_a_picture_is_as_its_request_and_its_result_say(
    generator: ImageGenerator, options: dict[str, Any]
) -> None:
    request = GenerationRequest(prompt="a red fox", size="320x200", **options)
    generator.capabilities().ensure_takes(request)
    image = await generator.generate(request)
    found = inspect_picture(image.data)
    alpha = Image.open(io.BytesIO(image.data)).convert("RGBA").getchannel("A")
    is_transparent = options.get("background") == TRANSPARENT

    assert image.media_type is found.media_type is OUTPUT_FORMATS[options.get("output_format", "png")]
    assert alpha.getextrema() == ((0, 255) if is_transparent else (255, 255))
    assert image.result == GenerationResult(
        model="sketch",
        size="320x200",
        quality=options.get("quality", "medium"),
        background="transparent" if is_transparent else "opaque",
        output_format=options.get("output_format", "png"),
    )


# Partial images


async def test_as_many_partial_images_come_as_were_asked_for_and_each_can_be_drawn(generator: ImageGenerator) -> None:
    model = generator.capabilities().model_for(REQUEST)
    assert model.max_partial_images > 0

    for count in range(model.max_partial_images + 1):
        partials: list[PartialImage] = []
        image = await generator.generate(with_partials(count), on_partial=keeper(partials))
        assert len(partials) == count
        assert all(partial.media_type is inspect_picture(partial.data).media_type for partial in partials)
        assert inspect_picture(image.data).media_type is image.media_type


async def test_partial_images_are_handed_over_one_at_a_time(generator: ImageGenerator) -> None:
    running: list[PartialImage] = []
    most: list[int] = []

    async def on_partial(partial: PartialImage) -> None:
        running.append(partial)
        most.append(len(running))
        await asyncio.sleep(0.01)
        running.pop()

    await generator.generate(with_partials(2), on_partial=on_partial)

    assert most == [1, 1]
    assert running == []


async def test_partial_images_that_are_ignored_cost_nothing(generator: ImageGenerator) -> None:
    assert (await generator.generate(with_partials(2))).data


async def test_giving_up_during_a_partial_image_leaves_a_generator_that_still_draws(generator: ImageGenerator) -> None:
    came = asyncio.Event()

    async def on_partial(partial: PartialImage) -> None:
        came.set()
        await asyncio.sleep(60)

    given_up = asyncio.create_task(generator.generate(with_partials(1), on_partial=on_partial))
    await asyncio.wait_for(came.wait(), 30)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up

    assert (await generator.generate(with_partials(1))).data


# Edits


async def test_as_many_references_are_taken_as_the_model_says(generator: ImageGenerator) -> None:
    model = generator.capabilities().model_for(REQUEST)
    assert model.max_references > 0

    for pictures in (edit_of(1), edit_of(model.max_references), edit_of(2, has_mask=model.has_mask)):
        image = await generator.generate(request_for(pictures), pictures=pictures)
        assert inspect_picture(image.data).media_type is image.media_type


async def test_an_edit_has_partial_images_too(generator: ImageGenerator) -> None:
    partials: list[PartialImage] = []
    pictures = edit_of(2, has_mask=True)
    request = msgspec.structs.replace(request_for(pictures), partial_images=2)
    image = await generator.generate(request, pictures=pictures, on_partial=keeper(partials))

    assert image.data
    assert len(partials) == 2


async def test_the_same_pictures_can_be_used_again(generator: ImageGenerator) -> None:
    pictures = edit_of(2, has_mask=True)
    images = [await generator.generate(request_for(pictures), pictures=pictures) for _ in range(2)]

    assert all(image.data for image in images)


@pytest.mark.parametrize("generator", ["sketch", "openai"], indirect=True)
@pytest.mark.parametrize("error", [ContentNotFoundError("It is gone."), ContentStoreError("The disk is full.")])
@pytest.mark.parametrize("is_mask", [False, True])
async def test_a_picture_that_can_not_be_read_is_an_unbilled_failure(
    generator: ImageGenerator, error: ContentStoreError, is_mask: bool
) -> None:
    async def fail() -> StoredContent:
        raise error

    good = edit_of(2, has_mask=True)
    bad = msgspec.structs.replace(good.references[1], open=fail)
    if is_mask:
        assert good.mask is not None
        pictures = msgspec.structs.replace(good, mask=msgspec.structs.replace(good.mask, open=fail))
    else:
        pictures = msgspec.structs.replace(good, references=[good.references[0], bad])

    with pytest.raises(GenerationError) as raised:
        await generator.generate(request_for(pictures), pictures=pictures)
    assert not raised.value.maybe_billed
    assert raised.value.quarantine is None


def with_partials(count: int) -> GenerationRequest:
    return msgspec.structs.replace(REQUEST, partial_images=count)


def keeper(partials: list[PartialImage]) -> OnPartial:
    """Return what puts the partial images into the list."""

    async def on_partial(partial: PartialImage) -> None:
        partials.append(partial)

    return on_partial


def edit_of(count: int, *, has_mask: bool = False) -> InputPictures:
    """Return this number of references of several formats and sizes, and a mask of the size of the first."""
    formats = ("png", "jpeg", "webp")
    references = [
        input_picture(encoded(gradient(64 + 16 * number, 48), formats[number % len(formats)]))
        for number in range(count)
    ]
    mask = input_picture(encoded(Image.new("RGBA", (64, 48), (0, 0, 0, 0)), "png"))
    return InputPictures(references=references, mask=mask if has_mask else None)


def request_for(pictures: InputPictures) -> GenerationRequest:
    """Return the request for an edit of uploads."""

    def to_upload(picture: InputPicture) -> Reference:
        return Reference.to_upload(Upload(filename=picture.filename, content=picture.content))

    return msgspec.structs.replace(
        REQUEST,
        references=tuple(map(to_upload, pictures.references)),
        mask=None if pictures.mask is None else to_upload(pictures.mask),
    ).normalized()


@pytest.mark.parametrize("generator", ["sketch", "openai"], indirect=True)
async def test_pictures_are_worked_on_outside_of_the_event_loop(
    generator: ImageGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    for module, name in ((inspection, "first_frame"), (encoding, "encoded")):
        original = getattr(module, name)

        def spy(*args: object, original: object = original) -> object:
            threads.append(threading.current_thread())
            return original(*args)  # type: ignore[operator]

        monkeypatch.setattr(module, name, spy)
    await generator.generate(GenerationRequest(prompt="a red fox"))

    assert threads
    assert threading.current_thread() not in threads


async def test_the_errors_of_the_in_memory_generator_come_in_their_order_and_then_end() -> None:
    generator = InMemoryImageGenerator()
    errors = [GenerationFailedError("one", maybe_billed=True), GenerationFailedError("two", maybe_billed=False)]
    generator.fail_next(*errors)

    for error in errors:
        with pytest.raises(GenerationError) as raised:
            await generator.generate(GenerationRequest(prompt="a red fox"))
        assert raised.value is error
    assert (await generator.generate(GenerationRequest(prompt="a blue fox"))).data
    assert [request.prompt for request in generator.requests] == ["a red fox", "a red fox", "a blue fox"]


async def test_the_in_memory_generator_hands_over_as_many_partial_images_as_the_request_asks_for() -> None:
    partials = Partials()

    await InMemoryImageGenerator().generate(GenerationRequest(prompt="a fox", partial_images=2), on_partial=partials)

    assert partials.received == [PICTURE, PICTURE]


async def test_a_script_tells_the_in_memory_generator_what_to_do_with_the_next_request_that_matches() -> None:
    generator, partials = InMemoryImageGenerator(), Partials()
    error = GenerationFailedError("It is broken.", maybe_billed=True)
    generator.script(Script(partials=[b"one", b"two"], error=error), match=lambda request: "fox" in request.prompt)
    generator.script(Script(partials=[b"first"]), Script(delay=0.05))

    await generator.generate(GenerationRequest(prompt="a hen", size="64x64"), on_partial=partials)
    with pytest.raises(GenerationFailedError):
        await generator.generate(GenerationRequest(prompt="a fox"), on_partial=partials)
    started_at = time.monotonic()
    await generator.generate(GenerationRequest(prompt="a fox"), on_partial=partials)

    assert time.monotonic() - started_at >= 0.05
    assert partials.received == [b"first", b"one", b"two"]
    assert generator.requests[0] == GenerationRequest(prompt="a hen", size="64x64")
    assert [request.prompt for request in generator.requests] == ["a hen", "a fox", "a fox"]


@pytest.mark.parametrize("module", ["memory", "sketch", "openai"])
def test_importing_a_generator_does_not_import_the_openai_package(module: str) -> None:
    code = f"import pixyproxy.adapters.{module}.image_generator, sys; assert 'openai' not in sys.modules"

    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
