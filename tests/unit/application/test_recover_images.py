"""Recovering images that other processes abandoned."""

import asyncio
import dataclasses
import itertools
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.pictures.pillow.content_inspector import PillowContentInspector
from pixyproxy.application import RecoverImages
from pixyproxy.application.generations import Generations
from pixyproxy.application.lease_watch import LeaseWatch
from pixyproxy.application.partial_images import PartialImages
from pixyproxy.domain.content import ContentKey, partial_key_of
from pixyproxy.domain.errors import ContentStoreError
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import LATE, Image, ImageStatus
from pixyproxy.domain.ports import ClaimOutcome, Clock, ContentDigest, StoredContent, chunks_of
from tests.factories import GeneratingImageFactory, PendingImageFactory, UnknownImageFactory
from tests.images import OTHER, SECOND, held


class RepeatableGenerator(InMemoryImageGenerator):
    """Draws at no cost."""

    @property
    def is_repeatable(self) -> bool:
        return True


@pytest.fixture
def recover_images(
    images: InMemoryImageRepository,
    contents: InMemoryContentStore,
    generator: InMemoryImageGenerator,
    clock: InMemoryClock,
) -> RecoverImages:
    return RecoverImages(
        images=images,
        leases=images,
        queue=images,
        contents=contents,
        quarantine=contents,
        inspector=PillowContentInspector(),
        generator=generator,
        clock=clock,
        lease_watch=LeaseWatch(seconds=0),
        owner="this process",
    )


async def abandoned(images: InMemoryImageRepository, *, is_begun: bool) -> Image:
    """Store an image whose process is gone."""
    return await held(images, (GeneratingImageFactory if is_begun else PendingImageFactory).build())


async def store_picture(contents: InMemoryContentStore, image: Image) -> ContentDigest:
    picture = await InMemoryImageGenerator().generate(GenerationRequest(prompt="a"))
    return await contents.put(image.content_key, chunks_of(picture.data))


async def waiting(images: InMemoryImageRepository) -> list[UUID]:
    return list(await images.list_next(since=datetime.min.replace(tzinfo=UTC), limit=1_000))


async def test_an_image_that_was_not_begun_waits_again(
    recover_images: RecoverImages, images: InMemoryImageRepository
) -> None:
    image = await abandoned(images, is_begun=False)
    assert await waiting(images) == []
    assert await recover_images() == 1
    assert await waiting(images) == [image.guid]
    assert await images.get(image.guid) == image


async def test_an_interrupted_image_that_costs_nothing_waits_again(
    recover_images: RecoverImages, images: InMemoryImageRepository
) -> None:
    generator = RepeatableGenerator()
    image = await held(images, GeneratingImageFactory.build(model=generator.capabilities().default))
    assert await dataclasses.replace(recover_images, generator=generator)() == 1
    assert (await images.get(image.guid)).status is ImageStatus.PENDING
    assert await waiting(images) == [image.guid]


async def test_an_image_of_which_its_process_dies_again_and_again_is_given_up(
    recover_images: RecoverImages, images: InMemoryImageRepository
) -> None:
    generator = RepeatableGenerator()
    recover_images = dataclasses.replace(recover_images, generator=generator)
    image = await held(images, GeneratingImageFactory.build(model=generator.capabilities().default))
    attempts = 1
    while await recover_images() and (await images.get(image.guid)).status is ImageStatus.PENDING:
        attempts += 1
        assert await images.claim(image.guid, owner=OTHER) is ClaimOutcome.CLAIMED
        pending = await images.get(image.guid)
        await images.update(pending.started(at=pending.updated_at), expected=ImageStatus.PENDING)
    assert attempts == 3
    assert (await images.get(image.guid)).status is ImageStatus.UNKNOWN


async def test_an_interrupted_image_of_another_generator_is_not_repeated(
    recover_images: RecoverImages, images: InMemoryImageRepository
) -> None:
    image = await held(images, GeneratingImageFactory.build(model="a model that costs"))
    assert await dataclasses.replace(recover_images, generator=RepeatableGenerator())() == 1
    assert (await images.get(image.guid)).status is ImageStatus.UNKNOWN


async def test_an_image_that_costs_nothing_and_has_its_bytes_is_not_repeated(
    recover_images: RecoverImages, images: InMemoryImageRepository, contents: InMemoryContentStore
) -> None:
    generator = RepeatableGenerator()
    image = await held(images, GeneratingImageFactory.build(model=generator.capabilities().default))
    await store_picture(contents, image)
    await dataclasses.replace(recover_images, generator=generator)()
    assert (await images.get(image.guid)).status is ImageStatus.READY


async def test_an_image_that_has_waited_for_a_day_has_failed_and_cost_nothing(
    recover_images: RecoverImages, images: InMemoryImageRepository, clock: InMemoryClock
) -> None:
    old = await images.add(PendingImageFactory.build(created_at=clock.now() - LATE - SECOND))
    young = await images.add(PendingImageFactory.build(created_at=clock.now() - LATE + timedelta(minutes=1)))
    assert await recover_images() == 1
    failure = (await images.get(old.guid)).failure
    assert failure is not None
    assert (failure.kind, failure.maybe_billed) == ("GenerationNotStartedError", False)
    assert await waiting(images) == [young.guid]


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


