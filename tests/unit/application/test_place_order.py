"""Placing orders, and sending them again."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator, Script
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application import ConfirmAnswer, CreateBatch, CreateImage, FollowOrder, PlaceOrder
from pixyproxy.application.dispatcher import DispatchPolicy
from pixyproxy.application.place_order import Order
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    DataValidationError,
    GenerationError,
    GenerationFailedError,
    GenerationNotStartedError,
    GenerationOptionError,
    GenerationRateLimitedError,
    GenerationRefusedError,
    GenerationTimedOutError,
    GeneratorCredentialsError,
    GeneratorUnavailableError,
    IdempotencyKeyReusedError,
    OverloadedError,
)
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.idempotency import ORDER_SECONDS, Claim, IdempotencyKey
from pixyproxy.domain.image import Image, ImageStatus, Visibility
from pixyproxy.domain.ports import ClaimOutcome
from pixyproxy.domain.sender import Sender
from pixyproxy.domain.user import ANONYMOUS, Principal, UserName
from tests.pausing_generator import PausingGenerator
from tests.use_cases import FOX, LIGHTHOUSE, recover_images_of, with_parts

KEY = IdempotencyKey("8e03978e-40d5-43dd-bc93-6894a57f9324")
BILLED = GenerationTimedOutError("Too late.", maybe_billed=True)
REFUSED = GenerationRefusedError("No.", maybe_billed=False)


class Now:
    """The time of the database."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def pass_by(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def images(now: Now) -> InMemoryImageRepository:
    return InMemoryImageRepository(now)


@pytest.fixture
def place_order(create_image: CreateImage, images: InMemoryImageRepository) -> PlaceOrder:
    return PlaceOrder(create_batch=CreateBatch(create_image=create_image, batches=images))


@pytest.fixture
def confirm_answer(images: InMemoryImageRepository) -> ConfirmAnswer:
    return ConfirmAnswer(idempotency_keys=images)


async def outcome(place_order: PlaceOrder, order: Order, principal: Principal) -> Sequence[Image]:
    """Return the final images of an order."""
    create_image = place_order.create_batch.create_image
    follow = FollowOrder(images=create_image.images, generations=create_image.generations, clock=create_image.clock)
    return [image async for image in follow(order, principal) if isinstance(image, Image)]


async def test_an_order_is_returned_at_once_with_its_images_in_order(place_order: PlaceOrder, ann: Principal) -> None:
    order = await place_order(FOX, 3, tags=["a"], principal=ann, sender=Sender(user="u"))
    assert [image.status for image in order.images] == [ImageStatus.PENDING] * 3
    assert [image.batch and (image.batch.guid, image.batch.position) for image in order.images] == [
        (order.guid, position) for position in range(3)
    ]
    assert {(image.visibility, image.tags, image.sender) for image in order.images} == {
        (Visibility.PRIVATE, ("a",), Sender(user="u"))
    }
    assert not order.is_replay
    single = await place_order(FOX, 1, principal=ann)
    assert [(image.guid, image.batch) for image in single.images] == [(single.guid, None)]


@pytest.mark.parametrize("count", [0, 11])
async def test_a_number_out_of_range_is_refused(place_order: PlaceOrder, ann: Principal, count: int) -> None:
    with pytest.raises(DataValidationError) as info:
        await place_order(FOX, count, principal=ann)
    assert info.value.field == "n"


async def test_equal_first_attempts_are_different_orders(
    place_order: PlaceOrder, generator: InMemoryImageGenerator, ann: Principal
) -> None:
    orders = await asyncio.gather(*(place_order(FOX, 1, principal=ann) for _ in range(3)))
    assert len({order.guid for order in orders}) == 3
    for order in orders:
        await outcome(place_order, order, ann)
    assert len(generator.requests) == 3


@pytest.mark.parametrize("count", [1, 2])
async def test_a_resent_request_joins_the_order_that_is_running(
    create_image: CreateImage, images: InMemoryImageRepository, ann: Principal, count: int
) -> None:
    generator = PausingGenerator()
    create_batch = CreateBatch(create_image=with_parts(create_image, generator=generator), batches=images)
    place_order = PlaceOrder(create_batch=create_batch)
    first = await place_order(FOX, count, principal=ann)
    await generator.is_pausing.wait()
    again = await place_order(FOX, count, principal=ann, attempt=1)
    assert again.is_replay
    assert again.guid == first.guid
    assert {image.status for image in again.images} == {ImageStatus.GENERATING}
    generator.may_go_on.set()
    assert await outcome(place_order, again, ann) == await outcome(place_order, first, ann)
    assert len(generator.requests) == count


