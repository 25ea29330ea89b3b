"""Variants of images: access, the number of drawings, and their storage."""

import asyncio
import dataclasses
import hashlib
import io
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import msgspec
import pytest
from PIL import Image as Bitmap

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.pictures.pillow.variant_maker import PillowVariantMaker
from pixyproxy.application import ChangeImage, CreateImage, DeleteImage, GetImageVariant
from pixyproxy.application.single_flight import SingleFlight
from pixyproxy.domain.content import ContentKey, MediaType
from pixyproxy.domain.errors import (
    ContentNotFoundError,
    ContentStoreError,
    DamagedContentError,
    DataValidationError,
    DBConnectionError,
    OverloadedError,
    RecordNotFoundError,
)
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageChanges, ImageScope, Visibility
from pixyproxy.domain.ports import ContentDigest, StoredContent
from pixyproxy.domain.user import ANONYMOUS, Principal
from pixyproxy.domain.variant import Variant, VariantFormat, VariantName, VariantPolicy
from tests.factories import ImageFactory
from tests.use_cases import LIGHTHOUSE

WEBP = Variant(format=VariantFormat.WEBP, width=64)


class HaltingVariantMaker(PillowVariantMaker):
    """Makes nothing before it may, and does something else meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.may_end = asyncio.Event()
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def make(self, content: StoredContent, variant: Variant) -> bytes:
        made = await super().make(content, variant)
        if self.meanwhile is not None:
            await self.meanwhile()
        await self.may_end.wait()
        return made


class BlindContentStore(InMemoryContentStore):
    """Wraps another store, and finds no variant at the first look."""

    def __init__(self, other: InMemoryContentStore) -> None:
        super().__init__()
        self._contents, self._variants = other._contents, other._variants
        self._looks = 0

    async def find_variant(self, key: ContentKey, name: VariantName) -> ContentDigest | None:
        self._looks += 1
        return None if self._looks == 1 else await super().find_variant(key, name)


@pytest.fixture
async def halting_maker() -> HaltingVariantMaker:
    return HaltingVariantMaker()


@pytest.fixture
def maker(halting_maker: HaltingVariantMaker) -> HaltingVariantMaker:
    """A maker that may."""
    halting_maker.may_end.set()
    return halting_maker


@pytest.fixture
def get_image_variant(
    images: InMemoryImageRepository, contents: InMemoryContentStore, halting_maker: HaltingVariantMaker
) -> GetImageVariant:
    return GetImageVariant(images=images, contents=contents, variants=contents, maker=halting_maker)


@pytest.fixture
def change_image(images: InMemoryImageRepository, clock: InMemoryClock) -> ChangeImage:
    return ChangeImage(images=images, clock=clock)


@pytest.fixture
def delete_image(images: InMemoryImageRepository, contents: InMemoryContentStore) -> DeleteImage:
    return DeleteImage(images=images, deletions=images, contents=contents)


@pytest.fixture
async def image(create_image: CreateImage, ann: Principal) -> Image:
    return (await create_image(LIGHTHOUSE, principal=ann)).image


def both_ways(get_image_variant: GetImageVariant) -> tuple[Callable[..., Awaitable[object]], ...]:
    """Return the two ways to ask for a variant, with the same arguments."""

    async def open_it(image: Image, variant: Variant, *who: Any) -> object:
        return await get_image_variant.open(image, variant, ContentDigest(1, 64 * "0"), *who)

    return get_image_variant, open_it


async def read(content: StoredContent) -> bytes:
    return b"".join([chunk async for chunk in content.chunks])


async def some_bytes() -> AsyncIterator[bytes]:
    yield b"bytes"


async def settle() -> None:
    """Let all tasks run until they wait for worker threads."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_variant_has_the_requested_size_and_format(
    get_image_variant: GetImageVariant, image: Image, maker: HaltingVariantMaker
) -> None:
    digest = await get_image_variant(image, WEBP, ANONYMOUS)
    content = await get_image_variant.open(image, WEBP, digest, ANONYMOUS)
    data = await read(content)
    assert digest == ContentDigest(len(data), hashlib.sha256(data).hexdigest())
    assert content.byte_size == len(data)
    assert Bitmap.open(io.BytesIO(data)).format == "WEBP"
    assert maker.made == [WEBP]


async def test_a_part_of_a_variant_can_be_read(
    get_image_variant: GetImageVariant, image: Image, maker: HaltingVariantMaker
) -> None:
    digest = await get_image_variant(image, WEBP, ANONYMOUS)
    content = await get_image_variant.open(image, WEBP, digest, ANONYMOUS, start=8, end=12)
    assert await read(content) == b"WEBP"


