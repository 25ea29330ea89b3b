"""Recovering images that other processes abandoned."""

import asyncio
import dataclasses

import pytest

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.pictures.pillow.content_inspector import PillowContentInspector
from pixyproxy.application import RecoverImages
from pixyproxy.application.generations import Generations
from pixyproxy.application.partial_images import PartialImages
from pixyproxy.domain.content import ContentKey, partial_key_of
from pixyproxy.domain.errors import ContentStoreError
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageStatus
from pixyproxy.domain.ports import ContentDigest, Lease, StoredContent, chunks_of
from tests.factories import GeneratingImageFactory, PendingImageFactory


@pytest.fixture
def recover_images(
    images: InMemoryImageRepository, contents: InMemoryContentStore, clock: InMemoryClock
) -> RecoverImages:
    return RecoverImages(
        images=images,
        leases=images,
        contents=contents,
        quarantine=contents,
        inspector=PillowContentInspector(),
        clock=clock,
    )


async def abandoned(images: InMemoryImageRepository, *, is_begun: bool, lease: Lease | None = None) -> Image:
    """Store an image that another process has abandoned."""
    image = await images.add(PendingImageFactory.build(), lease=lease)
    if is_begun:
        image = image.started(at=image.created_at)
        await images.update(image, expected=ImageStatus.PENDING)
    return image


async def store_picture(contents: InMemoryContentStore, image: Image) -> ContentDigest:
    picture = await InMemoryImageGenerator().generate(GenerationRequest(prompt="a"))
    return await contents.put(image.content_key, chunks_of(picture.data))


async def test_an_image_that_was_not_begun_has_failed_and_cost_nothing(
    recover_images: RecoverImages, images: InMemoryImageRepository
) -> None:
    image = await abandoned(images, is_begun=False)
    assert await recover_images() == 1
    recovered = await images.get(image.guid)
    assert recovered.status is ImageStatus.FAILED
    assert recovered.failure is not None
    assert recovered.failure.kind == "GenerationNotStartedError"
    assert not recovered.failure.maybe_billed


async def test_an_image_that_was_begun_and_has_no_bytes_is_unknown(
    recover_images: RecoverImages, images: InMemoryImageRepository
) -> None:
    image = await abandoned(images, is_begun=True)
    assert await recover_images() == 1
    recovered = await images.get(image.guid)
    assert recovered.status is ImageStatus.UNKNOWN
    assert recovered.failure is not None
    assert recovered.failure.kind == "GenerationAbandonedError"
    assert recovered.failure.maybe_billed


async def test_an_image_with_its_bytes_becomes_ready(
    recover_images: RecoverImages, images: InMemoryImageRepository, contents: InMemoryContentStore
) -> None:
    image = await abandoned(images, is_begun=True)
    digest = await store_picture(contents, image)
    assert await recover_images() == 1
    recovered = await images.get(image.guid)
    assert recovered.status is ImageStatus.READY
    assert recovered.filename.endswith(".png")
    assert recovered.content is not None
    assert (recovered.content.sha256, recovered.content.byte_size) == (digest.sha256, digest.byte_size)
    assert (recovered.content.width, recovered.content.height) == (8, 8)


async def test_bytes_that_are_no_picture_leave_it_unknown(
    recover_images: RecoverImages, images: InMemoryImageRepository, contents: InMemoryContentStore
) -> None:
    image = await abandoned(images, is_begun=True)

    async def rubbish() -> object:
        yield b"rubbish"

    await contents.put(image.content_key, rubbish())  # type: ignore[arg-type]
    await recover_images()
    assert (await images.get(image.guid)).status is ImageStatus.UNKNOWN


async def test_an_image_with_a_lease_is_left_alone(
    recover_images: RecoverImages, images: InMemoryImageRepository
) -> None:
    image = await abandoned(images, is_begun=True, lease=Lease(owner="another process", seconds=60))
    assert await recover_images() == 0
    assert await images.get(image.guid) == image


async def test_an_image_of_this_process_is_left_alone_even_if_its_lease_is_over(
    images: InMemoryImageRepository, contents: InMemoryContentStore, clock: InMemoryClock
) -> None:
    generations = Generations()
    recover_images = RecoverImages(
        images=images,
        leases=images,
        contents=contents,
        quarantine=contents,
        inspector=PillowContentInspector(),
        clock=clock,
        generations=generations,
        batch=1,
    )
    mine, others = [await abandoned(images, is_begun=True) for _ in range(2)]

    async def work() -> Image:
        await asyncio.Event().wait()
        return mine

    generations.start(mine.guid, work())
    assert await recover_images() == 1
    assert (await images.get(mine.guid)).status is ImageStatus.GENERATING
    assert (await images.get(others.guid)).status is ImageStatus.UNKNOWN
    await generations.close(0)


