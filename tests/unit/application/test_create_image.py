"""Generating an image and keeping it."""

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterable, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.system.clock import SystemClock
from pixyproxy.adapters.system.guid_source import RandomGuidSource
from pixyproxy.application import CreateImage, GetImage, GetImageContent, ListImages
from pixyproxy.application.dispatcher import DispatchPolicy
from pixyproxy.application.generate_image import QUARANTINE_NOTE, GenerationPolicy
from pixyproxy.domain.capabilities import Capabilities, ModelCapabilities
from pixyproxy.domain.content import ContentKey, MediaType
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    ContentNotFoundError,
    ContentNotKeptError,
    ContentStoreError,
    DamagedRecordError,
    DataValidationError,
    DBConnectionError,
    GenerationAbandonedError,
    GenerationBrokenOffError,
    GenerationError,
    GenerationFailedError,
    GenerationFaultError,
    GenerationNotStartedError,
    GenerationRefusedError,
    GenerationTimedOutError,
    ImageDelayedError,
    OverloadedError,
    PixyProxyException,
    RecordNotFoundError,
)
from pixyproxy.domain.failure import Failure
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.idempotency import IdempotencyKey
from pixyproxy.domain.image import Image, ImageChanges, ImageScope, ImageStatus, Visibility, image_conflict
from pixyproxy.domain.ports import ContentDigest, GeneratedImage, GuidSource
from pixyproxy.domain.reference import Reference
from pixyproxy.domain.user import ANONYMOUS, Principal, UserName
from tests.factories import PendingImageFactory
from tests.images import completed
from tests.use_cases import FOX, LIGHTHOUSE, with_parts

GUID = UUID("0b6f1c1e-5d0e-4a39-9f43-5c8d3f6f2b11")
ANN = Principal(name=UserName("ann"))
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

    async def generate(self, request: GenerationRequest, **kwargs: Any) -> GeneratedImage:
        await self._look()
        return await super().generate(request)


class SpendingGenerator(InMemoryImageGenerator):
    """Draws 2 MiB of a WebP and reports its usage."""

    async def generate(self, request: GenerationRequest, **kwargs: Any) -> GeneratedImage:
        return GeneratedImage(
            data=bytes(range(256)) * 8192, media_type=MediaType.WEBP, width=640, height=480, usage={"total_tokens": 42}
        )


class BrokenContentStore(InMemoryContentStore):
    """Fails in the middle of a content."""

    def __init__(self, error: Exception, times: int = sys.maxsize) -> None:
        super().__init__()
        self._error = error
        self._times = times

    async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
        if self._times:
            self._times -= 1
            async for _ in chunks:
                raise self._error
        return await super().put(key, chunks)


class FullContentStore(InMemoryContentStore):
    """Says beforehand that it can't write."""

    async def check(self) -> None:
        raise ContentStoreError("The content store is full.")


class StuckContentStore(InMemoryContentStore):
    """Never comes to the end of a content."""

    def __init__(self) -> None:
        super().__init__()
        self.is_storing = asyncio.Event()

    async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
        self.is_storing.set()
        await asyncio.Event().wait()
        return await super().put(key, chunks)


class BrokenImageRepository(InMemoryImageRepository):
    """Adds images, lets them be begun, and then fails to bring them to an end."""

    def __init__(self, error: PixyProxyException, times: int = sys.maxsize) -> None:
        super().__init__()
        self._error = error
        self._times = times

    async def update(self, image: Image, *, expected: ImageStatus) -> None:
        if image.status.is_final and self._times:
            self._times -= 1
            raise self._error
        await super().update(image, expected=expected)


class UnreachableImageRepository(InMemoryImageRepository):
    """Takes no image."""

    async def add(self, image: Image, **_: Any) -> Image:
        raise DBConnectionError("The database does not answer.")


@pytest.fixture
def create_image(create_image: CreateImage) -> CreateImage:
    return with_parts(create_image, guids=OneGuid(), policy=GenerationPolicy(patience=0, pause=0))


