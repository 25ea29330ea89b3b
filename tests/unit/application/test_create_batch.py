"""Generating several images of one request."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application import CreateBatch, CreateImage, GetBatch
from pixyproxy.application.create_batch import CreatedBatch
from pixyproxy.application.dispatcher import DispatchPolicy
from pixyproxy.application.generate_image import GenerationPolicy
from pixyproxy.application.generations import Generations
from pixyproxy.domain.batch import BatchPlace
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    DataValidationError,
    DBConnectionError,
    GenerationAbandonedError,
    GenerationError,
    GenerationNotStartedError,
    GenerationRefusedError,
    GenerationTimedOutError,
    IdempotencyKeyInUseError,
    IdempotencyKeyReusedError,
    ImageDelayedError,
    OverloadedError,
    RecordNotFoundError,
)
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.idempotency import IdempotencyKey
from pixyproxy.domain.image import Image, ImageScope, ImageStatus, Visibility
from pixyproxy.domain.ports import ClaimOutcome, GeneratedImage
from pixyproxy.domain.user import ANONYMOUS, Principal
from tests.factories import PendingImageFactory
from tests.use_cases import FOX, recover_images_of, with_parts

KEY = IdempotencyKey("8e03978e-40d5-43dd-bc93-6894a57f9324")


def refused() -> GenerationError:
    return GenerationRefusedError("No.", maybe_billed=False)


def timed_out() -> GenerationError:
    return GenerationTimedOutError("It took too long.", maybe_billed=True)


class GatedGenerator(InMemoryImageGenerator):
    """Draws the first `free` requests, and the others when it is let."""

    def __init__(self, free: int = 0) -> None:
        super().__init__()
        self.may_draw = asyncio.Event()
        self._free = free

    async def generate(self, request: GenerationRequest, **kwargs: Any) -> GeneratedImage:
        self._free -= 1
        if self._free < 0:
            await self.may_draw.wait()
        return await super().generate(request)


class LosingImageRepository(InMemoryImageRepository):
    """Loses the database when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.is_lost = False

    async def list_batch(self, guid: UUID) -> Sequence[Image]:
        if self.is_lost:
            raise DBConnectionError("The database does not answer.")
        return await super().list_batch(guid)


def not_started() -> GenerationNotStartedError:
    return GenerationNotStartedError("It was not the image's turn.", maybe_billed=False)


async def die(create_image: CreateImage, images: InMemoryImageRepository) -> None:
    """End the process at once; nothing that it still does reaches the database."""
    create_image.dispatcher.stop()
    for lease in await images.list_leases(limit=100):
        await images.take_over(lease, "no process")
    await create_image.generations.close(0)


@pytest.fixture
def create_batch(create_image: CreateImage, images: InMemoryImageRepository) -> CreateBatch:
    return CreateBatch(create_image=create_image, batches=images)


def in_another_process(create_batch: CreateBatch, images: InMemoryImageRepository, **parts: Any) -> CreateBatch:
    """Return the use case of a process that shares nothing but the database."""
    other = with_parts(create_batch.create_image, images=images, generations=Generations(), **parts)
    return CreateBatch(create_image=other, batches=images)


async def crash(
    create_batch: CreateBatch, images: InMemoryImageRepository, ann: Principal, *, running: int, drawn: int
) -> CreatedBatch:
    """Return a batch of three whose process died after `running` were begun and `drawn` came; they are recovered."""
    crashing = in_another_process(
        create_batch,
        images,
        generator=GatedGenerator(drawn),
        dispatch=DispatchPolicy(max_running=running, max_waiting=3),
        policy=GenerationPolicy(owner="crashed"),
    )
    lost = await crashing(FOX, 3, principal=ann, idempotency_key=KEY, wait=0.05)
    await die(crashing.create_image, images)
    parts = crashing.create_image.dispatcher.generate_image
    contents = parts.contents
    assert isinstance(contents, InMemoryContentStore)
    recover_images = recover_images_of(crashing.create_image, images, contents)
    await recover_images()
    return lost