@pytest.mark.parametrize("error", [None, BILLED, GenerationFailedError("Bad.", maybe_billed=True)], ids=type)
async def test_a_resent_request_joins_the_order_that_has_ended(
    place_order: PlaceOrder, generator: InMemoryImageGenerator, ann: Principal, error: GenerationError | None
) -> None:
    generator.script(Script(error=error))
    first = await place_order(FOX, 1, principal=ann)
    ended = await outcome(place_order, first, ann)
    again = await place_order(FOX, 1, principal=ann, attempt=1)
    assert again.images == ended
    assert len(generator.requests) == 1


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    "kind",
    [
        GenerationRefusedError,
        GenerationOptionError,
        GenerationRateLimitedError,
        GeneratorUnavailableError,
        GeneratorCredentialsError,
        GenerationNotStartedError,
    ],
)
async def test_an_order_that_bought_nothing_is_tried_anew(
    place_order: PlaceOrder, generator: InMemoryImageGenerator, ann: Principal, kind: type[GenerationError], count: int
) -> None:
    generator.fail_next(*(kind("No.", maybe_billed=False) for _ in range(count)))
    await outcome(place_order, await place_order(FOX, count, principal=ann), ann)
    again = await place_order(FOX, count, principal=ann, attempt=1)
    assert not again.is_replay
    ended = await outcome(place_order, again, ann)
    assert {image.status for image in ended} == {ImageStatus.READY}
    assert (await place_order(FOX, count, principal=ann, attempt=2)).images == ended
    assert len(generator.requests) == count * 2


@pytest.mark.parametrize("billed", [None, BILLED], ids=["ready", "maybe billed"])
async def test_several_images_of_which_one_may_have_been_billed_are_not_tried_anew(
    place_order: PlaceOrder, generator: InMemoryImageGenerator, ann: Principal, billed: GenerationError | None
) -> None:
    generator.script(Script(error=REFUSED), Script(error=billed), Script(error=REFUSED))
    first = await place_order(FOX, 3, principal=ann)
    ended = await outcome(place_order, first, ann)
    again = await place_order(FOX, 3, principal=ann, attempt=1)
    assert again.images == ended
    assert len(generator.requests) == 3


async def test_an_order_whose_answer_has_arrived_is_not_joined(
    place_order: PlaceOrder, confirm_answer: ConfirmAnswer, generator: InMemoryImageGenerator, ann: Principal
) -> None:
    first = await place_order(FOX, 1, principal=ann)
    await outcome(place_order, first, ann)
    await confirm_answer(first)
    await confirm_answer(first)
    again = await place_order(FOX, 1, principal=ann, attempt=1)
    await outcome(place_order, again, ann)
    assert again.guid != first.guid
    assert len(generator.requests) == 2


async def test_the_answer_to_a_joined_order_confirms_it(
    place_order: PlaceOrder, confirm_answer: ConfirmAnswer, ann: Principal
) -> None:
    first = await place_order(FOX, 1, principal=ann)
    again = await place_order(FOX, 1, principal=ann, attempt=1)
    await confirm_answer(again)
    assert not (await place_order(FOX, 1, principal=ann, attempt=2)).is_replay
    assert first.claim.key == again.claim.key


async def test_a_request_is_joined_each_time_that_it_is_sent_again(place_order: PlaceOrder, ann: Principal) -> None:
    first = await place_order(FOX, 1, principal=ann)
    assert [(await place_order(FOX, 1, principal=ann, attempt=attempt)).guid for attempt in (1, 2, 5)] == [
        first.guid
    ] * 3