async def assert_failed_and_never_shown(images: InMemoryImageRepository, contents: InMemoryContentStore) -> Image:
    """Return the failed image, and check that only its author can see it."""
    image = await images.get(GUID)
    assert image.status in {ImageStatus.FAILED, ImageStatus.UNKNOWN}
    assert image.content is None
    for scope in ImageScope:
        with pytest.raises(RecordNotFoundError):
            await GetImage(images=images)(GUID, Principal(name=UserName("eve")), scope)
        with pytest.raises(RecordNotFoundError):
            await GetImageContent(images=images, contents=contents)(GUID, Principal(name=image.author), scope)
    assert (await ListImages(catalogue=images)(ANONYMOUS)).images == []
    with pytest.raises(ContentNotFoundError):
        await contents.open(image.content_key)
    return image


async def test_a_created_image_is_ready_and_described(create_image: CreateImage, ann: Principal) -> None:
    create_image = with_parts(create_image, generator=SpendingGenerator())
    created = await create_image(
        GenerationRequest(prompt="  A lighthouse at dusk "),
        tags=["sea"],
        visibility=Visibility.PRIVATE,
        principal=ann,
    )
    image = created.image
    assert not created.is_replay
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


async def test_the_returned_image_is_the_stored_one(create_image: CreateImage, ann: Principal) -> None:
    image = (await create_image(LIGHTHOUSE, tags=["sea"], principal=ann)).image
    assert image.id is not None
    assert image == await create_image.images.get(GUID)


async def test_the_stored_content_is_what_the_generator_drew(
    create_image: CreateImage, contents: InMemoryContentStore
) -> None:
    create_image = with_parts(create_image, generator=SpendingGenerator())
    image = (await create_image(LIGHTHOUSE, principal=ANONYMOUS)).image
    stored = await contents.open(image.content_key)
    assert b"".join([chunk async for chunk in stored.chunks]) == bytes(range(256)) * 8192


async def test_the_times_are_those_of_the_request_and_of_the_completion(create_image: CreateImage) -> None:
    create_image = with_parts(create_image, clock=InMemoryClock(step=timedelta(seconds=20)))
    image = (await create_image(LIGHTHOUSE, principal=ANONYMOUS)).image
    assert image.updated_at - image.created_at == timedelta(seconds=40)


async def test_the_record_is_stored_before_the_generator_is_called(
    create_image: CreateImage, images: InMemoryImageRepository, ann: Principal
) -> None:
    seen: list[Image] = []

    async def look() -> None:
        seen.append(await images.get(GUID))
        with pytest.raises(RecordNotFoundError):
            await GetImage(images=images)(GUID, ANONYMOUS)

    create_image = with_parts(create_image, generator=LookingGenerator(look))
    await create_image(LIGHTHOUSE, tags=["sea"], principal=ann)
    [generating] = seen
    assert generating.status is ImageStatus.GENERATING
    assert (generating.prompt, generating.tags, generating.author) == ("a lighthouse", ("sea",), "ann")


async def test_the_content_is_stored_before_the_image_is_ready(
    create_image: CreateImage, contents: InMemoryContentStore
) -> None:
    class LookingRepository(InMemoryImageRepository):
        async def update(self, image: Image, *, expected: ImageStatus) -> None:
            if image.status is ImageStatus.READY:
                assert (await contents.open(image.content_key)).byte_size > 0
            await super().update(image, expected=expected)

    images = LookingRepository()
    await with_parts(create_image, images=images)(LIGHTHOUSE, principal=ANONYMOUS)
    assert (await images.get(GUID)).status is ImageStatus.READY


async def test_an_image_is_public_unless_it_is_asked_to_be_private(create_image: CreateImage, ann: Principal) -> None:
    assert (await create_image(LIGHTHOUSE, principal=ann)).image.visibility is Visibility.PUBLIC


async def test_an_anonymous_image_has_no_author(create_image: CreateImage) -> None:
    assert (await create_image(LIGHTHOUSE, principal=ANONYMOUS)).image.author is None