async def test_a_variant_is_made_once_for_each_image_and_each_look(
    get_image_variant: GetImageVariant, create_image: CreateImage, image: Image, maker: HaltingVariantMaker
) -> None:
    other = (await create_image(GenerationRequest(prompt="another lighthouse"), principal=ANONYMOUS)).image
    png = Variant(format=VariantFormat.PNG)
    for _ in range(2):
        for each in (image, other):
            for variant in (WEBP, png):
                await get_image_variant(each, variant, ANONYMOUS)
    assert maker.made == [WEBP, png, WEBP, png]


async def test_fifty_concurrent_requests_draw_once(
    get_image_variant: GetImageVariant, image: Image, halting_maker: HaltingVariantMaker
) -> None:
    tasks = [asyncio.create_task(get_image_variant(image, WEBP, ANONYMOUS)) for _ in range(50)]
    await settle()
    halting_maker.may_end.set()
    digests = await asyncio.gather(*tasks)
    assert len(set(digests)) == 1
    assert halting_maker.made == [WEBP]


async def test_a_cancelled_waiter_does_not_stop_the_others(
    get_image_variant: GetImageVariant, image: Image, halting_maker: HaltingVariantMaker
) -> None:
    first, second = (asyncio.create_task(get_image_variant(image, WEBP, ANONYMOUS)) for _ in range(2))
    await settle()
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled()
    halting_maker.may_end.set()
    assert (await second).byte_size
    assert halting_maker.made == [WEBP]


async def test_a_request_during_the_storing_draws_no_second_variant(
    get_image_variant: GetImageVariant, contents: InMemoryContentStore, image: Image, maker: HaltingVariantMaker
) -> None:
    late = GetImageVariant(
        images=get_image_variant.images,
        contents=contents,
        variants=BlindContentStore(contents),
        maker=maker,
    )
    await get_image_variant(image, WEBP, ANONYMOUS)
    await late(image, WEBP, ANONYMOUS)
    assert maker.made == [WEBP]


async def test_all_waiters_get_a_failure_and_the_next_request_tries_again(
    get_image_variant: GetImageVariant, image: Image, maker: HaltingVariantMaker
) -> None:
    maker.fail_next(ContentStoreError("The content store does not work."))
    tasks = [asyncio.create_task(get_image_variant(image, WEBP, ANONYMOUS)) for _ in range(3)]
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(outcome, ContentStoreError)
    assert (await get_image_variant(image, WEBP, ANONYMOUS)).byte_size


async def test_a_failed_drawing_is_not_repeated_for_each_request(
    get_image_variant: GetImageVariant, image: Image, maker: HaltingVariantMaker
) -> None:
    get_image_variant = dataclasses.replace(get_image_variant, policy=VariantPolicy(sides=None))
    maker.fail_next(DamagedContentError("The SVG picture takes too long to be drawn."))
    png = Variant(format=VariantFormat.PNG, width=64)
    for variant in (WEBP, WEBP, png):
        with pytest.raises(DamagedContentError, match="takes too long to be drawn"):
            await get_image_variant(image, variant, ANONYMOUS)
    assert maker.made == [WEBP]
    smaller = Variant(format=VariantFormat.WEBP, width=4)
    assert (await get_image_variant(image, smaller, ANONYMOUS)).byte_size
    assert maker.made == [WEBP, smaller]


async def test_variants_that_wait_while_another_one_fails_are_not_drawn_either(
    get_image_variant: GetImageVariant, image: Image, halting_maker: HaltingVariantMaker
) -> None:
    one_by_one = dataclasses.replace(get_image_variant, variant_flight=SingleFlight[ContentDigest](max_running=1))

    async def fail() -> None:
        await halting_maker.may_end.wait()
        raise DamagedContentError("The SVG picture takes too long to be drawn.")

    halting_maker.meanwhile = fail
    sizes = (64, 128, 256, 512)
    tasks = [
        asyncio.create_task(one_by_one(image, Variant(format=VariantFormat.PNG, width=size), ANONYMOUS))
        for size in sizes
    ]
    await settle()
    halting_maker.may_end.set()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(outcome, DamagedContentError)
    assert [variant.width for variant in halting_maker.made] == [64]


async def test_another_content_of_the_same_image_is_tried(
    get_image_variant: GetImageVariant, image: Image, maker: HaltingVariantMaker
) -> None:
    maker.fail_next(DamagedContentError("The picture is damaged or incomplete."))
    with pytest.raises(DamagedContentError):
        await get_image_variant(image, WEBP, ANONYMOUS)
    restored = msgspec.structs.replace(image.ready_content, sha256="0" * 64)
    assert (await get_image_variant(msgspec.structs.replace(image, content=restored), WEBP, ANONYMOUS)).byte_size