async def test_two_resent_requests_join_two_orders_oldest_first(
    place_order: PlaceOrder, now: Now, generator: InMemoryImageGenerator, ann: Principal
) -> None:
    placed = []
    for _ in range(2):
        placed.append((await place_order(FOX, 1, principal=ann)).guid)
        now.pass_by(1)
    for attempt in (1, 2):
        assert [(await place_order(FOX, 1, principal=ann, attempt=attempt)).guid for _ in range(2)] == placed
    await outcome(place_order, await place_order(FOX, 1, principal=ann, attempt=2), ann)
    assert len(generator.requests) == 3


async def test_an_order_that_was_lost_before_it_was_placed_is_placed_once_when_it_is_sent_again(
    place_order: PlaceOrder, ann: Principal
) -> None:
    second = await place_order(FOX, 1, principal=ann, attempt=1)
    third = await place_order(FOX, 1, principal=ann, attempt=2)
    assert (second.is_replay, third.is_replay) == (False, True)
    assert second.guid == third.guid


@pytest.mark.parametrize(
    "other",
    [
        {"principal": Principal(name=UserName("bob"))},
        {"request": LIGHTHOUSE},
        {"request": GenerationRequest(prompt="a fox", size="1024x1024")},
        {"count": 2},
        {"tags": ["b"]},
        {"visibility": Visibility.PUBLIC},
        {"sender": Sender(user="another")},
        {"sender": Sender(safety_identifier="another")},
        {"sender": None},
    ],
    ids=lambda other: next(iter(other)),
)
async def test_another_request_is_another_order(place_order: PlaceOrder, ann: Principal, other: dict[str, Any]) -> None:
    options: dict[str, Any] = {
        "request": FOX,
        "count": 1,
        "tags": ["a"],
        "principal": ann,
        "sender": Sender(user="u"),
    }
    first = await place_order(**options)
    assert not (await place_order(**{**options, **other}, attempt=1)).is_replay
    assert (await place_order(**options, attempt=1)).guid == first.guid


async def test_a_resent_request_may_differ_in_its_partial_images_and_in_what_its_client_says_of_itself(
    place_order: PlaceOrder, ann: Principal
) -> None:
    streamed = GenerationRequest(prompt="a fox", partial_images=2)
    first = await place_order(streamed, 1, principal=ann, sender=Sender(user="u", client="a/1", request_id="1"))
    again = await place_order(FOX, 1, principal=ann, sender=Sender(user="u", client="a/2", request_id="2"), attempt=1)
    assert again.guid == first.guid


async def test_strangers_do_not_join_each_others_orders(place_order: PlaceOrder) -> None:
    for attempt in range(2):
        order = await place_order(FOX, 1, visibility=Visibility.PUBLIC, principal=ANONYMOUS, attempt=attempt)
        assert not order.is_replay


async def test_an_order_is_joined_until_its_time_is_over(place_order: PlaceOrder, now: Now, ann: Principal) -> None:
    first = await place_order(FOX, 1, principal=ann)
    now.pass_by(ORDER_SECONDS - 1)
    assert (await place_order(FOX, 1, principal=ann, attempt=1)).guid == first.guid
    now.pass_by(1)
    assert (await place_order(FOX, 1, principal=ann, attempt=2)).guid != first.guid


async def test_the_order_of_a_process_that_died_is_joined_and_not_bought_again(
    place_order: PlaceOrder,
    images: InMemoryImageRepository,
    contents: InMemoryContentStore,
    generator: InMemoryImageGenerator,
    ann: Principal,
) -> None:
    (died,) = place_order.create_batch.create_image.begin_images.request(
        FOX, [None], tags=[], visibility=Visibility.PRIVATE, principal=ann
    )
    await images.add(died, claim=Claim.of_order(died, 0))
    assert await images.claim(died.guid, owner="another process") is ClaimOutcome.CLAIMED
    await images.update(died.started(at=died.created_at), expected=ImageStatus.PENDING)
    running = await place_order(FOX, 1, principal=ann, attempt=1)
    assert [image.status for image in running.images] == [ImageStatus.GENERATING]
    recover = recover_images_of(place_order.create_batch.create_image, images, contents)
    assert await recover() == 1
    again = await place_order(FOX, 1, principal=ann, attempt=2)
    assert [(image.guid, image.status) for image in again.images] == [(died.guid, ImageStatus.UNKNOWN)]
    assert generator.requests == []