async def test_an_image_whose_lease_is_renewed_is_left_alone_whatever_the_clocks_say(
    recover_images: RecoverImages, images: InMemoryImageRepository
) -> None:
    now = 0.0
    recover_images = dataclasses.replace(recover_images, lease_watch=LeaseWatch(seconds=15, monotonic=lambda: now))
    image = await abandoned(images, is_begun=True)
    for _ in range(10):
        assert await recover_images() == 0
        now += 7
        await images.renew(image.guid, OTHER)
    for step in (7, 7, 0.9):
        assert await recover_images() == 0
        now += step
    assert await recover_images() == 0
    now += 0.1
    assert await recover_images() == 1
    assert (await images.get(image.guid)).status is ImageStatus.UNKNOWN


async def test_while_the_database_is_away_no_lease_ends(
    recover_images: RecoverImages, images: InMemoryImageRepository
) -> None:
    now = 0.0
    recover_images = dataclasses.replace(recover_images, lease_watch=LeaseWatch(seconds=15, monotonic=lambda: now))
    image = await abandoned(images, is_begun=True)
    assert await recover_images() == 0
    now += 60
    assert await recover_images() == 0
    now += 7
    await images.renew(image.guid, OTHER)
    for step in (7, 7, 0.9):
        assert await recover_images() == 0
        now += step
    assert (await images.get(image.guid)).status is ImageStatus.GENERATING


async def test_an_image_that_is_given_up_needs_no_wait(
    recover_images: RecoverImages, images: InMemoryImageRepository
) -> None:
    recover_images = dataclasses.replace(recover_images, lease_watch=LeaseWatch(seconds=1_000))
    image = await abandoned(images, is_begun=True)
    await images.give_back(image.guid, OTHER)
    assert await recover_images() == 1
    assert (await images.get(image.guid)).status is ImageStatus.UNKNOWN


async def test_an_image_of_this_process_is_left_alone_even_if_its_lease_is_over(
    recover_images: RecoverImages, images: InMemoryImageRepository
) -> None:
    generations = Generations()
    recover_images = dataclasses.replace(recover_images, generations=generations, batch=1)
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
    assert len(await waiting(images)) == 125
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
    await asyncio.gather(
        *(dataclasses.replace(recover_images, lease_watch=LeaseWatch(seconds=0), owner=name)() for name in "abc")
    )
    statuses = [(await images.get(guid)).status for guid in guids]
    assert statuses == [ImageStatus.PENDING, ImageStatus.READY, ImageStatus.UNKNOWN] * 10


async def test_a_store_that_does_not_answer_decides_nothing_and_holds_up_no_other_image(
    recover_images: RecoverImages, images: InMemoryImageRepository
) -> None:
    stuck, fine = [await abandoned(images, is_begun=True) for _ in range(2)]

    class HalfReadableContentStore(InMemoryContentStore):
        async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
            if key == stuck.content_key:
                raise ContentStoreError("The disk has an error.")
            return await super().open(key, start=start, end=end)

    contents = HalfReadableContentStore()
    recover_images = dataclasses.replace(recover_images, contents=contents, quarantine=contents, batch=1)
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


async def test_an_unknown_image_is_looked_at_less_and_less_often(
    recover_images: RecoverImages, contents: InMemoryContentStore, clock: InMemoryClock
) -> None:
    now = clock.now()
    images = InMemoryImageRepository(lambda: now)
    looks: list[timedelta] = []
    image = await images.add(UnknownImageFactory.build(updated_at=now))
    started = now

    class WatchedContentStore(InMemoryContentStore):
        async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
            looks.append(now - started)
            return await super().open(key, start=start, end=end)

    class Present(Clock):
        def now(self) -> datetime:
            return now

    recover_images = dataclasses.replace(
        recover_images, images=images, leases=images, queue=images, contents=WatchedContentStore(), clock=Present()
    )
    for _ in range(2 * 24 * 60):
        await recover_images()
        now += timedelta(minutes=1)
    pauses = [after - before for before, after in itertools.pairwise(looks)]
    assert pauses[:4] == [timedelta(minutes=minutes) for minutes in (1, 1, 2, 4)]
    assert pauses == sorted(pauses)
    assert max(pauses) == timedelta(hours=1)
    assert max(looks) <= LATE
    assert (await images.get(image.guid)).status is ImageStatus.UNKNOWN


async def test_an_unknown_image_is_looked_at_by_one_of_two_processes(
    recover_images: RecoverImages, images: InMemoryImageRepository, clock: InMemoryClock
) -> None:
    await images.add(UnknownImageFactory.build(updated_at=clock.now()))
    looks = []

    class WatchedContentStore(InMemoryContentStore):
        async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
            looks.append(key)
            return await super().open(key, start=start, end=end)

    contents = WatchedContentStore()
    await asyncio.gather(*(dataclasses.replace(recover_images, contents=contents, owner=name)() for name in "ab"))
    assert len(looks) == 1


async def test_the_partial_images_of_a_recovered_image_are_deleted(
    recover_images: RecoverImages, images: InMemoryImageRepository
) -> None:
    area = InMemoryContentStore()
    partials = PartialImages(contents=area, inspector=PillowContentInspector())
    request = GenerationRequest(prompt="a fox", partial_images=2)
    image = await images.add(GeneratingImageFactory.build(request=request))
    living = await held(images, GeneratingImageFactory.build(request=request))
    for each in (image, living):
        for position in range(2):
            await area.put(partial_key_of(each.guid, position), chunks_of(b"picture"))

    recover_images = dataclasses.replace(recover_images, lease_watch=LeaseWatch(seconds=60), partials=partials)
    assert await recover_images() == 1

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
