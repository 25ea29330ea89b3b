"""Following the images of an order."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import msgspec
import pytest

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_generator import PICTURE, Script
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.pictures.pillow.content_inspector import PillowContentInspector
from pixyproxy.application import CreateBatch, CreateImage, FollowOrder, PlaceOrder
from pixyproxy.application.follow_order import OrderPartial
from pixyproxy.application.generate_image import GenerationPolicy
from pixyproxy.application.generations import Generations
from pixyproxy.application.partial_images import PartialImages
from pixyproxy.application.place_order import Order
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.errors import (
    DBConnectionError,
    GenerationFailedError,
    GenerationRefusedError,
    GenerationTimedOutError,
    ImageDelayedError,
    RecordNotFoundError,
)
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageStatus
from pixyproxy.domain.user import Principal
from tests.images import eventually
from tests.pausing_generator import PausingGenerator
from tests.use_cases import FOX, with_parts

IMPATIENT = GenerationPolicy(patience=0.03, pause=0.01, owner="test")
WITH_PARTIALS = GenerationRequest(prompt="a fox", partial_images=2)


class Unreachable(InMemoryImageRepository):
    """Answers nothing while `is_away`; `asked` is set at each attempt."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self.asked = asyncio.Event()

    def _ensure_there(self) -> None:
        self.asked.set()
        if self.is_away:
            raise DBConnectionError("The database does not answer.")

    async def get(self, guid: UUID) -> Image:
        self._ensure_there()
        return await super().get(guid)

    async def update(self, image: Image, *, expected: ImageStatus) -> None:
        self._ensure_there()
        await super().update(image, expected=expected)


@pytest.fixture
def images() -> Unreachable:
    return Unreachable()


@pytest.fixture
def generator() -> PausingGenerator:
    return PausingGenerator()


@pytest.fixture
def partials(create_image: CreateImage) -> PartialImages:
    return PartialImages(
        contents=InMemoryContentStore(),
        inspector=PillowContentInspector(),
        on_kept=create_image.generations.announce,
    )


@pytest.fixture
def place_order(create_image: CreateImage, images: Unreachable, partials: PartialImages) -> PlaceOrder:
    patient = with_parts(create_image, partials=partials, policy=IMPATIENT)
    return PlaceOrder(create_batch=CreateBatch(create_image=patient, batches=images))


@pytest.fixture
def follow_order(place_order: PlaceOrder, images: Unreachable, partials: PartialImages) -> FollowOrder:
    create_image = place_order.create_batch.create_image
    return FollowOrder(
        images=images,
        generations=create_image.generations,
        clock=create_image.clock,
        partials=partials,
        policy=IMPATIENT,
    )


@pytest.fixture
def elsewhere(follow_order: FollowOrder) -> FollowOrder:
    """The use case of another process with the same database."""
    return FollowOrder(
        images=follow_order.images,
        generations=Generations(),
        clock=follow_order.clock,
        partials=follow_order.partials,
        policy=IMPATIENT,
    )


@pytest.fixture(params=["here", "elsewhere"])
def following(request: pytest.FixtureRequest, follow_order: FollowOrder, elsewhere: FollowOrder) -> FollowOrder:
    return follow_order if request.param == "here" else elsewhere


async def final(following: FollowOrder, order: Order, principal: Principal) -> Sequence[Image]:
    return [news async for news in following(order, principal) if isinstance(news, Image)]


async def content_of(partial: OrderPartial) -> bytes:
    return b"".join([chunk async for chunk in partial.content.chunks])


async def next_of(news: AsyncIterator[OrderPartial | Image]) -> Any:
    return await anext(news)


async def test_an_image_is_given_when_it_is_ready(
    place_order: PlaceOrder, following: FollowOrder, generator: PausingGenerator, images: Unreachable, ann: Principal
) -> None:
    order = await place_order(FOX, 1, principal=ann)
    result = asyncio.create_task(final(following, order, ann))
    await generator.is_pausing.wait()
    assert not result.done()
    generator.may_go_on.set()
    (image,) = await result
    assert image == await images.get(order.guid)
    assert image.status is ImageStatus.READY