@pytest.mark.parametrize("count", [1, 2])
async def test_an_order_whose_images_are_deleted_is_neither_joined_nor_bought_again(
    place_order: PlaceOrder,
    images: InMemoryImageRepository,
    generator: InMemoryImageGenerator,
    ann: Principal,
    count: int,
) -> None:
    first = await place_order(FOX, count, principal=ann)
    for image in await outcome(place_order, first, ann):
        await images.delete(image.guid, expected_version=image.version, lease_seconds=1)
    with pytest.raises(ConstraintViolationError):
        await place_order(FOX, count, principal=ann, attempt=1)
    assert len(generator.requests) == count


async def test_the_rest_of_an_order_is_joined_when_some_of_its_images_are_deleted(
    place_order: PlaceOrder, images: InMemoryImageRepository, generator: InMemoryImageGenerator, ann: Principal
) -> None:
    generator.fail_next(REFUSED)
    failed, ready = await outcome(place_order, await place_order(FOX, 2, principal=ann), ann)
    await images.delete(ready.guid, expected_version=ready.version, lease_seconds=1)
    assert (await place_order(FOX, 2, principal=ann, attempt=1)).images == [failed]


async def test_without_room_an_order_is_refused_and_leaves_nothing(
    create_image: CreateImage, images: InMemoryImageRepository, ann: Principal
) -> None:
    generator = PausingGenerator()
    full = with_parts(create_image, generator=generator, dispatch=DispatchPolicy(max_running=1, max_waiting=0))
    place_order = PlaceOrder(create_batch=CreateBatch(create_image=full, batches=images))
    first = await place_order(LIGHTHOUSE, 1, principal=ann)
    for attempt in range(2):
        with pytest.raises(OverloadedError):
            await place_order(FOX, 1, principal=ann, attempt=attempt)
    assert await images.count() == 1
    generator.may_go_on.set()
    await outcome(place_order, first, ann)
    assert not (await place_order(FOX, 1, principal=ann, attempt=2)).is_replay


@pytest.mark.parametrize("count", [1, 2])
async def test_a_key_leads_to_its_order_streamed_or_not_and_whatever_the_attempt(
    place_order: PlaceOrder,
    confirm_answer: ConfirmAnswer,
    generator: InMemoryImageGenerator,
    ann: Principal,
    count: int,
) -> None:
    first = await place_order(FOX, count, principal=ann, idempotency_key=KEY)
    running = await place_order(FOX, count, principal=ann, idempotency_key=KEY)
    assert (first.is_replay, running.is_replay) == (False, True)
    assert running.guid == first.guid
    ended = await outcome(place_order, first, ann)
    await confirm_answer(first)
    streamed = GenerationRequest(prompt="a fox", partial_images=3)
    for attempt in (0, 1, 1):
        again = await place_order(streamed, count, principal=ann, idempotency_key=KEY, attempt=attempt)
        assert again.is_replay
        assert again.images == ended
    assert len(generator.requests) == count


async def test_a_key_whose_image_may_have_been_billed_buys_no_other(
    place_order: PlaceOrder, generator: InMemoryImageGenerator, ann: Principal
) -> None:
    generator.fail_next(BILLED)
    ended = await outcome(place_order, await place_order(FOX, 1, principal=ann, idempotency_key=KEY), ann)
    assert (await place_order(FOX, 1, principal=ann, idempotency_key=KEY)).images == ended
    assert len(generator.requests) == 1


@pytest.mark.parametrize(
    ("kind", "is_anew"),
    [
        (GenerationRateLimitedError, True),
        (GeneratorUnavailableError, True),
        (GenerationNotStartedError, True),
        (GenerationRefusedError, False),
        (GeneratorCredentialsError, False),
    ],
)
async def test_a_key_whose_answer_invites_another_attempt_is_not_used_up(
    place_order: PlaceOrder,
    generator: InMemoryImageGenerator,
    ann: Principal,
    kind: type[GenerationError],
    is_anew: bool,
) -> None:
    generator.fail_next(kind("No.", maybe_billed=False))
    await outcome(place_order, await place_order(FOX, 1, principal=ann, idempotency_key=KEY), ann)
    again = await place_order(FOX, 1, principal=ann, idempotency_key=KEY)
    assert again.is_replay == (not is_anew)
    await outcome(place_order, again, ann)
    assert len(generator.requests) == 1 + is_anew