async def test_the_generator_gets_the_trimmed_prompt(
    create_image: CreateImage, generator: InMemoryImageGenerator
) -> None:
    await create_image(GenerationRequest(prompt="\n a lighthouse "), principal=ANONYMOUS)
    assert generator.requests == [LIGHTHOUSE]


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
        await create_image(GenerationRequest(prompt=prompt), tags=tags, visibility=visibility, principal=ANONYMOUS)
    assert generator.requests == []
    with pytest.raises(RecordNotFoundError):
        await create_image.images.get(GUID)


class PlainGenerator(InMemoryImageGenerator):
    """Takes squares in PNG, and nothing else."""

    def capabilities(self) -> Capabilities:
        return Capabilities.of(ModelCapabilities(id="plain", sizes=("512x512",), output_formats=("png",)))


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"model": "fancy"}, "model"),
        ({"size": "1024x1024"}, "size"),
        ({"quality": "high"}, "quality"),
        ({"output_format": "webp"}, "output_format"),
        ({"output_compression": 50}, "output_compression"),
        ({"partial_images": 1}, "partial_images"),
        ({"references": (Reference.to_image(OTHER),)}, "references"),
    ],
)
async def test_an_option_that_the_model_does_not_take_is_refused_before_anything_is_reserved_or_bought(
    create_image: CreateImage, images: InMemoryImageRepository, ann: Principal, options: dict[str, Any], field: str
) -> None:
    generator = PlainGenerator()
    create_image = with_parts(create_image, generator=generator, dispatch=DispatchPolicy(max_running=0, max_waiting=0))
    key = IdempotencyKey("abc")

    with pytest.raises(DataValidationError) as caught:
        await create_image(GenerationRequest(prompt="a fox", **options), principal=ann, idempotency_key=key)

    assert caught.value.field == field
    assert generator.requests == []
    assert await images.scan(limit=10) == []
    create_image = with_parts(create_image, dispatch=DispatchPolicy(max_running=1, max_waiting=0))
    allowed = GenerationRequest(prompt="a fox", size="512x512", output_format="png")
    created = await create_image(allowed, principal=ann, idempotency_key=key)
    assert not created.is_replay
    assert created.image.model == "plain"
    assert created.image.request == allowed


async def test_nothing_is_bought_while_the_database_does_not_answer(
    create_image: CreateImage, generator: InMemoryImageGenerator
) -> None:
    create_image = with_parts(create_image, images=UnreachableImageRepository())
    with pytest.raises(DBConnectionError):
        await create_image(LIGHTHOUSE, principal=ANONYMOUS)
    assert generator.requests == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (GenerationRefusedError("The generator will not draw this.", maybe_billed=False), ImageStatus.FAILED),
        (GenerationFailedError("That is no image.", maybe_billed=True, request_id="req_1"), ImageStatus.FAILED),
        (GenerationTimedOutError("The generator did not answer in time.", maybe_billed=True), ImageStatus.UNKNOWN),
        (GenerationBrokenOffError("The connection broke off.", maybe_billed=True), ImageStatus.UNKNOWN),
    ],
)
async def test_a_failed_generation_leaves_a_record_with_the_reason(
    create_image: CreateImage,
    images: InMemoryImageRepository,
    contents: InMemoryContentStore,
    error: GenerationError,
    status: ImageStatus,
) -> None:
    generator = InMemoryImageGenerator()
    generator.fail_next(error)
    with pytest.raises(type(error)) as caught:
        await with_parts(create_image, generator=generator)(LIGHTHOUSE, principal=ANN)
    assert caught.value is error
    assert caught.value.guid == GUID
    failed = await assert_failed_and_never_shown(images, contents)
    assert failed.status is status
    assert failed.failure == Failure(kind=type(error).__name__, detail=error.detail, maybe_billed=error.maybe_billed)
    assert failed.generator_request_id == error.request_id
    assert failed.updated_at > failed.created_at