async def test_partial_images_come_before_the_image_and_are_read_from_the_store(
    place_order: PlaceOrder, following: FollowOrder, generator: PausingGenerator, ann: Principal
) -> None:
    order = await place_order(WITH_PARTIALS, 1, principal=ann)
    news = following(order, ann)
    for position in range(2):
        partial = await next_of(news)
        assert isinstance(partial, OrderPartial)
        assert (partial.image.guid, partial.position, partial.media_type) == (order.guid, position, MediaType.PNG)
        assert await content_of(partial) == PICTURE
    generator.may_go_on.set()
    assert (await next_of(news)).status is ImageStatus.READY
    assert [_ async for _ in news] == []


async def test_images_come_in_the_order_of_the_batch_whichever_is_ready_first(
    place_order: PlaceOrder, following: FollowOrder, generator: PausingGenerator, ann: Principal
) -> None:
    generator.may_go_on.set()
    generator.script(Script(delay=0.02), Script(), Script(error=GenerationRefusedError("No.", maybe_billed=False)))
    order = await place_order(FOX, 3, principal=ann)
    given = await final(following, order, ann)
    assert [image.guid for image in given] == [image.guid for image in order.images]
    assert [image.status for image in given] == [ImageStatus.READY, ImageStatus.READY, ImageStatus.FAILED]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (GenerationRefusedError("No.", maybe_billed=False), ImageStatus.FAILED),
        (GenerationTimedOutError("Too late.", maybe_billed=True), ImageStatus.UNKNOWN),
    ],
)
async def test_a_failure_is_given_as_the_failed_image(
    place_order: PlaceOrder,
    following: FollowOrder,
    generator: PausingGenerator,
    ann: Principal,
    *,
    error: Exception,
    status: ImageStatus,
) -> None:
    generator.may_go_on.set()
    generator.fail_next(error)
    order = await place_order(FOX, 1, principal=ann)
    (image,) = await final(following, order, ann)
    assert image.status is status
    assert type(image.generation_error) is type(error)


async def test_a_failure_that_could_not_be_recorded_is_given_all_the_same(
    place_order: PlaceOrder,
    follow_order: FollowOrder,
    generator: PausingGenerator,
    images: Unreachable,
    ann: Principal,
) -> None:
    generator.script(Script(error=GenerationTimedOutError("Too late.", maybe_billed=True)))
    order = await place_order(FOX, 1, principal=ann)
    await generator.is_pausing.wait()
    images.is_away = True
    generator.may_go_on.set()
    (image,) = await final(follow_order, order, ann)
    assert image.status is ImageStatus.UNKNOWN
    assert image.generation_error is not None
    assert image.generation_error.maybe_billed


async def test_images_that_are_over_are_given_without_their_partial_images_and_without_the_database(
    place_order: PlaceOrder, following: FollowOrder, generator: PausingGenerator, images: Unreachable, ann: Principal
) -> None:
    generator.may_go_on.set()
    order = await place_order(WITH_PARTIALS, 2, principal=ann)
    given = await final(following, order, ann)
    images.is_away = True
    again = [news async for news in following(msgspec.structs.replace(order, images=given), ann)]
    assert again == given


async def test_the_database_may_be_away_while_an_image_is_made_here(
    place_order: PlaceOrder, follow_order: FollowOrder, generator: PausingGenerator, images: Unreachable, ann: Principal
) -> None:
    order = await place_order(FOX, 1, principal=ann)
    await generator.is_pausing.wait()
    images.is_away = True
    result = asyncio.create_task(final(follow_order, order, ann))
    await asyncio.sleep(IMPATIENT.patience * 2)
    assert not result.done()
    images.is_away = False
    generator.may_go_on.set()
    (image,) = await result
    assert image.status is ImageStatus.READY


async def test_an_image_whose_bytes_are_safe_while_the_database_stays_away_is_delayed(
    place_order: PlaceOrder, follow_order: FollowOrder, generator: PausingGenerator, images: Unreachable, ann: Principal
) -> None:
    order = await place_order(FOX, 1, principal=ann)
    await generator.is_pausing.wait()
    images.is_away = True
    generator.may_go_on.set()
    with pytest.raises(ImageDelayedError) as info:
        await final(follow_order, order, ann)
    assert info.value.guid == order.guid