@pytest.mark.parametrize("other", [{"request": LIGHTHOUSE}, {"count": 2}, {"sender": Sender(user="another")}])
async def test_a_key_of_another_request_is_refused(
    place_order: PlaceOrder, generator: InMemoryImageGenerator, ann: Principal, other: dict[str, Any]
) -> None:
    options: dict[str, Any] = {"request": FOX, "count": 1, "principal": ann, "idempotency_key": KEY}
    first = await place_order(**options)
    with pytest.raises(IdempotencyKeyReusedError):
        await place_order(**{**options, **other})
    await outcome(place_order, first, ann)
    assert len(generator.requests) == 1


async def test_a_request_with_a_key_is_not_joined_by_one_without(place_order: PlaceOrder, ann: Principal) -> None:
    await place_order(FOX, 1, principal=ann, idempotency_key=KEY)
    assert not (await place_order(FOX, 1, principal=ann, attempt=1)).is_replay


class ConfirmingImages(InMemoryImageRepository):
    """Loses the claim of the first order that is taken, as if its answer arrived just now."""

    is_first = True

    async def take_order(self, author: UserName | None, fingerprint: str, attempt: int) -> IdempotencyKey | None:
        taken = await super().take_order(author, fingerprint, attempt)
        if taken is not None and self.is_first:
            self.is_first = False
            claimed = await self.find_claim(author, taken)
            assert claimed is not None
            await self.forget_claim(author, taken, claimed.guid)
        return taken


async def test_an_order_whose_answer_arrives_while_it_is_taken_was_another_clients(
    create_image: CreateImage, now: Now, ann: Principal
) -> None:
    images = ConfirmingImages(now)
    batch = CreateBatch(create_image=with_parts(create_image, images=images), batches=images)
    place_order = PlaceOrder(create_batch=batch)
    await place_order(FOX, 1, principal=ann)
    now.pass_by(1)
    second = await place_order(FOX, 1, principal=ann)
    assert (await place_order(FOX, 1, principal=ann, attempt=1)).guid == second.guid


class SlowImages(InMemoryImageRepository):
    """Lets others run before each step."""

    async def find_claim(self, *args: Any) -> Any:
        await asyncio.sleep(0)
        return await super().find_claim(*args)

    async def add(self, image: Image, **options: Any) -> Image:
        await asyncio.sleep(0)
        return await super().add(image, **options)

    async def forget_claim(self, *args: Any) -> None:
        await super().forget_claim(*args)
        await asyncio.sleep(0)


async def test_of_two_attempts_that_try_an_order_anew_at_once_one_buys(
    create_image: CreateImage, generator: InMemoryImageGenerator, ann: Principal
) -> None:
    images = SlowImages()
    batch = CreateBatch(create_image=with_parts(create_image, images=images), batches=images)
    place_order = PlaceOrder(create_batch=batch)
    generator.fail_next(REFUSED)
    await outcome(place_order, await place_order(FOX, 1, principal=ann), ann)
    orders = await asyncio.gather(*(place_order(FOX, 1, principal=ann, attempt=attempt) for attempt in (1, 2)))
    assert len({order.guid for order in orders}) == 1
    assert sorted(order.is_replay for order in orders) == [False, True]
    await outcome(place_order, orders[0], ann)
    assert len(generator.requests) == 2


async def test_an_order_that_was_tried_anew_leaves_a_younger_one_to_its_own_client(
    place_order: PlaceOrder, now: Now, generator: InMemoryImageGenerator, ann: Principal
) -> None:
    generator.fail_next(REFUSED)
    await outcome(place_order, await place_order(FOX, 1, principal=ann), ann)
    now.pass_by(1)
    younger = await place_order(FOX, 1, principal=ann)
    now.pass_by(1)
    anew = await place_order(FOX, 1, principal=ann, attempt=1)
    assert (await place_order(FOX, 1, principal=ann, attempt=2)).guid == anew.guid
    assert (await place_order(FOX, 1, principal=ann, attempt=1)).guid == younger.guid
    await outcome(place_order, anew, ann)
    assert len(generator.requests) == 3