async def test_a_content_store_that_fails_leaves_a_failed_record_that_may_be_billed(
    create_image: CreateImage, images: InMemoryImageRepository, ann: Principal
) -> None:
    contents = BrokenContentStore(ContentStoreError("The content store is full."))
    with pytest.raises(ContentNotKeptError, match="full"):
        await with_parts(create_image, contents=contents)(LIGHTHOUSE, principal=ann)
    failed = await assert_failed_and_never_shown(images, contents)
    assert failed.failure == Failure(
        kind="ContentNotKeptError", detail=f"The content store is full. {QUARANTINE_NOTE}", maybe_billed=True
    )


async def test_a_content_store_that_recovers_soon_enough_keeps_the_image(
    create_image: CreateImage, generator: InMemoryImageGenerator
) -> None:
    contents = BrokenContentStore(ContentStoreError("The content store is full."), times=2)
    patient = GenerationPolicy(patience=5, pause=0)
    create_image = with_parts(create_image, contents=contents, policy=patient)
    image = (await create_image(LIGHTHOUSE, principal=ANONYMOUS)).image
    assert image.status is ImageStatus.READY
    assert len(generator.requests) == 1


async def test_without_space_nothing_is_bought(
    create_image: CreateImage, images: InMemoryImageRepository, generator: InMemoryImageGenerator, ann: Principal
) -> None:
    contents = FullContentStore()
    with pytest.raises(ContentStoreError, match="full"):
        await with_parts(create_image, contents=contents)(LIGHTHOUSE, principal=ann)
    assert generator.requests == []
    assert await images.count() == 0


async def test_an_image_in_the_queue_is_drawn_by_the_model_that_it_was_promised(
    create_image: CreateImage, images: InMemoryImageRepository
) -> None:
    class OtherDefault(InMemoryImageGenerator):
        def capabilities(self) -> Capabilities:
            old, new = (ModelCapabilities(id=name) for name in ("old", "new"))
            return Capabilities(models=(old, new), default="new")

    generator = OtherDefault()
    await images.add(
        PendingImageFactory.build(guid=GUID, request=LIGHTHOUSE, model="old", created_at=datetime.now(UTC))
    )
    create_image = with_parts(create_image, generator=generator, clock=SystemClock())
    create_image.dispatcher.serve()
    assert await create_image.generations.result(images, GUID, 5)
    await create_image.dispatcher.close()
    assert [request.model for request in generator.requests] == ["old"]


async def test_a_request_that_can_not_be_met_any_more_when_it_is_its_turn_costs_nothing(
    create_image: CreateImage, images: InMemoryImageRepository
) -> None:
    generator = PlainGenerator()
    request = GenerationRequest(prompt="a fox", size="1024x1024")
    image = PendingImageFactory.build(guid=GUID, request=request, model="plain", created_at=datetime.now(UTC))
    await images.add(image)
    create_image = with_parts(create_image, generator=generator, clock=SystemClock())
    create_image.dispatcher.serve()
    with pytest.raises(GenerationNotStartedError, match="size"):
        await create_image.generations.result(images, GUID, 5)
    await create_image.dispatcher.close()
    assert generator.requests == []


async def test_without_space_when_it_is_its_turn_an_image_waits_in_the_queue(
    create_image: CreateImage, images: InMemoryImageRepository, generator: InMemoryImageGenerator, ann: Principal
) -> None:
    class FillingContentStore(InMemoryContentStore):
        checks = 0

        async def check(self) -> None:
            self.checks += 1
            if self.checks == 2:
                raise ContentStoreError("The content store is full.")

    create_image = with_parts(create_image, contents=FillingContentStore(), policy=GenerationPolicy(lease_seconds=0.03))
    assert (await create_image(LIGHTHOUSE, principal=ann)).image.status is ImageStatus.READY
    assert generator.requests == [LIGHTHOUSE]


async def test_without_a_queue_and_without_space_when_it_is_its_turn_an_image_has_failed(
    create_image: CreateImage, images: InMemoryImageRepository, generator: InMemoryImageGenerator, ann: Principal
) -> None:
    class FillingContentStore(InMemoryContentStore):
        checks = 0

        async def check(self) -> None:
            self.checks += 1
            if self.checks == 2:
                raise ContentStoreError("The content store is full.")

    contents = FillingContentStore()
    create_image = with_parts(create_image, contents=contents, leases=None, queue=None)
    with pytest.raises(ContentNotKeptError, match="full"):
        await create_image(LIGHTHOUSE, principal=ann)
    assert generator.requests == []
    failed = await assert_failed_and_never_shown(images, contents)
    assert failed.failure == Failure(
        kind="ContentNotKeptError", detail="The content store is full.", maybe_billed=False
    )


