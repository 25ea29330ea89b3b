"""Asking for the same image again."""

import asyncio
from typing import Any
from uuid import UUID

import msgspec
import pytest

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application import CreateImage, FindPictures
from pixyproxy.application.dispatcher import DispatchPolicy
from pixyproxy.application.generate_image import GenerationPolicy
from pixyproxy.application.generations import Generations
from pixyproxy.domain.capabilities import Capabilities, ModelCapabilities
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    DataValidationError,
    DBConnectionError,
    GenerationAbandonedError,
    GenerationRefusedError,
    IdempotencyKeyInUseError,
    IdempotencyKeyReusedError,
    ImageDelayedError,
    OverloadedError,
)
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.idempotency import Claim, IdempotencyKey
from pixyproxy.domain.image import Image, ImageStatus, Visibility
from pixyproxy.domain.ports import GeneratedImage
from pixyproxy.domain.reference import Reference
from pixyproxy.domain.user import ANONYMOUS, Principal
from tests.use_cases import FOX, recover_images_of, with_parts

KEY = IdempotencyKey("8e03978e-40d5-43dd-bc93-6894a57f9324")
OTHER_KEY = IdempotencyKey("another")


class GatedGenerator(InMemoryImageGenerator):
    """Draws when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.is_called = asyncio.Event()
        self.may_draw = asyncio.Event()

    async def generate(self, request: GenerationRequest, **kwargs: Any) -> GeneratedImage:
        self.is_called.set()
        await self.may_draw.wait()
        return await super().generate(request)


class GeneratorOfOneModel(InMemoryImageGenerator):
    """Takes one model, and no references."""

    def capabilities(self) -> Capabilities:
        return Capabilities.of(ModelCapabilities(id="new"))


@pytest.fixture
def gated() -> GatedGenerator:
    return GatedGenerator()


async def test_the_same_key_and_body_give_the_same_image_and_buy_one(
    create_image: CreateImage, generator: InMemoryImageGenerator, ann: Principal
) -> None:
    first = await create_image(FOX, tags=["a"], principal=ann, idempotency_key=KEY)
    second = await create_image(GenerationRequest(prompt=" a fox "), tags=["a"], principal=ann, idempotency_key=KEY)
    assert (first.is_replay, second.is_replay) == (False, True)
    assert second.image == first.image
    assert len(generator.requests) == 1


async def test_a_replay_asks_neither_for_the_models_of_now_nor_for_the_reference(
    create_image: CreateImage, find_pictures: FindPictures, images: InMemoryImageRepository, ann: Principal
) -> None:
    create_image = with_parts(create_image, find_pictures=find_pictures)
    parent = (await create_image(FOX, principal=ann)).image
    asked = GenerationRequest(prompt="a fox", model="in-memory", references=(Reference.to_image(parent.guid),))
    first = await create_image(asked, principal=ann, idempotency_key=KEY)
    await images.delete(parent.guid, expected_version=parent.version, lease_seconds=1.0)
    create_image = with_parts(create_image, generator=GeneratorOfOneModel())

    replay = await create_image(asked, principal=ann, idempotency_key=KEY)

    assert (replay.image, replay.is_replay) == (first.image, True)
    with pytest.raises(DataValidationError, match="must be new"):
        await create_image(asked, principal=ann, idempotency_key=OTHER_KEY)


async def test_another_key_or_none_buys_another_image(
    create_image: CreateImage, generator: InMemoryImageGenerator, ann: Principal
) -> None:
    for key in (KEY, OTHER_KEY, None, None):
        await create_image(FOX, principal=ann, idempotency_key=key)
    assert len(generator.requests) == 4


async def test_each_author_has_keys_of_their_own(
    create_image: CreateImage, generator: InMemoryImageGenerator, ann: Principal, bob: Principal
) -> None:
    guids = {
        (await create_image(FOX, principal=principal, idempotency_key=KEY)).image.guid
        for principal in (ann, bob, ANONYMOUS)
    }
    assert len(guids) == len(generator.requests) == 3


async def test_a_key_that_the_first_versions_stored_without_an_author_replays_its_image(
    create_image: CreateImage, images: InMemoryImageRepository, generator: InMemoryImageGenerator
) -> None:
    first = (await create_image(FOX, principal=ANONYMOUS)).image
    fingerprint = Claim.on(first, KEY).fingerprint
    claim = Claim(author=None, key=KEY, fingerprint=fingerprint)
    await images.add(msgspec.structs.replace(first, guid=UUID(int=1), id=None), claim=claim)

    again = await create_image(FOX, principal=ANONYMOUS, idempotency_key=KEY)
    other = await create_image(GenerationRequest(prompt="a wolf"), principal=ANONYMOUS, idempotency_key=KEY)

    assert (again.image.guid, again.is_replay) == (UUID(int=1), True)
    assert not other.is_replay
    assert [request.prompt for request in generator.requests] == [FOX.prompt, "a wolf"]


@pytest.mark.parametrize(
    "other",
    [
        {"request": GenerationRequest(prompt="a wolf")},
        {"tags": ["a"]},
        {"visibility": Visibility.PRIVATE},
    ],
)
async def test_the_same_key_with_another_body_is_refused(
    create_image: CreateImage, generator: InMemoryImageGenerator, ann: Principal, other: dict[str, Any]
) -> None:
    await create_image(FOX, principal=ann, idempotency_key=KEY)
    with pytest.raises(IdempotencyKeyReusedError):
        await create_image(**{"request": FOX, **other}, principal=ann, idempotency_key=KEY)
    assert generator.requests == [FOX]


async def test_while_the_first_runs_the_second_waits_for_it(
    create_image: CreateImage, gated: GatedGenerator, ann: Principal
) -> None:
    create_image = with_parts(create_image, generator=gated)
    callers = [asyncio.create_task(create_image(FOX, principal=ann, idempotency_key=KEY)) for _ in range(10)]
    await gated.is_called.wait()
    await asyncio.sleep(0.01)
    assert not any(caller.done() for caller in callers)
    gated.may_draw.set()
    guids = {created.image.guid for created in await asyncio.gather(*callers)}
    assert len(guids) == len(gated.requests) == 1


async def test_a_second_in_another_process_waits_for_the_first(
    create_image: CreateImage, gated: GatedGenerator, ann: Principal
) -> None:
    create_image = with_parts(create_image, generator=gated)
    elsewhere = with_parts(create_image, generations=Generations())
    first = asyncio.create_task(create_image(FOX, principal=ann, idempotency_key=KEY))
    await gated.is_called.wait()
    second = asyncio.create_task(elsewhere(FOX, principal=ann, idempotency_key=KEY))
    await asyncio.sleep(0.01)
    gated.may_draw.set()
    assert (await second).image == (await first).image
    assert len(gated.requests) == 1


async def test_the_wait_for_the_first_is_bounded(
    create_image: CreateImage, gated: GatedGenerator, ann: Principal
) -> None:
    create_image = with_parts(create_image, generator=gated)
    begun = await create_image(FOX, principal=ann, idempotency_key=KEY, wait=0)
    assert not begun.image.status.is_final
    with pytest.raises(IdempotencyKeyInUseError) as caught:
        await with_parts(create_image, max_wait=0.01)(FOX, principal=ann, idempotency_key=KEY)
    assert caught.value.guid == begun.image.guid
    again = await create_image(FOX, principal=ann, idempotency_key=KEY, wait=0)
    assert again.is_replay
    assert again.image.guid == begun.image.guid
    gated.may_draw.set()


async def test_a_failure_is_replayed_as_it_was(
    create_image: CreateImage, generator: InMemoryImageGenerator, ann: Principal
) -> None:
    generator.fail_next(GenerationRefusedError("No.", maybe_billed=False))
    for is_replay in (False, True):
        with pytest.raises(GenerationRefusedError, match=r"No\.") as caught:
            await create_image(FOX, principal=ann, idempotency_key=KEY)
        assert caught.value.is_replay is is_replay
        assert not caught.value.maybe_billed
        assert caught.value.guid
    assert len(generator.requests) == 1


async def test_after_a_crash_the_key_reports_an_unknown_outcome_and_buys_nothing(
    create_image: CreateImage,
    images: InMemoryImageRepository,
    contents: InMemoryContentStore,
    gated: GatedGenerator,
    ann: Principal,
) -> None:
    crashing = with_parts(create_image, generator=gated, policy=GenerationPolicy(owner="gone"))
    await crashing(FOX, principal=ann, idempotency_key=KEY, wait=0)
    await gated.is_called.wait()
    await crashing.generations.close(0)
    recover_images = recover_images_of(create_image, images, contents)
    assert await recover_images() == 1
    with pytest.raises(GenerationAbandonedError) as caught:
        await create_image(FOX, principal=ann, idempotency_key=KEY)
    assert caught.value.maybe_billed
    assert caught.value.is_replay
    await create_image(FOX, principal=ann, idempotency_key=OTHER_KEY)


async def test_a_key_whose_time_is_over_can_be_used_again(
    create_image: CreateImage, generator: InMemoryImageGenerator, ann: Principal
) -> None:
    create_image = with_parts(create_image, claim_seconds=0)
    first = (await create_image(FOX, principal=ann, idempotency_key=KEY)).image
    second = (await create_image(GenerationRequest(prompt="a wolf"), principal=ann, idempotency_key=KEY)).image
    assert first.guid != second.guid
    assert len(generator.requests) == 2


async def test_a_request_that_is_refused_before_the_record_does_not_use_the_key(
    create_image: CreateImage, generator: InMemoryImageGenerator, ann: Principal
) -> None:
    with pytest.raises(DataValidationError):
        await create_image(GenerationRequest(prompt=" "), principal=ann, idempotency_key=KEY)
    full = with_parts(create_image, dispatch=DispatchPolicy(max_running=0, max_waiting=0))
    with pytest.raises(OverloadedError):
        await full(FOX, principal=ann, idempotency_key=KEY)

    class UnreachableImageRepository(InMemoryImageRepository):
        async def add(self, image: Image, **_: object) -> Image:
            raise DBConnectionError("The database does not answer.")

    with pytest.raises(DBConnectionError):
        await with_parts(create_image, images=UnreachableImageRepository())(FOX, principal=ann, idempotency_key=KEY)
    assert generator.requests == []
    assert not (await create_image(GenerationRequest(prompt="a wolf"), principal=ann, idempotency_key=KEY)).is_replay


async def test_a_key_whose_image_is_gone_buys_nothing(
    create_image: CreateImage, generator: InMemoryImageGenerator, ann: Principal
) -> None:
    class ForgetfulRepository(InMemoryImageRepository):
        def forget(self) -> None:
            self._images.clear()

    images = ForgetfulRepository()
    create_image = with_parts(create_image, images=images)
    await create_image(FOX, principal=ann, idempotency_key=KEY)
    images.forget()
    with pytest.raises(ConstraintViolationError, match="gone"):
        await create_image(FOX, principal=ann, idempotency_key=KEY)
    assert len(generator.requests) == 1


class ForgetfulRepository(InMemoryImageRepository):
    """Adds an image and says that it did not, as a database does whose connection breaks at the commit."""

    is_away = False

    async def add(self, image: Image, **options: Any) -> Image:
        await super().add(image, **options)
        raise DBConnectionError("The connection was lost.")

    async def get(self, guid: UUID) -> Image:
        if self.is_away:
            raise DBConnectionError("The database does not answer.")
        return await super().get(guid)


async def test_an_image_that_is_stored_although_the_connection_was_lost_is_made(
    create_image: CreateImage, generator: InMemoryImageGenerator, ann: Principal
) -> None:
    create_image = with_parts(create_image, images=ForgetfulRepository())
    created = await create_image(FOX, principal=ann, idempotency_key=KEY)
    assert created.image.status is ImageStatus.READY
    assert (await create_image(FOX, principal=ann, idempotency_key=KEY)).image == created.image
    assert len(generator.requests) == 1


async def test_the_key_of_an_image_that_may_be_stored_finds_it_when_the_database_is_back(
    create_image: CreateImage, generator: InMemoryImageGenerator, ann: Principal
) -> None:
    images = ForgetfulRepository()
    create_image = with_parts(create_image, images=images, policy=GenerationPolicy(patience=0.0))
    images.is_away = True
    with pytest.raises(ImageDelayedError) as caught:
        await create_image(FOX, principal=ann, idempotency_key=KEY)
    images.is_away = False
    assert (await images.get(caught.value.guid or UUID(int=0))).status is ImageStatus.PENDING
    create_image.dispatcher.serve()
    guids = {
        created.image.guid
        for created in await asyncio.gather(*(create_image(FOX, principal=ann, idempotency_key=KEY) for _ in range(5)))
    }
    await create_image.dispatcher.close()
    assert len(guids) == len(generator.requests) == 1


async def test_a_database_that_is_lost_during_a_replay_does_not_deny_the_purchase(
    create_image: CreateImage, ann: Principal
) -> None:
    class LosingRepository(InMemoryImageRepository):
        is_lost = False

        async def get(self, guid: UUID) -> Image:
            if self.is_lost:
                raise DBConnectionError("The database does not answer.")
            return await super().get(guid)

    images = LosingRepository()
    create_image = with_parts(create_image, images=images)
    first = (await create_image(FOX, principal=ann, idempotency_key=KEY)).image
    images.is_lost = True
    with pytest.raises(ImageDelayedError) as caught:
        await create_image(FOX, principal=ann, idempotency_key=KEY)
    assert caught.value.guid == first.guid