async def test_a_slow_svg_holds_up_no_bitmap(
    get_image_variant: GetImageVariant,
    images: InMemoryImageRepository,
    contents: InMemoryContentStore,
    image: Image,
    maker: HaltingVariantMaker,
) -> None:
    slow = HaltingVariantMaker()
    variant_flight = SingleFlight[ContentDigest](max_running=1)
    drawing = dataclasses.replace(get_image_variant, maker=slow, variant_flight=variant_flight)
    svg = msgspec.structs.replace(image.ready_content, media_type=MediaType.SVG)
    tasks = [
        asyncio.create_task(drawing(msgspec.structs.replace(image, content=svg), WEBP, ANONYMOUS)) for _ in range(3)
    ]
    await settle()
    png = Variant(format=VariantFormat.PNG)
    quick = dataclasses.replace(
        get_image_variant, maker=maker, variant_flight=variant_flight, drawing_flight=drawing.drawing_flight
    )
    assert (await quick(image, png, ANONYMOUS)).byte_size
    assert not any(task.done() for task in tasks)
    slow.may_end.set()
    await asyncio.gather(*tasks)


async def test_too_many_variants_at_once_are_turned_away_but_not_those_that_are_there(
    get_image_variant: GetImageVariant, image: Image, halting_maker: HaltingVariantMaker
) -> None:
    busy = GetImageVariant(
        images=get_image_variant.images,
        contents=get_image_variant.contents,
        variants=get_image_variant.variants,
        maker=halting_maker,
        variant_flight=SingleFlight(max_running=1, max_waiting=0),
    )
    halting_maker.may_end.set()
    there = await busy(image, Variant(format=VariantFormat.PNG), ANONYMOUS)
    halting_maker.may_end.clear()
    running = asyncio.create_task(busy(image, WEBP, ANONYMOUS))
    await settle()
    with pytest.raises(OverloadedError):
        await busy(image, Variant(format=VariantFormat.AVIF), ANONYMOUS)
    assert await busy(image, Variant(format=VariantFormat.PNG), ANONYMOUS) == there
    halting_maker.may_end.set()
    await running


async def test_a_variant_that_the_policy_does_not_allow_is_not_made(
    get_image_variant: GetImageVariant, image: Image, maker: HaltingVariantMaker
) -> None:
    asked = Variant(format=VariantFormat.WEBP, width=65)
    for ask in both_ways(get_image_variant):
        with pytest.raises(DataValidationError, match="64"):
            await ask(image, asked, ANONYMOUS)
    generous = GetImageVariant(
        images=get_image_variant.images,
        contents=get_image_variant.contents,
        variants=get_image_variant.variants,
        maker=maker,
        policy=VariantPolicy(sides=None),
    )
    assert maker.made == []
    await generous(image, asked, ANONYMOUS)
    assert maker.made == [asked]


async def test_only_the_author_gets_a_variant_of_a_private_image(
    get_image_variant: GetImageVariant,
    create_image: CreateImage,
    maker: HaltingVariantMaker,
    ann: Principal,
    bob: Principal,
) -> None:
    image = (await create_image(LIGHTHOUSE, visibility=Visibility.PRIVATE, principal=ann)).image
    assert (await get_image_variant(image, WEBP, ann, ImageScope.OWN)).byte_size
    for principal, scope in ((ANONYMOUS, ImageScope.PUBLIC), (bob, ImageScope.PUBLIC), (bob, ImageScope.OWN)):
        for ask in both_ways(get_image_variant):
            with pytest.raises(RecordNotFoundError):
                await ask(image, WEBP, principal, scope)


async def test_an_image_that_becomes_private_meanwhile_is_shown_to_its_author_alone(
    get_image_variant: GetImageVariant,
    change_image: ChangeImage,
    image: Image,
    maker: HaltingVariantMaker,
    ann: Principal,
) -> None:
    maker.meanwhile = lambda: change_image(image.guid, ann, ImageChanges(visibility=Visibility.PRIVATE))
    asked = ((ANONYMOUS, ImageScope.PUBLIC), (ann, ImageScope.OWN))
    stranger, author = await asyncio.gather(
        *(get_image_variant(image, WEBP, principal, scope) for principal, scope in asked), return_exceptions=True
    )
    assert isinstance(stranger, RecordNotFoundError)
    assert isinstance(author, ContentDigest)


async def test_of_an_image_that_is_deleted_meanwhile_nothing_is_left(
    get_image_variant: GetImageVariant,
    delete_image: DeleteImage,
    image: Image,
    maker: HaltingVariantMaker,
    ann: Principal,
) -> None:
    maker.meanwhile = lambda: delete_image(image.guid, ann)
    with pytest.raises(RecordNotFoundError):
        await get_image_variant(image, WEBP, ANONYMOUS)
    assert isinstance(get_image_variant.variants, InMemoryContentStore)
    assert [key async for key in get_image_variant.variants.keys_of_variants()] == []