@pytest.mark.parametrize("fault", [RuntimeError("password=hunter2"), DBConnectionError("password=hunter2")])
async def test_an_unexpected_error_is_recorded_without_its_text(
    create_image: CreateImage, images: InMemoryImageRepository, fault: Exception
) -> None:
    contents = BrokenContentStore(fault)
    with pytest.raises(GenerationFaultError) as caught:
        await with_parts(create_image, contents=contents)(LIGHTHOUSE, principal=ANN)
    assert caught.value.__cause__ is fault
    failed = await assert_failed_and_never_shown(images, contents)
    assert failed.failure is not None
    assert failed.failure.kind == "GenerationFaultError"
    assert failed.failure.maybe_billed
    assert "hunter2" not in failed.failure.detail


async def test_an_image_whose_start_was_recorded_although_the_connection_was_lost_is_bought_once(
    create_image: CreateImage, generator: InMemoryImageGenerator
) -> None:
    class ForgetfulRepository(InMemoryImageRepository):
        """Begins an image and says that it did not, as a database does whose connection breaks at the commit."""

        async def update_leased(self, image: Image, *, expected: ImageStatus, owner: str) -> None:
            await super().update_leased(image, expected=expected, owner=owner)
            raise DBConnectionError("The database does not answer.")

    create_image = with_parts(create_image, images=ForgetfulRepository(), policy=GenerationPolicy(pause=0.0))
    assert (await create_image(LIGHTHOUSE, principal=ANONYMOUS)).image.status is ImageStatus.READY
    assert generator.requests == [LIGHTHOUSE]


async def test_an_image_that_can_not_be_recorded_as_begun_stays_in_the_queue(
    create_image: CreateImage, generator: InMemoryImageGenerator
) -> None:
    class LostRepository(InMemoryImageRepository):
        is_lost = True

        async def update_leased(self, image: Image, *, expected: ImageStatus, owner: str) -> None:
            if self.is_lost:
                raise DBConnectionError("The database does not answer.")
            await super().update_leased(image, expected=expected, owner=owner)

    images = LostRepository()
    create_image = with_parts(create_image, images=images, policy=GenerationPolicy(lease_seconds=0.03, patience=0.0))
    waiting = await create_image(LIGHTHOUSE, principal=ANONYMOUS, wait=0.05)
    assert waiting.image.status is ImageStatus.PENDING
    assert generator.requests == []
    images.is_lost = False
    ready = await create_image.generations.result(images, GUID, 10)
    assert ready is not None
    assert generator.requests == [LIGHTHOUSE]


async def test_an_image_that_another_process_has_taken_over_is_left_to_it(
    create_image: CreateImage, generator: InMemoryImageGenerator
) -> None:
    class BusyRepository(InMemoryImageRepository):
        """Another process takes each image over, and makes it, before it is begun here."""

        async def update_leased(self, image: Image, *, expected: ImageStatus, owner: str) -> None:
            (lease,) = await self.list_leases(limit=1)
            assert await self.take_over(lease, "another process")
            try:
                await super().update_leased(image, expected=expected, owner=owner)
            finally:
                await super().update(image, expected=expected)
                await super().update(completed(image), expected=image.status)

    create_image = with_parts(create_image, images=BusyRepository())
    assert (await create_image(LIGHTHOUSE, principal=ANONYMOUS)).image.status is ImageStatus.READY
    assert generator.requests == []


