"""Thumbnails of new images: made in the background, after what is requested, at no cost to any image."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID, uuid4

import msgspec
import pytest

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.pictures.pillow.variant_maker import PillowVariantMaker
from pixyproxy.application import CreateImage, DeleteImage, GetImageVariant, PrepareThumbnails
from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.errors import ContentStoreError, DamagedContentError, GenerationRefusedError
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import ContentDigest, StoredContent
from pixyproxy.domain.user import ANONYMOUS, Principal
from pixyproxy.domain.variant import Variant, VariantFormat, VariantName, VariantPolicy, thumbnail_of
from tests.factories import GeneratingImageFactory, UnknownImageFactory
from tests.images import eventually, held, refusal
from tests.unit.application.test_recover_images import store_picture
from tests.use_cases import LIGHTHOUSE, recover_images_of, with_parts

THUMBNAIL = thumbnail_of(VariantPolicy())
WEBP = Variant(format=VariantFormat.WEBP, width=64)


class HeldVariantMaker(PillowVariantMaker):
    """Finishes as many variants as it may; `is_busy` while it makes one."""

    def __init__(self) -> None:
        super().__init__()
        self.may_end = asyncio.Semaphore(0)
        self.is_busy = False

    async def make(self, content: StoredContent, variant: Variant) -> bytes:
        made = await super().make(content, variant)
        self.is_busy = True
        await self.may_end.acquire()
        self.is_busy = False
        return made

    def let_go(self, count: int = 1_000) -> None:
        for _ in range(count):
            self.may_end.release()


class Studio(msgspec.Struct, frozen=True, kw_only=True):
    """A service that prepares the thumbnails of at most three waiting images, and its parts."""

    images: InMemoryImageRepository
    contents: InMemoryContentStore
    maker: HeldVariantMaker
    get_image_variant: GetImageVariant
    prepare_thumbnails: PrepareThumbnails
    create_image: CreateImage
    errors: list[Exception]

    async def create(self) -> Image:
        return (await self.create_image(LIGHTHOUSE, principal=ANONYMOUS)).image

    async def until_busy(self) -> None:
        async def is_busy() -> bool:
            return self.maker.is_busy

        await eventually(is_busy)

    async def until_made(self, *guids: UUID) -> None:
        """Return when each of the images has its thumbnail."""
        for guid in guids:
            image = await self.images.get(guid)
            name = THUMBNAIL.name_for(image.ready_content.sha256)

            async def is_made(key: ContentKey = image.content_key, name: VariantName = name) -> bool:
                return await self.contents.find_variant(key, name) is not None

            await eventually(is_made)


@pytest.fixture
async def studio(
    create_image: CreateImage, images: InMemoryImageRepository, contents: InMemoryContentStore
) -> AsyncIterator[Studio]:
    errors: list[Exception] = []
    maker = HeldVariantMaker()
    get_image_variant = GetImageVariant(images=images, contents=contents, variants=contents, maker=maker)
    prepare_thumbnails = PrepareThumbnails(
        images=images,
        get_image_variant=get_image_variant,
        max_waiting=3,
        on_error=lambda _, error: errors.append(error),
    )
    async with prepare_thumbnails.running():
        yield Studio(
            images=images,
            contents=contents,
            maker=maker,
            get_image_variant=get_image_variant,
            prepare_thumbnails=prepare_thumbnails,
            create_image=with_parts(create_image, on_ready=prepare_thumbnails),
            errors=errors,
        )


async def settle() -> None:
    """Let what could go on do so."""
    await asyncio.sleep(0.02)


async def test_a_new_image_gets_its_thumbnail_after_the_answer(studio: Studio) -> None:
    image = await studio.create()
    await studio.until_busy()
    studio.maker.let_go()
    await studio.until_made(image.guid)


async def test_a_request_finds_the_thumbnail_that_was_prepared(studio: Studio) -> None:
    studio.maker.let_go()
    image = await studio.create()
    await studio.until_made(image.guid)
    await studio.get_image_variant(image, THUMBNAIL, ANONYMOUS)
    assert studio.maker.made == [THUMBNAIL]


async def test_a_request_for_a_thumbnail_that_is_being_made_shares_the_run(studio: Studio) -> None:
    image = await studio.create()
    await studio.until_busy()
    asked = asyncio.create_task(studio.get_image_variant(image, THUMBNAIL, ANONYMOUS))
    await settle()
    studio.maker.let_go()
    await asked
    assert studio.maker.made == [THUMBNAIL]


async def test_a_recovered_image_gets_its_thumbnail(studio: Studio, create_image: CreateImage) -> None:
    studio.maker.let_go()
    now = create_image.clock.now()
    abandoned = await held(studio.images, GeneratingImageFactory.build())
    late = await studio.images.add(UnknownImageFactory.build(updated_at=now))
    for image in (abandoned, late):
        await store_picture(studio.contents, image)
    recover_images = recover_images_of(create_image, studio.images, studio.contents, on_ready=studio.prepare_thumbnails)
    assert await recover_images() == 2
    await studio.until_made(abandoned.guid, late.guid)


async def test_an_image_that_failed_gets_no_thumbnail(
    create_image: CreateImage,
    generator: InMemoryImageGenerator,
    images: InMemoryImageRepository,
    contents: InMemoryContentStore,
) -> None:
    ready: list[UUID] = []
    generator.fail_next(refusal())
    with pytest.raises(GenerationRefusedError):
        await with_parts(create_image, on_ready=ready.append)(LIGHTHOUSE, principal=ANONYMOUS)
    await held(images, GeneratingImageFactory.build())
    assert await recover_images_of(create_image, images, contents, on_ready=ready.append)() == 1
    assert ready == []


async def test_thumbnails_are_made_one_after_the_other(studio: Studio) -> None:
    for _ in range(3):
        await studio.create()
    for count in (1, 2, 3):
        await studio.until_busy()
        await settle()
        assert len(studio.maker.made) == count
        studio.maker.let_go(1)
        await settle()


async def test_variants_that_are_requested_go_first(studio: Studio, create_image: CreateImage) -> None:
    async def ask() -> asyncio.Task[ContentDigest]:
        image = (await create_image(LIGHTHOUSE, principal=ANONYMOUS)).image
        return asyncio.create_task(studio.get_image_variant(image, WEBP, ANONYMOUS))

    asked = [await ask() for _ in range(2)]
    await studio.until_busy()
    new = await studio.create()
    await settle()
    asked.append(await ask())
    await settle()
    studio.maker.let_go()
    await asyncio.gather(*asked)
    await studio.until_made(new.guid)
    assert studio.maker.made == [WEBP, WEBP, WEBP, THUMBNAIL]


async def test_of_too_many_images_the_oldest_are_left_to_requests(studio: Studio) -> None:
    first = await studio.create()
    await studio.until_busy()
    later = [await studio.create() for _ in range(5)]
    studio.maker.let_go()
    await studio.until_made(first.guid, *(image.guid for image in later[-3:]))
    await settle()
    assert len(studio.maker.made) == 4


async def test_an_error_is_reported_once_and_the_next_image_gets_its_thumbnail(studio: Studio) -> None:
    studio.maker.let_go()
    failures: Sequence[Exception] = [
        DamagedContentError("It is damaged."),
        ContentStoreError("It is full."),
        RuntimeError("a bug"),
    ]
    studio.maker.fail_next(*failures)
    for _ in failures:
        await studio.create()
    last = await studio.create()
    await studio.until_made(last.guid)
    assert studio.errors == failures


async def test_nothing_is_left_of_an_image_that_is_deleted_before_its_turn_or_meanwhile(
    studio: Studio, admin: Principal
) -> None:
    delete_image = DeleteImage(images=studio.images, deletions=studio.images, contents=studio.contents)
    images = [await studio.create() for _ in range(2)]
    await studio.until_busy()
    for image in images:
        await delete_image(image.guid, admin)
    last = await studio.create()
    studio.maker.let_go()
    await studio.until_made(last.guid)
    assert [key async for key in studio.contents.keys_of_variants()] == [last.content_key]
    assert studio.errors == []


async def test_the_end_waits_for_no_thumbnail(studio: Studio, create_image: CreateImage) -> None:
    prepare_thumbnails = PrepareThumbnails(images=studio.images, get_image_variant=studio.get_image_variant)
    create = with_parts(create_image, on_ready=prepare_thumbnails)
    async with asyncio.timeout(10):
        async with prepare_thumbnails.running():
            for _ in range(2):
                await create(LIGHTHOUSE, principal=ANONYMOUS)
            await studio.until_busy()
    # Ignored after the end.
    prepare_thumbnails(uuid4())
    studio.maker.let_go()
    await settle()
    assert len(studio.maker.made) == 1