def statuses(created: CreatedBatch) -> list[ImageStatus]:
    return [image.status for image in created.images]


async def ended(generations: Generations, images: Sequence[Image]) -> None:
    """Return when this process makes none of the images any more."""
    async with asyncio.timeout(10):
        while any(image.guid in generations for image in images):  # noqa: ASYNC110 -- the generations tell no one
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("count", [1, 3, 10])
async def test_each_image_is_bought_by_itself_and_has_its_place(
    create_batch: CreateBatch,
    generator: InMemoryImageGenerator,
    contents: InMemoryContentStore,
    ann: Principal,
    count: int,
) -> None:
    created = await create_batch(FOX, count, tags=["a"], principal=ann)

    assert created.is_final
    assert not created.is_replay
    assert generator.requests == [FOX] * count
    assert [image.batch for image in created.images] == [
        BatchPlace(guid=created.guid, position=position, size=count) for position in range(count)
    ]
    assert len({image.guid for image in created.images}) == count
    for image in created.images:
        assert (image.status, image.tags, image.author) == (ImageStatus.READY, ("a",), "ann")
        assert (await contents.open(image.content_key)).byte_size == image.ready_content.byte_size
    assert await create_batch.batches.list_batch(created.guid) == created.images


@pytest.mark.parametrize("count", [-1, 0, 11, 10**30])
async def test_another_number_of_images_is_refused(
    create_batch: CreateBatch, generator: InMemoryImageGenerator, ann: Principal, count: int
) -> None:
    with pytest.raises(DataValidationError) as caught:
        await create_batch(FOX, count, principal=ann)
    assert caught.value.field == "n"
    assert generator.requests == []


async def test_without_room_for_all_none_is_bought_or_stored(
    create_batch: CreateBatch, generator: InMemoryImageGenerator, images: InMemoryImageRepository, ann: Principal
) -> None:
    create_batch = in_another_process(create_batch, images, dispatch=DispatchPolicy(max_running=1, max_waiting=3))
    model = generator.capabilities().default
    waiting = [await images.add(PendingImageFactory.build(author=ann.name, model=model)) for _ in range(2)]
    with pytest.raises(OverloadedError):
        await create_batch(FOX, 3, principal=ann, idempotency_key=KEY)
    assert await images.count() == 2
    assert await images.claim(waiting[0].guid, owner="another process") is ClaimOutcome.CLAIMED
    assert statuses(await create_batch(FOX, 3, principal=ann, idempotency_key=KEY)) == [ImageStatus.READY] * 3
    assert len(generator.requests) == 3


async def test_more_images_than_are_ever_admitted_break_a_rule(
    create_batch: CreateBatch, images: InMemoryImageRepository, ann: Principal
) -> None:
    create_batch = in_another_process(create_batch, images, dispatch=DispatchPolicy(max_running=1, max_waiting=1))
    with pytest.raises(DataValidationError, match="at most 2"):
        await create_batch(FOX, 3, principal=ann)
    assert await images.count() == 0


@pytest.mark.parametrize("failure", ["store", "cancel", "generator"])
async def test_all_places_are_free_again_whatever_happens(
    create_batch: CreateBatch, generator: InMemoryImageGenerator, ann: Principal, bob: Principal, failure: str
) -> None:
    class Unreachable(InMemoryImageRepository):
        async def add_batch(self, guid: UUID, images: Sequence[Image], **kwargs: Any) -> Sequence[Image]:
            if failure == "store":
                raise DBConnectionError("The database does not answer.")
            if failure == "cancel":
                await asyncio.Event().wait()
            return await super().add_batch(guid, images, **kwargs)

    create_batch = in_another_process(
        create_batch, Unreachable(), dispatch=DispatchPolicy(max_running=3, max_waiting=1)
    )
    if failure == "generator":
        generator.fail_next(refused(), timed_out(), RuntimeError("hunter2"))
    creating = asyncio.create_task(create_batch(FOX, 3, principal=ann))
    for _ in range(10):
        await asyncio.sleep(0)
    if failure == "cancel":
        creating.cancel()
    await asyncio.wait([creating])
    await create_batch.create_image.dispatcher.ensure_room(bob.name, 4)