async def test_a_database_that_is_lost_while_the_client_waits_a_little_leaves_it_with_the_guid(
    create_image: CreateImage,
) -> None:
    class LostImageRepository(InMemoryImageRepository):
        async def get(self, guid: UUID) -> Image:
            raise DBConnectionError("The database does not answer.")

    async def draw_for_ever() -> None:
        await asyncio.Event().wait()

    create_image = with_parts(create_image, images=LostImageRepository(), generator=LookingGenerator(draw_for_ever))
    with pytest.raises(ImageDelayedError) as caught:
        await create_image(LIGHTHOUSE, principal=ANONYMOUS, wait=0)
    assert caught.value.guid == GUID
    await create_image.generations.close(0)


async def test_a_database_that_fails_after_the_content_is_stored_leaves_both_for_recovery(
    create_image: CreateImage, contents: InMemoryContentStore
) -> None:
    images = BrokenImageRepository(DBConnectionError("The database does not answer."))
    with pytest.raises(ImageDelayedError) as caught:
        await with_parts(create_image, images=images)(LIGHTHOUSE, principal=ANONYMOUS)
    assert caught.value.guid == GUID
    generating = await images.get(GUID)
    assert generating.status is ImageStatus.GENERATING
    assert (await contents.open(generating.content_key)).byte_size > 0
    assert (await ListImages(catalogue=images)(ANONYMOUS)).images == []


async def test_a_database_that_comes_back_soon_enough_is_waited_for(create_image: CreateImage) -> None:
    images = BrokenImageRepository(DBConnectionError("The database does not answer."), times=2)
    patient = GenerationPolicy(patience=5, pause=0)
    create_image = with_parts(create_image, images=images, policy=patient)
    image = (await create_image(LIGHTHOUSE, principal=ANONYMOUS)).image
    assert image == await images.get(GUID)
    assert image.status is ImageStatus.READY


async def test_an_end_that_was_stored_although_the_database_said_otherwise_is_no_error(
    create_image: CreateImage,
) -> None:
    class ForgetfulRepository(InMemoryImageRepository):
        async def update(self, image: Image, *, expected: ImageStatus) -> None:
            await super().update(image, expected=expected)
            if image.status is ImageStatus.READY:
                raise DBConnectionError("The connection was lost.")

    images = ForgetfulRepository()
    patient = GenerationPolicy(patience=5, pause=0)
    create_image = with_parts(create_image, images=images, policy=patient)
    image = (await create_image(LIGHTHOUSE, principal=ANONYMOUS)).image
    assert image == await images.get(GUID)


@pytest.mark.parametrize(
    "second",
    [
        DBConnectionError("The database does not answer."),
        image_conflict(),
        RecordNotFoundError("There is no image."),
    ],
)
async def test_the_client_hears_of_the_generation_even_if_its_failure_can_not_be_recorded(
    create_image: CreateImage, generator: InMemoryImageGenerator, second: PixyProxyException
) -> None:
    generator.fail_next(GenerationRefusedError("The generator will not draw this.", maybe_billed=False))
    images = BrokenImageRepository(second)
    with pytest.raises(GenerationRefusedError):
        await with_parts(create_image, images=images)(LIGHTHOUSE, principal=ANONYMOUS)
    assert (await images.get(GUID)).status is ImageStatus.GENERATING


async def test_an_image_that_another_process_gave_up_becomes_ready_when_its_picture_arrives(
    create_image: CreateImage, images: InMemoryImageRepository
) -> None:
    async def give_up() -> None:
        generating = await images.get(GUID)
        lost = GenerationAbandonedError("The outcome is unknown.", maybe_billed=True)
        await images.update(generating.failed(lost, at=generating.created_at), expected=ImageStatus.GENERATING)

    create_image = with_parts(create_image, generator=LookingGenerator(give_up))
    image = (await create_image(LIGHTHOUSE, principal=ANONYMOUS)).image
    assert image == await images.get(GUID)
    assert image.status is ImageStatus.READY
    assert image.failure is None


