"""Generating an image and keeping it."""

import asyncio
import dataclasses
import hashlib
from collections.abc import AsyncIterable, Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application import CreateImage, GetImage, ListImages
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    ContentNotFoundError,
    ContentStoreError,
    DataValidationError,
    DBConnectionError,
    GenerationError,
    GenerationRefusedError,
    GenerationTimedOutError,
    PixyProxyException,
    RecordNotFoundError,
)
from pixyproxy.domain.image import ContentKey, Image, ImageScope, ImageStatus, MediaType, Prompt, Visibility
from pixyproxy.domain.ports import ContentReceipt, GeneratedImage, GuidSource
from pixyproxy.domain.user import ANONYMOUS, Principal

GUID = UUID("0b6f1c1e-5d0e-4a39-9f43-5c8d3f6f2b11")
OTHER = UUID("b2b0d8a8-6f5b-4e0f-8b5c-0f4c9f0e7a51")


class OneGuid(GuidSource):
    """Hands out the one guid that the tests look for."""

    def new(self) -> UUID:
        return GUID


class LookingGenerator(InMemoryImageGenerator):
    """Looks around while it draws."""

    def __init__(self, look: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self._look = look

    async def generate(self, prompt: Prompt) -> GeneratedImage:
        await self._look()
        return await super().generate(prompt)


class SpendingGenerator(InMemoryImageGenerator):
    """Draws 2 MiB of a WebP and says what it has spent."""

    async def generate(self, prompt: Prompt) -> GeneratedImage:
        return GeneratedImage(
            data=bytes(range(256)) * 8192, media_type=MediaType.WEBP, width=640, height=480, usage={"total_tokens": 42}
        )


class BrokenContentStore(InMemoryContentStore):
    """Fails in the middle of a content."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentReceipt:
        async for _ in chunks:
            raise self._error
        raise AssertionError("there was nothing to store")


class FullContentStore(InMemoryContentStore):
    """Says beforehand that it can't write."""

    async def check(self) -> None:
        raise ContentStoreError("The content store is full.")


class StuckContentStore(InMemoryContentStore):
    """Never comes to the end of a content."""

    def __init__(self) -> None:
        super().__init__()
        self.is_storing = asyncio.Event()

    async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentReceipt:
        self.is_storing.set()
        await asyncio.Event().wait()
        return await super().put(key, chunks)


class BrokenImageRepository(InMemoryImageRepository):
    """Adds images and then fails to change them."""

    def __init__(self, error: PixyProxyException) -> None:
        super().__init__()
        self._error = error

    async def update(self, image: Image, *, expected: ImageStatus) -> None:
        raise self._error


class UnreachableImageRepository(InMemoryImageRepository):
    """Takes no image."""

    async def add(self, image: Image) -> Image:
        raise DBConnectionError("The database does not answer.")


@pytest.fixture
def create_image(create_image: CreateImage) -> CreateImage:
    return dataclasses.replace(create_image, guids=OneGuid())


async def assert_failed_and_never_shown(images: InMemoryImageRepository, contents: InMemoryContentStore) -> Image:
    """Return the failed image after having made sure that nothing of it can be seen."""
    image = await images.get(GUID)
    assert image.status is ImageStatus.FAILED
    assert image.content is None
    for scope in ImageScope:
        with pytest.raises(RecordNotFoundError):
            await GetImage(images=images)(GUID, Principal(name=image.author), scope)
    assert (await ListImages(images=images)(ANONYMOUS)).images == []
    with pytest.raises(ContentNotFoundError):
        await contents.open(image.content_key)
    return image


async def test_a_created_image_is_ready_and_described(create_image: CreateImage, ann: Principal) -> None:
    create_image = dataclasses.replace(create_image, generator=SpendingGenerator())
    image = await create_image(
        prompt="  A lighthouse at dusk ", tags=["sea"], visibility=Visibility.PRIVATE, principal=ann
    )
    assert image.guid == GUID
    assert image.status is ImageStatus.READY
    assert image.prompt == "A lighthouse at dusk"
    assert image.filename == f"a-lighthouse-at-dusk-{GUID}.webp"
    assert image.tags == ("sea",)
    assert image.author == "ann"
    assert image.visibility is Visibility.PRIVATE
    assert image.model == "in-memory"
    assert image.usage == {"total_tokens": 42}
    assert image.failure is None
    assert image.content is not None
    assert msgspec.structs.asdict(image.content) == {
        "media_type": MediaType.WEBP,
        "byte_size": 2 * 1024 * 1024,
        "sha256": hashlib.sha256(bytes(range(256)) * 8192).hexdigest(),
        "width": 640,
        "height": 480,
    }


async def test_what_is_returned_is_what_is_stored(create_image: CreateImage, ann: Principal) -> None:
    image = await create_image(prompt="a lighthouse", tags=["sea"], principal=ann)
    assert image.id is not None
    assert image == await create_image.images.get(GUID)


async def test_the_stored_content_is_what_the_generator_drew(
    create_image: CreateImage, contents: InMemoryContentStore
) -> None:
    create_image = dataclasses.replace(create_image, generator=SpendingGenerator())
    image = await create_image(prompt="a lighthouse", principal=ANONYMOUS)
    stored = await contents.open(image.content_key)
    assert b"".join([chunk async for chunk in stored.chunks]) == bytes(range(256)) * 8192


async def test_the_times_are_those_of_the_request_and_of_the_completion(create_image: CreateImage) -> None:
    create_image = dataclasses.replace(create_image, clock=InMemoryClock(step=timedelta(seconds=20)))
    image = await create_image(prompt="a lighthouse", principal=ANONYMOUS)
    assert image.updated_at - image.created_at == timedelta(seconds=20)


async def test_a_pending_image_is_stored_before_the_generator_is_called(
    create_image: CreateImage, images: InMemoryImageRepository, ann: Principal
) -> None:
    seen: list[Image] = []

    async def look() -> None:
        seen.append(await images.get(GUID))
        with pytest.raises(RecordNotFoundError):
            await GetImage(images=images)(GUID, ann)

    create_image = dataclasses.replace(create_image, generator=LookingGenerator(look))
    await create_image(prompt="a lighthouse", tags=["sea"], principal=ann)
    [pending] = seen
    assert pending.status is ImageStatus.PENDING
    assert (pending.prompt, pending.tags, pending.author) == ("a lighthouse", ("sea",), "ann")


async def test_the_content_is_stored_before_the_image_is_ready(
    create_image: CreateImage, contents: InMemoryContentStore
) -> None:
    class LookingRepository(InMemoryImageRepository):
        async def update(self, image: Image, *, expected: ImageStatus) -> None:
            assert (await contents.open(image.content_key)).byte_size > 0
            await super().update(image, expected=expected)

    images = LookingRepository()
    await dataclasses.replace(create_image, images=images)(prompt="a lighthouse", principal=ANONYMOUS)
    assert (await images.get(GUID)).status is ImageStatus.READY


async def test_an_image_is_public_unless_it_is_asked_to_be_private(create_image: CreateImage, ann: Principal) -> None:
    assert (await create_image(prompt="a lighthouse", principal=ann)).visibility is Visibility.PUBLIC


async def test_an_anonymous_image_has_no_author(create_image: CreateImage) -> None:
    assert (await create_image(prompt="a lighthouse", principal=ANONYMOUS)).author is None


async def test_the_generator_gets_the_trimmed_prompt(
    create_image: CreateImage, generator: InMemoryImageGenerator
) -> None:
    await create_image(prompt="\n a lighthouse ", principal=ANONYMOUS)
    assert generator.prompts == ["a lighthouse"]


@pytest.mark.parametrize(
    ("prompt", "tags", "visibility"),
    [
        (" ", [], Visibility.PUBLIC),
        ("x" * 32_001, [], Visibility.PUBLIC),
        ("a", ["b", "b"], Visibility.PUBLIC),
        ("a", [""], Visibility.PUBLIC),
        ("a", [], Visibility.PRIVATE),
    ],
)
async def test_bad_input_buys_nothing_and_leaves_no_record(
    create_image: CreateImage,
    generator: InMemoryImageGenerator,
    prompt: str,
    tags: list[str],
    visibility: Visibility,
) -> None:
    with pytest.raises(DataValidationError):
        await create_image(prompt=prompt, tags=tags, visibility=visibility, principal=ANONYMOUS)
    assert generator.prompts == []
    with pytest.raises(RecordNotFoundError):
        await create_image.images.get(GUID)


async def test_nothing_is_bought_while_the_database_does_not_answer(
    create_image: CreateImage, generator: InMemoryImageGenerator
) -> None:
    create_image = dataclasses.replace(create_image, images=UnreachableImageRepository())
    with pytest.raises(DBConnectionError):
        await create_image(prompt="a lighthouse", principal=ANONYMOUS)
    assert generator.prompts == []


@pytest.mark.parametrize(
    "error",
    [
        GenerationRefusedError("The generator will not draw this.", maybe_billed=False),
        GenerationTimedOutError("The generator did not answer in time.", maybe_billed=True),
    ],
)
async def test_a_failed_generation_leaves_a_failed_record_with_the_reason(
    create_image: CreateImage,
    images: InMemoryImageRepository,
    contents: InMemoryContentStore,
    generator: InMemoryImageGenerator,
    error: GenerationError,
) -> None:
    generator.fail_next(error)
    with pytest.raises(type(error)) as caught:
        await create_image(prompt="a lighthouse", principal=ANONYMOUS)
    assert caught.value is error
    failed = await assert_failed_and_never_shown(images, contents)
    assert failed.failure == error.detail
    assert failed.updated_at > failed.created_at


async def test_a_content_store_that_fails_leaves_a_failed_record_with_the_reason(
    create_image: CreateImage, images: InMemoryImageRepository, ann: Principal
) -> None:
    contents = BrokenContentStore(ContentStoreError("The content store is full."))
    with pytest.raises(ContentStoreError, match="full"):
        await dataclasses.replace(create_image, contents=contents)(prompt="a lighthouse", principal=ann)
    failed = await assert_failed_and_never_shown(images, contents)
    assert failed.failure == "The content store is full."


async def test_what_can_not_be_kept_is_not_bought(
    create_image: CreateImage, images: InMemoryImageRepository, generator: InMemoryImageGenerator
) -> None:
    contents = FullContentStore()
    with pytest.raises(ContentStoreError, match="full"):
        await dataclasses.replace(create_image, contents=contents)(prompt="a lighthouse", principal=ANONYMOUS)
    assert generator.prompts == []
    failed = await assert_failed_and_never_shown(images, contents)
    assert failed.failure == "The content store is full."


async def test_an_unexpected_error_is_recorded_without_its_text(
    create_image: CreateImage, images: InMemoryImageRepository, ann: Principal
) -> None:
    contents = BrokenContentStore(RuntimeError("password=hunter2"))
    with pytest.raises(RuntimeError):
        await dataclasses.replace(create_image, contents=contents)(prompt="a lighthouse", principal=ann)
    failed = await assert_failed_and_never_shown(images, contents)
    assert failed.failure == "internal error: RuntimeError"


async def test_a_database_that_fails_after_the_content_is_stored_leaves_both_for_recovery(
    create_image: CreateImage, contents: InMemoryContentStore
) -> None:
    images = BrokenImageRepository(DBConnectionError("The database does not answer."))
    with pytest.raises(DBConnectionError):
        await dataclasses.replace(create_image, images=images)(prompt="a lighthouse", principal=ANONYMOUS)
    pending = await images.get(GUID)
    assert pending.status is ImageStatus.PENDING
    assert (await contents.open(pending.content_key)).byte_size > 0
    assert (await ListImages(images=images)(ANONYMOUS)).images == []


@pytest.mark.parametrize(
    "second",
    [
        DBConnectionError("The database does not answer."),
        ConstraintViolationError("The image has been changed by somebody else."),
        RecordNotFoundError("There is no image."),
    ],
)
async def test_the_client_hears_of_the_generation_even_if_its_failure_can_not_be_recorded(
    create_image: CreateImage, generator: InMemoryImageGenerator, second: PixyProxyException
) -> None:
    generator.fail_next(GenerationRefusedError("The generator will not draw this.", maybe_billed=False))
    images = BrokenImageRepository(second)
    with pytest.raises(GenerationRefusedError):
        await dataclasses.replace(create_image, images=images)(prompt="a lighthouse", principal=ANONYMOUS)
    assert (await images.get(GUID)).status is ImageStatus.PENDING


async def test_an_image_that_somebody_else_has_given_up_does_not_become_ready(
    create_image: CreateImage, images: InMemoryImageRepository
) -> None:
    async def give_up() -> None:
        pending = await images.get(GUID)
        await images.update(pending.failed("given up", at=pending.created_at), expected=ImageStatus.PENDING)

    with pytest.raises(ConstraintViolationError):
        await dataclasses.replace(create_image, generator=LookingGenerator(give_up))(prompt="a", principal=ANONYMOUS)
    assert (await images.get(GUID)).failure == "given up"


async def test_a_cancelled_generation_leaves_a_pending_record_and_no_content(
    create_image: CreateImage, images: InMemoryImageRepository, contents: InMemoryContentStore
) -> None:
    is_drawing = asyncio.Event()

    async def draw_for_ever() -> None:
        is_drawing.set()
        await asyncio.Event().wait()

    create_image = dataclasses.replace(create_image, generator=LookingGenerator(draw_for_ever))
    running = asyncio.create_task(create_image(prompt="a lighthouse", principal=ANONYMOUS))
    await is_drawing.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    pending = await images.get(GUID)
    assert pending.status is ImageStatus.PENDING
    with pytest.raises(ContentNotFoundError):
        await contents.open(pending.content_key)


async def test_cancelling_while_the_content_is_stored_leaves_a_pending_record(
    create_image: CreateImage, images: InMemoryImageRepository
) -> None:
    contents = StuckContentStore()
    running = asyncio.create_task(
        dataclasses.replace(create_image, contents=contents)(prompt="a lighthouse", principal=ANONYMOUS)
    )
    await contents.is_storing.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await images.get(GUID)).status is ImageStatus.PENDING


async def test_a_guid_that_is_taken_buys_nothing(create_image: CreateImage, generator: InMemoryImageGenerator) -> None:
    first = await create_image(prompt="a lighthouse", principal=ANONYMOUS)
    with pytest.raises(ConstraintViolationError):
        await create_image(prompt="another", principal=ANONYMOUS)
    assert generator.prompts == ["a lighthouse"]
    assert await create_image.images.get(GUID) == first


async def test_one_failed_generation_does_not_touch_another_image(
    create_image: CreateImage, generator: InMemoryImageGenerator
) -> None:
    first = await create_image(prompt="a lighthouse", principal=ANONYMOUS)

    class OtherGuid(GuidSource):
        def new(self) -> UUID:
            return OTHER

    generator.fail_next(GenerationRefusedError("No.", maybe_billed=False))
    with pytest.raises(GenerationRefusedError):
        await dataclasses.replace(create_image, guids=OtherGuid())(prompt="another", principal=ANONYMOUS)
    assert await create_image.images.get(GUID) == first
    assert (await create_image.images.get(OTHER)).status is ImageStatus.FAILED