async def test_one_that_fails_does_not_touch_the_others(
    create_batch: CreateBatch, generator: InMemoryImageGenerator, ann: Principal
) -> None:
    generator.fail_next(refused())
    created = await create_batch(FOX, 3, principal=ann)
    assert statuses(created) == [ImageStatus.FAILED, ImageStatus.READY, ImageStatus.READY]
    assert created.images == await create_batch.batches.list_batch(created.guid)


@pytest.mark.parametrize(
    ("errors", "maybe_billed"),
    [([refused(), refused()], False), ([refused(), timed_out()], True), ([timed_out(), refused()], True)],
)
async def test_if_none_comes_out_the_first_says_why_and_any_may_be_billed(
    create_batch: CreateBatch,
    generator: InMemoryImageGenerator,
    ann: Principal,
    errors: list[GenerationError],
    maybe_billed: bool,
) -> None:
    billed = [error.maybe_billed for error in errors]
    generator.fail_next(*errors)
    for attempt in range(2):
        with pytest.raises(type(errors[0])) as caught:
            await create_batch(FOX, 2, principal=ann, idempotency_key=KEY)
        assert caught.value.batch
        (first, second) = await create_batch.batches.list_batch(caught.value.batch)
        assert caught.value.guid == first.guid
        assert caught.value.maybe_billed is maybe_billed
        assert caught.value.is_replay is bool(attempt)
        assert first.failure
        assert second.failure
        assert [first.failure.maybe_billed, second.failure.maybe_billed] == billed
    assert len(generator.requests) == 2


async def test_the_wait_is_bounded_and_the_images_come_all_the_same(
    create_batch: CreateBatch, images: InMemoryImageRepository, ann: Principal
) -> None:
    generator = GatedGenerator(free=1)
    create_batch = in_another_process(create_batch, images, generator=generator, max_wait=0.05)
    with pytest.raises(ImageDelayedError) as caught:
        await create_batch(FOX, 3, principal=ann)
    assert caught.value.guid is None
    assert caught.value.batch
    some = await create_batch(FOX, 2, principal=ann, wait=0.0)
    assert not some.is_final
    generator.may_draw.set()
    begun = await images.list_batch(caught.value.batch)
    await ended(create_batch.create_image.generations, [*begun, *some.images])
    assert {image.status for image in await images.list_batch(caught.value.batch)} == {ImageStatus.READY}
    assert {image.status for image in await images.list_batch(some.guid)} == {ImageStatus.READY}


async def test_a_database_that_is_lost_meanwhile_leaves_the_client_with_the_batch(
    create_batch: CreateBatch, generator: InMemoryImageGenerator, ann: Principal
) -> None:
    images = LosingImageRepository()
    create_batch = in_another_process(create_batch, images)
    images.is_lost = True
    generator.fail_next(refused())
    with pytest.raises(ImageDelayedError) as caught:
        await create_batch(FOX, 2, principal=ann, idempotency_key=KEY)
    with pytest.raises(ImageDelayedError) as again:
        await create_batch(FOX, 2, principal=ann, idempotency_key=KEY)
    assert caught.value.batch == again.value.batch
    images.is_lost = False
    created = await create_batch(FOX, 2, principal=ann, idempotency_key=KEY)
    assert statuses(created) == [ImageStatus.FAILED, ImageStatus.READY]