async def test_an_authors_changes_to_a_late_image_are_returned(
    create_image: CreateImage, images: InMemoryImageRepository
) -> None:
    async def give_up() -> None:
        generating = await images.get(GUID)
        unknown = generating.failed(GenerationAbandonedError("?", maybe_billed=True), at=generating.created_at)
        await images.update(unknown, expected=ImageStatus.GENERATING)
        changed = unknown.changed(ImageChanges(tags=["late"]), at=generating.created_at)
        await images.change(changed, expected_version=unknown.version)

    create_image = with_parts(create_image, generator=LookingGenerator(give_up))
    image = (await create_image(LIGHTHOUSE, principal=ANONYMOUS)).image
    assert image == await images.get(GUID)
    assert image.status is ImageStatus.READY
    assert image.tags == ("late",)


async def test_a_generation_goes_on_when_its_caller_is_cancelled(
    create_image: CreateImage, images: InMemoryImageRepository
) -> None:
    is_drawing, may_end = asyncio.Event(), asyncio.Event()

    async def draw() -> None:
        is_drawing.set()
        await may_end.wait()

    create_image = with_parts(create_image, generator=LookingGenerator(draw))
    caller = asyncio.create_task(create_image(LIGHTHOUSE, principal=ANONYMOUS))
    await is_drawing.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    may_end.set()
    assert await create_image.generations.result(images, GUID, 5) == await images.get(GUID)
    assert (await images.get(GUID)).status is ImageStatus.READY


async def test_a_generation_that_is_broken_off_leaves_a_record_for_recovery_and_no_content(
    create_image: CreateImage, images: InMemoryImageRepository, contents: InMemoryContentStore
) -> None:
    is_drawing = asyncio.Event()

    async def draw_for_ever() -> None:
        is_drawing.set()
        await asyncio.Event().wait()

    create_image = with_parts(create_image, generator=LookingGenerator(draw_for_ever))
    caller = asyncio.create_task(create_image(LIGHTHOUSE, principal=ANONYMOUS))
    await is_drawing.wait()
    assert await create_image.generations.close(0) == [GUID]
    with pytest.raises(asyncio.CancelledError):
        await caller
    generating = await images.get(GUID)
    assert generating.status is ImageStatus.GENERATING
    with pytest.raises(ContentNotFoundError):
        await contents.open(generating.content_key)


async def test_breaking_off_while_the_content_is_stored_leaves_a_record_for_recovery(
    create_image: CreateImage, images: InMemoryImageRepository
) -> None:
    contents = StuckContentStore()
    create_image = with_parts(create_image, contents=contents)
    caller = asyncio.create_task(create_image(LIGHTHOUSE, principal=ANONYMOUS))
    await contents.is_storing.wait()
    await create_image.generations.close(0)
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert (await images.get(GUID)).status is ImageStatus.GENERATING


async def test_a_guid_that_is_taken_buys_nothing(create_image: CreateImage, generator: InMemoryImageGenerator) -> None:
    first = (await create_image(LIGHTHOUSE, principal=ANONYMOUS)).image
    with pytest.raises(ConstraintViolationError):
        await create_image(GenerationRequest(prompt="another"), principal=ANONYMOUS)
    assert generator.requests == [LIGHTHOUSE]
    assert await create_image.images.get(GUID) == first


async def test_one_failed_generation_does_not_touch_another_image(
    create_image: CreateImage, generator: InMemoryImageGenerator
) -> None:
    first = (await create_image(LIGHTHOUSE, principal=ANONYMOUS)).image

    class OtherGuid(GuidSource):
        def new(self) -> UUID:
            return OTHER

    generator.fail_next(GenerationRefusedError("No.", maybe_billed=False))
    with pytest.raises(GenerationRefusedError):
        await with_parts(create_image, guids=OtherGuid())(GenerationRequest(prompt="another"), principal=ANONYMOUS)
    assert await create_image.images.get(GUID) == first
    assert (await create_image.images.get(OTHER)).status is ImageStatus.FAILED