async def test_more_than_a_batch_is_recovered_in_one_go(
    recover_images: RecoverImages, images: InMemoryImageRepository
) -> None:
    for number in range(250):
        await abandoned(images, is_begun=number % 2 == 0)
    assert await recover_images() == 250
    assert await recover_images() == 0


async def test_two_that_recover_at_once_do_no_harm(
    recover_images: RecoverImages, images: InMemoryImageRepository, contents: InMemoryContentStore
) -> None:
    guids = []
    for number in range(30):
        image = await abandoned(images, is_begun=number % 3 != 0)
        if number % 3 == 1:
            await store_picture(contents, image)
        guids.append(image.guid)
    await asyncio.gather(recover_images(), recover_images(), recover_images())
    statuses = [(await images.get(guid)).status for guid in guids]
    assert statuses == [ImageStatus.FAILED, ImageStatus.READY, ImageStatus.UNKNOWN] * 10


async def test_a_store_that_does_not_answer_decides_nothing_and_holds_up_no_other_image(
    images: InMemoryImageRepository, clock: InMemoryClock
) -> None:
    stuck, fine = [await abandoned(images, is_begun=True) for _ in range(2)]

    class HalfReadableContentStore(InMemoryContentStore):
        async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
            if key == stuck.content_key:
                raise ContentStoreError("The disk has an error.")
            return await super().open(key, start=start, end=end)

    contents = HalfReadableContentStore()
    recover_images = RecoverImages(
        images=images,
        leases=images,
        contents=contents,
        quarantine=contents,
        inspector=PillowContentInspector(),
        clock=clock,
        batch=1,
    )
    with pytest.raises(ContentStoreError):
        await recover_images()
    assert await images.get(stuck.guid) == stuck
    assert (await images.get(fine.guid)).status is ImageStatus.UNKNOWN


async def test_bytes_that_turn_up_after_the_image_became_unknown_make_it_ready(
    recover_images: RecoverImages, images: InMemoryImageRepository, contents: InMemoryContentStore
) -> None:
    image = await abandoned(images, is_begun=True)
    await recover_images()
    await store_picture(contents, image)
    assert await recover_images() == 1
    assert (await images.get(image.guid)).status is ImageStatus.READY
    assert await recover_images() == 0


async def test_an_image_whose_lease_is_renewed_during_recovery_is_left_alone(
    images: InMemoryImageRepository, clock: InMemoryClock
) -> None:
    image = await abandoned(images, is_begun=True, lease=Lease(owner="slow", seconds=0))

    class WakingContentStore(InMemoryContentStore):
        async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
            await images.renew(image.guid, Lease(owner="slow", seconds=60))
            return await super().open(key, start=start, end=end)

    contents = WakingContentStore()
    recover_images = RecoverImages(
        images=images,
        leases=images,
        contents=contents,
        quarantine=contents,
        inspector=PillowContentInspector(),
        clock=clock,
    )
    assert await recover_images() == 0
    assert await images.get(image.guid) == image


async def test_the_partial_images_of_a_recovered_image_are_deleted(
    recover_images: RecoverImages, images: InMemoryImageRepository
) -> None:
    area = InMemoryContentStore()
    partials = PartialImages(contents=area, inspector=PillowContentInspector())
    request = GenerationRequest(prompt="a fox", partial_images=2)
    image = await images.add(GeneratingImageFactory.build(request=request))
    living = await images.add(GeneratingImageFactory.build(request=request), lease=Lease(owner="other", seconds=60))
    for each in (image, living):
        for position in range(2):
            await area.put(partial_key_of(each.guid, position), chunks_of(b"picture"))

    assert await dataclasses.replace(recover_images, partials=partials)() == 1

    keys = area.keys()
    assert [key async for key in keys] == [partial_key_of(living.guid, position) for position in range(2)]


async def test_partial_images_that_can_not_be_deleted_do_not_hold_up_the_recovery(
    recover_images: RecoverImages, images: InMemoryImageRepository
) -> None:
    class BrokenArea(InMemoryContentStore):
        async def delete(self, key: ContentKey) -> None:
            raise ContentStoreError(f"The store can't delete {key}.")

    partials = PartialImages(contents=BrokenArea(), inspector=PillowContentInspector())
    request = GenerationRequest(prompt="a fox", partial_images=2)
    for _ in range(3):
        await images.add(GeneratingImageFactory.build(request=request))

    assert await dataclasses.replace(recover_images, partials=partials)() == 3