class TestKey:
    """Asking for the same batch again."""

    async def test_the_same_key_gives_the_same_array_and_buys_nothing(
        self, create_batch: CreateBatch, generator: InMemoryImageGenerator, ann: Principal
    ) -> None:
        generator.fail_next(refused())
        first = await create_batch(FOX, 3, principal=ann, idempotency_key=KEY)
        for wait in (None, 0.0, 5.0):
            again = await create_batch(FOX, 3, principal=ann, idempotency_key=KEY, wait=wait)
            assert again == CreatedBatch(guid=first.guid, images=first.images, is_replay=True)
        assert len(generator.requests) == 3

    async def test_another_number_is_another_request(self, create_batch: CreateBatch, ann: Principal) -> None:
        await create_batch(FOX, 2, principal=ann, idempotency_key=KEY)
        for count in (1, 3):
            with pytest.raises(IdempotencyKeyReusedError):
                await create_batch(FOX, count, principal=ann, idempotency_key=KEY)

    async def test_a_batch_of_one_and_an_image_alone_are_different_requests(
        self, create_batch: CreateBatch, ann: Principal
    ) -> None:
        other = IdempotencyKey("another")
        await create_batch(FOX, 1, principal=ann, idempotency_key=KEY)
        with pytest.raises(IdempotencyKeyReusedError):
            await create_batch.create_image(FOX, principal=ann, idempotency_key=KEY)
        await create_batch.create_image(FOX, principal=ann, idempotency_key=other)
        with pytest.raises(IdempotencyKeyReusedError):
            await create_batch(FOX, 1, principal=ann, idempotency_key=other)

    async def test_without_an_author_the_number_is_part_of_the_key(
        self, create_batch: CreateBatch, generator: InMemoryImageGenerator
    ) -> None:
        two, three, again = [
            await create_batch(FOX, count, principal=ANONYMOUS, idempotency_key=KEY) for count in (2, 3, 2)
        ]
        assert again.images == two.images
        assert again.is_replay
        assert not three.is_replay
        assert len(generator.requests) == 5

    async def test_while_the_first_runs_the_second_waits_for_it_in_any_process(
        self, create_batch: CreateBatch, images: InMemoryImageRepository, ann: Principal
    ) -> None:
        generator = GatedGenerator(free=1)
        create_batch = in_another_process(create_batch, images, generator=generator)
        other = in_another_process(create_batch, images)
        first, second, third = (
            asyncio.create_task(use_case(FOX, 3, principal=ann, idempotency_key=KEY))
            for use_case in (create_batch, create_batch, other)
        )
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in (first, second, third))
        generator.may_draw.set()
        assert (await first).images == (await second).images == (await third).images
        assert [(await task).is_replay for task in (first, second, third)] == [False, True, True]
        assert len(generator.requests) == 3

    async def test_many_at_once_buy_one_batch(
        self, create_batch: CreateBatch, generator: InMemoryImageGenerator, ann: Principal
    ) -> None:
        created = await asyncio.gather(*(create_batch(FOX, 2, principal=ann, idempotency_key=KEY) for _ in range(10)))
        assert len({each.guid for each in created}) == 1
        assert sum(not each.is_replay for each in created) == 1
        assert len(generator.requests) == 2

    async def test_a_batch_that_takes_too_long_is_in_use_and_shown_to_those_who_do_not_wait(
        self, create_batch: CreateBatch, images: InMemoryImageRepository, ann: Principal
    ) -> None:
        generator = GatedGenerator(free=1)
        create_batch = in_another_process(create_batch, images, generator=generator, max_wait=0.05)
        begun = await create_batch(FOX, 2, principal=ann, idempotency_key=KEY, wait=0.0)
        with pytest.raises(IdempotencyKeyInUseError) as caught:
            await create_batch(FOX, 2, principal=ann, idempotency_key=KEY)
        assert (caught.value.guid, caught.value.batch) == (None, begun.guid)
        shown = await create_batch(FOX, 2, principal=ann, idempotency_key=KEY, wait=0.0)
        assert shown.is_replay
        assert statuses(shown) == [ImageStatus.READY, ImageStatus.GENERATING]
        generator.may_draw.set()
        await ended(create_batch.create_image.generations, begun.images)

    async def test_a_batch_that_waits_in_the_queue_is_joined(
        self, create_batch: CreateBatch, images: InMemoryImageRepository, ann: Principal
    ) -> None:
        waiting = in_another_process(create_batch, images, dispatch=DispatchPolicy(max_running=0, max_waiting=3))
        begun = await waiting(FOX, 3, principal=ann, idempotency_key=KEY, wait=0.0)
        joined = asyncio.create_task(create_batch(FOX, 3, principal=ann, idempotency_key=KEY))
        waiting.create_image.dispatcher.stop()
        create_batch.create_image.dispatcher.serve()
        created = await joined
        assert (created.guid, created.is_replay) == (begun.guid, True)
        assert statuses(created) == [ImageStatus.READY] * 3
        await create_batch.create_image.dispatcher.close()

    async def test_a_batch_that_was_never_begun_does_not_use_the_key_up(
        self, create_batch: CreateBatch, images: InMemoryImageRepository, ann: Principal
    ) -> None:
        waiting = in_another_process(create_batch, images, dispatch=DispatchPolicy(max_running=0, max_waiting=3))
        begun = await waiting(FOX, 3, principal=ann, idempotency_key=KEY, wait=0.0)
        for image in begun.images:
            await images.update(image.failed(not_started(), at=image.updated_at), expected=image.status)
        created = await create_batch(FOX, 3, principal=ann, idempotency_key=KEY)
        assert created.guid != begun.guid
        assert not created.is_replay
        assert statuses(created) == [ImageStatus.READY] * 3
        assert (await create_batch(FOX, 3, principal=ann, idempotency_key=KEY)).guid == created.guid

    async def test_if_some_were_not_begun_nothing_is_bought_again(
        self, create_batch: CreateBatch, images: InMemoryImageRepository, ann: Principal
    ) -> None:
        generator = GatedGenerator()
        first = in_another_process(
            create_batch, images, dispatch=DispatchPolicy(max_running=1, max_waiting=2), generator=generator
        )
        begun = await first(FOX, 3, principal=ann, idempotency_key=KEY, wait=0.0)
        first.create_image.dispatcher.stop()
        generator.may_draw.set()
        await ended(first.create_image.generations, begun.images[:1])
        for image in begun.images[1:]:
            await images.update(image.failed(not_started(), at=image.updated_at), expected=ImageStatus.PENDING)
        again = await create_batch(FOX, 3, principal=ann, idempotency_key=KEY)
        assert again.is_replay
        assert statuses(again) == [ImageStatus.READY, ImageStatus.FAILED, ImageStatus.FAILED]
        assert len(generator.requests) == 1

    async def test_after_a_crash_it_says_of_each_image_what_became_of_it(
        self, create_batch: CreateBatch, images: InMemoryImageRepository, ann: Principal
    ) -> None:
        lost = await crash(create_batch, images, ann, running=1, drawn=1)
        create_batch.create_image.dispatcher.serve()
        again = await create_batch(FOX, 3, principal=ann, idempotency_key=KEY)
        await create_batch.create_image.dispatcher.close()
        assert again.guid == lost.guid
        assert again.is_replay
        assert statuses(again) == [ImageStatus.READY, ImageStatus.UNKNOWN, ImageStatus.READY]

    async def test_after_a_crash_without_a_picture_it_says_that_one_may_be_billed(
        self, create_batch: CreateBatch, images: InMemoryImageRepository, ann: Principal
    ) -> None:
        lost = await crash(create_batch, images, ann, running=2, drawn=0)
        (waiting,) = await images.list_next(since=lost.images[0].created_at, limit=3)
        pending = await images.get(waiting)
        await images.update(pending.failed(refused(), at=pending.updated_at), expected=pending.status)
        with pytest.raises(GenerationAbandonedError) as caught:
            await create_batch(FOX, 3, principal=ann, idempotency_key=KEY)
        assert caught.value.batch == lost.guid
        assert caught.value.maybe_billed
        assert caught.value.is_replay

    async def test_after_a_crash_before_any_purchase_another_process_makes_all_of_it(
        self, create_batch: CreateBatch, images: InMemoryImageRepository, ann: Principal
    ) -> None:
        lost = await crash(create_batch, images, ann, running=0, drawn=0)
        create_batch.create_image.dispatcher.serve()
        created = await create_batch(FOX, 3, principal=ann, idempotency_key=KEY)
        await create_batch.create_image.dispatcher.close()
        assert (created.guid, created.is_replay) == (lost.guid, True)
        assert statuses(created) == [ImageStatus.READY] * 3

    async def test_deleted_images_are_left_out_and_nothing_is_bought_again(
        self,
        create_batch: CreateBatch,
        images: InMemoryImageRepository,
        generator: InMemoryImageGenerator,
        ann: Principal,
    ) -> None:
        created = await create_batch(FOX, 3, principal=ann, idempotency_key=KEY)
        for number, image in enumerate(created.images, start=1):
            await images.delete(image.guid, expected_version=image.version, lease_seconds=60)
            if left := created.images[number:]:
                again = await create_batch(FOX, 3, principal=ann, idempotency_key=KEY)
                assert again.images == left
        with pytest.raises(ConstraintViolationError, match="are gone"):
            await create_batch(FOX, 3, principal=ann, idempotency_key=KEY)
        assert len(generator.requests) == 3

    async def test_if_those_that_are_left_were_not_begun_the_deleted_may_have_been_billed(
        self, create_batch: CreateBatch, images: InMemoryImageRepository, ann: Principal
    ) -> None:
        generator = GatedGenerator()
        first = in_another_process(
            create_batch, images, dispatch=DispatchPolicy(max_running=1, max_waiting=2), generator=generator
        )
        begun = await first(FOX, 2, principal=ann, idempotency_key=KEY, wait=0.0)
        first.create_image.dispatcher.stop()
        generator.may_draw.set()
        await ended(first.create_image.generations, begun.images[:1])
        waiting = begun.images[1]
        await images.update(waiting.failed(not_started(), at=waiting.updated_at), expected=ImageStatus.PENDING)
        ready = await images.get(begun.images[0].guid)
        await images.delete(ready.guid, expected_version=ready.version, lease_seconds=60)
        with pytest.raises(GenerationNotStartedError) as caught:
            await create_batch(FOX, 2, principal=ann, idempotency_key=KEY)
        assert caught.value.maybe_billed
        assert caught.value.is_replay