async def test_a_content_that_is_stored_again_meanwhile_is_left_alone(
    get_image_variant: GetImageVariant,
    delete_image: DeleteImage,
    image: Image,
    maker: HaltingVariantMaker,
    ann: Principal,
) -> None:
    async def delete_and_import() -> None:
        await delete_image(image.guid, ann)
        await get_image_variant.contents.put(image.content_key, some_bytes())

    maker.meanwhile = delete_and_import
    with pytest.raises(RecordNotFoundError):
        await get_image_variant(image, WEBP, ANONYMOUS)
    assert await read(await get_image_variant.contents.open(image.content_key)) == b"bytes"


async def test_of_an_image_that_is_gone_there_is_no_variant(
    get_image_variant: GetImageVariant,
    delete_image: DeleteImage,
    image: Image,
    maker: HaltingVariantMaker,
    ann: Principal,
) -> None:
    await delete_image(image.guid, ann)
    for ask in both_ways(get_image_variant):
        with pytest.raises(RecordNotFoundError):
            await ask(image, WEBP, ANONYMOUS)
    assert maker.made == []


async def test_a_variant_that_was_replaced_meanwhile_is_not_taken_for_the_one_that_was_found(
    get_image_variant: GetImageVariant, contents: InMemoryContentStore, image: Image, maker: HaltingVariantMaker
) -> None:
    digest = await get_image_variant(image, WEBP, ANONYMOUS)
    await contents.put_variant(image.content_key, WEBP.name_for(image.ready_content.sha256), some_bytes())
    with pytest.raises(ContentStoreError, match="replaced"):
        await get_image_variant.open(image, WEBP, digest, ANONYMOUS)


async def test_no_variant_is_left_if_it_is_unknown_whether_the_image_was_deleted(
    image: Image, maker: HaltingVariantMaker, contents: InMemoryContentStore, get_image_variant: GetImageVariant
) -> None:
    class LostImages(InMemoryImageRepository):
        async def get(self, guid: UUID) -> Image:
            raise DBConnectionError("The database does not answer.")

    lost = dataclasses.replace(get_image_variant, images=LostImages())
    with pytest.raises(DBConnectionError):
        await lost(image, WEBP, ANONYMOUS)
    assert [key async for key in contents.keys_of_variants()] == []


async def test_a_broken_off_upload_of_a_variant_leaves_nothing(
    image: Image, maker: HaltingVariantMaker, images: InMemoryImageRepository, contents: InMemoryContentStore
) -> None:
    class LateContentStore(InMemoryContentStore):
        async def put_variant(self, key: ContentKey, name: VariantName, chunks: AsyncIterable[bytes]) -> ContentDigest:
            await super().put_variant(key, name, chunks)
            raise asyncio.CancelledError

    late = LateContentStore()
    late._contents = contents._contents
    with pytest.raises(asyncio.CancelledError):
        await GetImageVariant(images=images, contents=late, variants=late, maker=maker)(image, WEBP, ANONYMOUS)
    assert [key async for key in late.keys_of_variants()] == []


async def test_a_variant_that_was_tidied_away_is_made_again(
    get_image_variant: GetImageVariant, contents: InMemoryContentStore, image: Image, maker: HaltingVariantMaker
) -> None:
    digest = await get_image_variant(image, WEBP, ANONYMOUS)
    contents._variants.clear()
    data = await read(await get_image_variant.open(image, WEBP, digest, ANONYMOUS))
    assert hashlib.sha256(data).hexdigest() == digest.sha256
    assert maker.made == [WEBP, WEBP]


async def test_content_that_is_not_as_long_as_it_was_is_damaged(
    get_image_variant: GetImageVariant, contents: InMemoryContentStore, image: Image, maker: HaltingVariantMaker
) -> None:
    await contents.put(image.content_key, some_bytes())
    with pytest.raises(ContentStoreError, match="damaged"):
        await get_image_variant(image, WEBP, ANONYMOUS)
    assert maker.made == []


async def test_content_that_is_lost_is_an_error_of_the_store_and_not_an_unknown_image(
    get_image_variant: GetImageVariant, images: InMemoryImageRepository
) -> None:
    image = await images.add(ImageFactory.build())
    with pytest.raises(ContentNotFoundError):
        await get_image_variant(image, WEBP, ANONYMOUS)


async def test_the_variant_of_another_content_is_not_taken_for_that_of_this(
    get_image_variant: GetImageVariant, image: Image, maker: HaltingVariantMaker
) -> None:
    await get_image_variant(image, WEBP, ANONYMOUS)
    content = msgspec.structs.replace(image.ready_content, sha256="f" * 64)
    await get_image_variant(msgspec.structs.replace(image, content=content), WEBP, ANONYMOUS)
    assert maker.made == [WEBP, WEBP]