async def test_bytes_that_have_come_are_stored_even_when_the_process_ends_meanwhile(
    create_image: CreateImage, images: InMemoryImageRepository
) -> None:
    class SlowContentStore(StuckContentStore):
        def __init__(self) -> None:
            super().__init__()
            self.may_end = asyncio.Event()

        async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
            self.is_storing.set()
            await self.may_end.wait()
            return await InMemoryContentStore.put(self, key, chunks)

    contents = SlowContentStore()
    create_image = with_parts(create_image, contents=contents, policy=GenerationPolicy(patience=10))
    await create_image(LIGHTHOUSE, principal=ANONYMOUS, wait=0)
    await contents.is_storing.wait()
    closing = asyncio.create_task(create_image.generations.close(0))
    await asyncio.sleep(0.01)
    contents.may_end.set()
    assert await closing == [GUID]
    assert (await images.get(GUID)).status is ImageStatus.GENERATING
    assert (await contents.open(ContentKey(str(GUID)))).byte_size > 0


async def test_a_waiting_image_of_a_process_that_does_not_serve_has_failed_when_it_ends(
    create_image: CreateImage, images: InMemoryImageRepository
) -> None:
    may_end = asyncio.Event()
    generator = LookingGenerator(lambda: asyncio.wait_for(may_end.wait(), 10))  # type: ignore[arg-type]
    create_image = with_parts(
        create_image, generator=generator, guids=RandomGuidSource(), dispatch=DispatchPolicy(max_running=1)
    )
    first = await create_image(LIGHTHOUSE, principal=ANONYMOUS, wait=0)
    second = await create_image(FOX, principal=ANONYMOUS, wait=0)
    await asyncio.sleep(0.01)
    await create_image.dispatcher.close()
    may_end.set()
    assert await create_image.generations.close(10) == []
    assert generator.requests == [LIGHTHOUSE]
    assert (await images.get(first.image.guid)).status is ImageStatus.READY
    failure = (await images.get(second.image.guid)).failure
    assert failure is not None
    assert (failure.kind, failure.maybe_billed) == ("GenerationNotStartedError", False)
    with pytest.raises(OverloadedError):
        await create_image(GenerationRequest(prompt="a wolf"), principal=ANONYMOUS)


async def test_a_process_that_was_only_slow_tells_what_it_heard_in_the_end(
    create_image: CreateImage, images: InMemoryImageRepository
) -> None:
    async def give_up() -> None:
        generating = await images.get(GUID)
        lost = GenerationAbandonedError("The outcome is unknown.", maybe_billed=True)
        await images.update(generating.failed(lost, at=generating.created_at), expected=ImageStatus.GENERATING)

    generator = LookingGenerator(give_up)
    generator.fail_next(GenerationRefusedError("No.", maybe_billed=False))
    with pytest.raises(GenerationRefusedError):
        await with_parts(create_image, generator=generator)(LIGHTHOUSE, principal=ANONYMOUS)
    refused = await images.get(GUID)
    assert refused.failure is not None
    assert (refused.status, refused.failure.maybe_billed) == (ImageStatus.FAILED, False)


async def test_a_lease_is_renewed_again_after_whatever_went_wrong(create_image: CreateImage) -> None:
    is_renewed_again = asyncio.Event()

    class StumblingRepository(InMemoryImageRepository):
        renewals = 0

        async def renew(self, guid: UUID, owner: str) -> bool:
            self.renewals += 1
            if self.renewals > 3:
                is_renewed_again.set()
            raise RuntimeError("the driver has a fault")

    async def draw() -> None:
        await asyncio.wait_for(is_renewed_again.wait(), 10)

    policy = GenerationPolicy(lease_seconds=0.01, patience=0)
    images = StumblingRepository()
    create_image = with_parts(create_image, images=images, generator=LookingGenerator(draw), policy=policy)
    image = (await create_image(LIGHTHOUSE, principal=ANONYMOUS)).image
    assert image.status is ImageStatus.READY


@pytest.mark.parametrize("error", [RecordNotFoundError("There is no image."), DamagedRecordError("It is damaged.")])
async def test_an_image_whose_record_is_gone_when_it_comes_may_have_been_billed(
    create_image: CreateImage, error: PixyProxyException
) -> None:
    images = BrokenImageRepository(error)
    with pytest.raises(GenerationFaultError) as caught:
        await with_parts(create_image, images=images)(LIGHTHOUSE, principal=ANONYMOUS)
    assert caught.value.maybe_billed