class TestGetBatch:
    """Who sees which images of a batch."""

    async def test_the_images_come_in_order(self, create_batch: CreateBatch, ann: Principal) -> None:
        created = await create_batch(FOX, 3, principal=ann)
        get_batch = GetBatch(batches=create_batch.batches)
        for principal in (ann, ANONYMOUS):
            assert await get_batch(created.guid, principal) == created.images
        assert await get_batch(created.guid, ann, ImageScope.OWN) == created.images

    async def test_others_see_those_that_are_ready(
        self, create_batch: CreateBatch, generator: InMemoryImageGenerator, ann: Principal, bob: Principal
    ) -> None:
        generator.fail_next(refused())
        created = await create_batch(FOX, 3, principal=ann)
        get_batch = GetBatch(batches=create_batch.batches)
        assert await get_batch(created.guid, bob) == created.images[1:]
        assert await get_batch(created.guid, ann) == created.images

    @pytest.mark.parametrize("scope", ImageScope)
    async def test_a_private_batch_of_another_is_unknown(
        self, create_batch: CreateBatch, ann: Principal, bob: Principal, scope: ImageScope
    ) -> None:
        created = await create_batch(FOX, 2, visibility=Visibility.PRIVATE, principal=ann)
        get_batch = GetBatch(batches=create_batch.batches)
        assert await get_batch(created.guid, ann, ImageScope.OWN) == created.images
        for guid in (created.guid, UUID(int=1)):
            with pytest.raises(RecordNotFoundError, match=f"There is no batch {guid}"):
                await get_batch(guid, bob, scope)