async def test_an_image_of_another_process_outlasts_a_short_absence_of_the_database(
    place_order: PlaceOrder, elsewhere: FollowOrder, generator: PausingGenerator, images: Unreachable, ann: Principal
) -> None:
    order = await place_order(FOX, 1, principal=ann)
    await generator.is_pausing.wait()
    images.is_away = True
    images.asked.clear()
    result = asyncio.create_task(final(elsewhere, order, ann))
    await images.asked.wait()
    images.is_away = False
    generator.may_go_on.set()
    (image,) = await result
    assert image.status is ImageStatus.READY


async def test_an_image_of_another_process_is_delayed_when_the_database_stays_away(
    place_order: PlaceOrder, elsewhere: FollowOrder, generator: PausingGenerator, images: Unreachable, ann: Principal
) -> None:
    order = await place_order(FOX, 2, principal=ann)
    await generator.is_pausing.wait()
    images.is_away = True
    with pytest.raises(ImageDelayedError) as info:
        await final(elsewhere, order, ann)
    assert info.value.batch == order.guid
    assert info.value.guid is None
    generator.may_go_on.set()


async def test_following_ends_when_the_service_stops_and_the_generation_goes_on(
    place_order: PlaceOrder, following: FollowOrder, generator: PausingGenerator, images: Unreachable, ann: Principal
) -> None:
    order = await place_order(FOX, 1, principal=ann)
    result = asyncio.create_task(final(following, order, ann))
    await generator.is_pausing.wait()
    following.generations.stop_waiting()
    with pytest.raises(ImageDelayedError):
        await result
    generator.may_go_on.set()

    async def is_ready() -> bool:
        return (await images.get(order.guid)).status is ImageStatus.READY

    await eventually(is_ready)


async def test_the_generation_goes_on_when_the_caller_leaves(
    place_order: PlaceOrder, following: FollowOrder, generator: PausingGenerator, images: Unreachable, ann: Principal
) -> None:
    order = await place_order(WITH_PARTIALS, 1, principal=ann)
    result = asyncio.create_task(final(following, order, ann))
    await generator.is_pausing.wait()
    result.cancel()
    with pytest.raises(asyncio.CancelledError):
        await result
    generator.may_go_on.set()
    assert await place_order.create_batch.create_image.generations.close(10) == []
    assert (await images.get(order.guid)).status is ImageStatus.READY


async def test_an_image_that_is_deleted_meanwhile_is_given_as_failed_and_the_others_as_they_are(
    place_order: PlaceOrder,
    following: FollowOrder,
    generator: PausingGenerator,
    images: Unreachable,
    ann: Principal,
) -> None:
    order = await place_order(FOX, 2, principal=ann)
    result = asyncio.create_task(final(following, order, ann))
    await generator.is_pausing.wait()
    image = await images.get(order.images[0].guid)
    await images.delete(image.guid, expected_version=image.version, lease_seconds=1)
    generator.may_go_on.set()
    deleted, kept = await result
    assert deleted.guid == image.guid
    assert isinstance(deleted.generation_error, GenerationFailedError)
    assert deleted.generation_error.maybe_billed
    assert "deleted" in deleted.generation_error.detail
    assert kept.status is ImageStatus.READY


async def test_another_users_order_is_not_found(
    place_order: PlaceOrder, following: FollowOrder, generator: PausingGenerator, ann: Principal, bob: Principal
) -> None:
    order = await place_order(FOX, 1, principal=ann)
    with pytest.raises(RecordNotFoundError):
        await final(following, order, bob)
    generator.may_go_on.set()


async def test_without_a_store_of_partial_images_there_are_none(
    place_order: PlaceOrder, images: Unreachable, generator: PausingGenerator, clock: InMemoryClock, ann: Principal
) -> None:
    generator.may_go_on.set()
    order = await place_order(WITH_PARTIALS, 1, principal=ann)
    follow = FollowOrder(images=images, generations=place_order.create_batch.create_image.generations, clock=clock)
    news = [each async for each in follow(order, ann)]
    assert [type(each) for each in news] == [Image]
