"""Partial images: kept while their image is being made, and never at its cost."""

import asyncio
import gc
from collections.abc import AsyncIterable, Callable
from typing import Any

import msgspec
import pytest

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_generator import PICTURE, InMemoryImageGenerator, Script
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.pictures.pillow.content_inspector import PillowContentInspector
from pixyproxy.application import CreateBatch, CreateImage, GetPartialImage, WatchImage
from pixyproxy.application.partial_images import PartialImages
from pixyproxy.application.watch_image import WatchedPartial
from pixyproxy.domain.content import CONTENT_MAX_SIZE, ContentKey, MediaType, partial_key_of
from pixyproxy.domain.errors import (
    ContentStoreError,
    GenerationError,
    GenerationRefusedError,
    GenerationTimedOutError,
    RecordNotFoundError,
)
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageScope, ImageStatus, Visibility
from pixyproxy.domain.ports import ContentDigest, PartialImage
from pixyproxy.domain.user import ANONYMOUS, Principal, UserName
from tests.factories import FailedImageFactory, GeneratingImageFactory, ImageFactory, UnknownImageFactory
from tests.pausing_generator import PausingGenerator
from tests.use_cases import with_parts

FOX = GenerationRequest(prompt="a fox", partial_images=3)
SOON = 5.0
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8"/></svg>'


class Area(InMemoryContentStore):
    """Remembers what was stored in it."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: list[ContentKey] = []

    async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
        digest = await super().put(key, chunks)
        self.stored.append(key)
        return digest

    async def left(self) -> list[ContentKey]:
        """Return the keys of what is stored now."""
        keys = self.keys()
        return [key async for key in keys]


class FailingArea(Area):
    """Fails to store what it is told to."""

    def __init__(self, error: Exception, *positions: int) -> None:
        super().__init__()
        self._error = error
        self._positions = list(positions)
        self._calls = 0

    async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
        self._calls += 1
        if self._calls - 1 in self._positions:
            raise self._error
        return await super().put(key, chunks)


class HangingArea(Area):
    """Hangs in a write or a deletion until `may_go_on` is set, and can't be cancelled, as a thread can't."""

    def __init__(self, *, writes: bool = False, deletions: bool = False) -> None:
        super().__init__()
        self.may_go_on = asyncio.Event()
        self._writes = writes
        self._deletions = deletions

    async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
        if self._writes:
            await self._hang()
        return await super().put(key, chunks)

    async def delete(self, key: ContentKey) -> None:
        if self._deletions:
            await self._hang()
        await super().delete(key)

    async def _hang(self) -> None:
        while not self.may_go_on.is_set():
            try:
                await self.may_go_on.wait()
            except asyncio.CancelledError:
                continue


@pytest.fixture
def area() -> Area:
    return Area()


@pytest.fixture
def partials(area: Area) -> PartialImages:
    return partials_in(area)


def partials_in(area: Area, **options: Any) -> PartialImages:
    return PartialImages(contents=area, inspector=PillowContentInspector(), **options)


@pytest.fixture
def create_image(create_image: CreateImage, partials: PartialImages) -> CreateImage:
    return with_partials(create_image, partials)


def with_partials(create_image: CreateImage, partials: PartialImages, **parts: Any) -> CreateImage:
    return with_parts(create_image, partials=partials, **parts)


class Listener:
    """Collects what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, PartialImage]] = []

    async def __call__(self, image: Image, position: int, partial: PartialImage) -> None:
        assert image.status is ImageStatus.PENDING
        self.heard.append((position, partial))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(SOON):
        while not condition():  # noqa: ASYNC110 -- the store has no event
            await asyncio.sleep(0.001)


async def test_each_partial_image_is_stored_and_deleted_when_the_image_is_ready(
    create_image: CreateImage, area: Area, ann: Principal
) -> None:
    image = (await create_image(FOX, principal=ann)).image

    assert image.status is ImageStatus.READY
    assert area.stored == [partial_key_of(image.guid, position) for position in range(3)]
    assert await area.left() == []


async def test_the_caller_gets_each_partial_image(create_image: CreateImage, ann: Principal) -> None:
    listener = Listener()

    await create_image(request=FOX, principal=ann, on_partial=listener)

    assert listener.heard == [(position, PartialImage(data=PICTURE, media_type=MediaType.PNG)) for position in range(3)]


async def test_the_caller_gets_the_partial_images_of_each_image_of_a_batch(
    create_image: CreateImage, images: InMemoryImageRepository, area: Area, ann: Principal
) -> None:
    heard: list[tuple[int, int]] = []

    async def listen(image: Image, position: int, partial: PartialImage) -> None:
        assert image.batch is not None
        heard.append((image.batch.position, position))

    await CreateBatch(create_image=create_image, batches=images)(FOX, 2, principal=ann, on_partial=listen)

    assert sorted(heard) == [(place, position) for place in range(2) for position in range(3)]
    assert await area.left() == []


@pytest.mark.parametrize(
    "error",
    [GenerationRefusedError("No.", maybe_billed=False), GenerationTimedOutError("It is late.", maybe_billed=True)],
)
async def test_they_are_deleted_when_the_image_has_failed_or_is_unknown(
    create_image: CreateImage, generator: InMemoryImageGenerator, area: Area, ann: Principal, error: GenerationError
) -> None:
    generator.script(Script(partials=[PICTURE, PICTURE], error=error))

    with pytest.raises(type(error)):
        await create_image(FOX, principal=ann)

    assert len(area.stored) == 2
    assert await area.left() == []


async def test_they_are_deleted_when_the_generation_is_interrupted(
    create_image: CreateImage, generator: InMemoryImageGenerator, area: Area, ann: Principal
) -> None:
    generator.script(Script(partials=[PICTURE], delay=0.05))
    await create_image(FOX, principal=ann, wait=0)
    await until(lambda: area.stored)

    await create_image.generations.close(seconds=0)

    assert await area.left() == []


async def test_none_is_asked_for_unless_the_request_does(
    create_image: CreateImage, generator: InMemoryImageGenerator, area: Area, ann: Principal
) -> None:
    generator.script(Script(partials=[PICTURE]))

    await create_image(GenerationRequest(prompt="a fox"), principal=ann)

    assert area.stored == []


async def test_no_more_are_kept_than_were_asked_for(
    create_image: CreateImage, generator: InMemoryImageGenerator, area: Area, ann: Principal
) -> None:
    generator.script(Script(partials=[PICTURE] * 5))

    await create_image(GenerationRequest(prompt="a fox", partial_images=2), principal=ann)

    assert len(area.stored) == 2


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"<html>",
        SVG,
        PICTURE[:40],
        bytes(CONTENT_MAX_SIZE + 1),
        None,
        "a text",
        b"GIF89a",
    ],
)
async def test_what_is_no_picture_is_dropped_and_costs_nothing(
    create_image: CreateImage, generator: InMemoryImageGenerator, area: Area, ann: Principal, bad: Any
) -> None:
    generator.script(Script(partials=[bad, PICTURE, bad]))
    listener = Listener()

    image = (await create_image(FOX, principal=ann, on_partial=listener)).image

    assert image.status is ImageStatus.READY
    assert area.stored == [partial_key_of(image.guid, 0)]
    assert [position for position, _ in listener.heard] == [0]


@pytest.mark.parametrize("error", [ContentStoreError("The disk is full."), RuntimeError("It is broken.")])
async def test_a_store_that_fails_costs_its_partial_image_alone(
    create_image: CreateImage, ann: Principal, error: Exception
) -> None:
    area = FailingArea(error, 0, 2)

    image = (await with_partials(create_image, partials_in(area))(FOX, principal=ann)).image

    assert image.status is ImageStatus.READY
    assert area.stored == [partial_key_of(image.guid, 0)]
    assert await area.left() == []


async def test_a_caller_that_fails_does_not_fail_the_image(
    create_image: CreateImage, area: Area, ann: Principal, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(image: Image, position: int, partial: PartialImage) -> None:
        raise RuntimeError(position)

    image = (await create_image(FOX, principal=ann, on_partial=fail)).image

    assert image.status is ImageStatus.READY
    assert len(area.stored) == 3
    gc.collect()
    assert not caplog.records


async def test_a_store_that_hangs_holds_the_image_up_once_for_a_moment_and_leaves_nothing(
    create_image: CreateImage, ann: Principal
) -> None:
    area = HangingArea(writes=True)
    partials = partials_in(area, seconds=0.05)

    async with asyncio.timeout(SOON):
        image = (await with_partials(create_image, partials)(FOX, principal=ann)).image

    assert image.status is ImageStatus.READY
    area.may_go_on.set()
    await partials.close()
    # The one that was being written came in the end; the others were not even tried.
    assert area.stored == [partial_key_of(image.guid, 0)]
    assert await area.left() == []


async def test_an_interrupted_generation_does_not_wait_for_what_is_being_stored(
    create_image: CreateImage, ann: Principal
) -> None:
    class EndlessArea(Area):
        is_storing = asyncio.Event()

        async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
            self.is_storing.set()
            await asyncio.Event().wait()
            return await super().put(key, chunks)

    area = EndlessArea()
    create_image = with_partials(create_image, partials_in(area, seconds=2 * SOON))
    await create_image(FOX, principal=ann, wait=0)
    await area.is_storing.wait()

    async with asyncio.timeout(SOON):
        await create_image.generations.close(seconds=0)

    assert len(create_image.generations) == 0
    assert await area.left() == []


async def test_a_deletion_that_hangs_holds_the_image_up_for_a_moment_and_goes_on(
    create_image: CreateImage, ann: Principal
) -> None:
    area = HangingArea(deletions=True)
    partials = partials_in(area, seconds=0.05)

    async with asyncio.timeout(SOON):
        image = (await with_partials(create_image, partials)(FOX, principal=ann)).image

    assert image.status is ImageStatus.READY
    assert len(await area.left()) == 3
    area.may_go_on.set()
    await partials.close()
    assert await area.left() == []


async def test_without_an_area_there_are_none(
    create_image: CreateImage, generator: InMemoryImageGenerator, ann: Principal
) -> None:
    image = (await with_parts(create_image, partials=None)(FOX, principal=ann)).image

    assert image.status is ImageStatus.READY
    assert generator.requests == [FOX]


# Watching.


def watch(create_image: CreateImage, partials: PartialImages | None) -> WatchImage:
    return WatchImage(images=create_image.images, generations=create_image.generations, partials=partials)


async def test_a_watcher_sees_states_and_partial_images_in_their_order(
    create_image: CreateImage, generator: InMemoryImageGenerator, partials: PartialImages, ann: Principal
) -> None:
    create_image = with_partials(
        create_image,
        PartialImages(
            contents=partials.contents, inspector=partials.inspector, on_kept=create_image.generations.announce
        ),
    )
    generator.script(Script(delay=0.05))
    guid = (await create_image(FOX, principal=ann, wait=0)).image.guid

    seen = [each async for each in await watch(create_image, partials)(guid, ann)]

    assert [each.position for each in seen if isinstance(each, WatchedPartial)] == [0, 1, 2]
    states = [each.status for each in seen if isinstance(each, Image)]
    assert states[-1] is ImageStatus.READY
    assert isinstance(seen[-1], Image)


async def test_a_watcher_in_the_same_process_sees_each_at_once(
    create_image: CreateImage, area: Area, ann: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixyproxy.application.generations._POLL_SECONDS", 60.0)
    monkeypatch.setattr("pixyproxy.application.generations._POLL_SECONDS_FOR_PARTIALS", 60.0)
    generator = InMemoryImageGenerator()
    generator.script(Script(delay=0.05))
    partials = partials_in(area, on_kept=create_image.generations.announce)
    create_image = with_partials(create_image, partials, generator=generator)
    guid = (await create_image(FOX, principal=ann, wait=0)).image.guid

    async with asyncio.timeout(SOON):
        seen = [each async for each in await watch(create_image, partials)(guid, ann)]

    assert [each.position for each in seen if isinstance(each, WatchedPartial)] == [0, 1, 2]


async def test_a_watcher_of_another_process_that_comes_late_sees_those_that_are_there(
    create_image: CreateImage, area: Area, partials: PartialImages, ann: Principal
) -> None:
    generator = PausingGenerator()
    guid = (await with_parts(create_image, generator=generator)(FOX, principal=ann, wait=0)).image.guid
    await generator.is_pausing.wait()
    elsewhere = WatchImage(
        images=create_image.images, generations=type(create_image.generations)(), partials=partials_in(area)
    )

    watched = await elsewhere(guid, ann)
    seen = [await anext(watched) for _ in range(4)]
    generator.may_go_on.set()
    final = await anext(watched)

    assert isinstance(seen[0], Image)
    assert seen[1:] == [WatchedPartial(guid=guid, position=position) for position in range(3)]
    assert isinstance(final, Image)
    assert final.status is ImageStatus.READY
    assert await anext(watched, None) is None


async def test_an_image_without_partial_images_costs_the_store_nothing(
    create_image: CreateImage, images: InMemoryImageRepository, ann: Principal
) -> None:
    class UnaskedArea(Area):
        async def open(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("It was asked.")

    image = await images.add(GeneratingImageFactory.build(author="ann", prompt="a fox"))
    watched = await watch(create_image, partials_in(UnaskedArea()))(image.guid, ann)

    first = await anext(watched)
    await images.update(
        image.failed(GenerationRefusedError("No.", maybe_billed=False), at=image.updated_at), expected=image.status
    )

    assert isinstance(first, Image)
    assert [each.status async for each in watched if isinstance(each, Image)] == [ImageStatus.FAILED]


async def test_an_image_that_is_hidden_meanwhile_is_seen_no_more(
    create_image: CreateImage, images: InMemoryImageRepository, area: Area, ann: Principal
) -> None:
    image = await images.add(GeneratingImageFactory.build(author=None, request=FOX, visibility=Visibility.PUBLIC))
    watched = await watch(create_image, partials_in(area))(image.guid, ann)
    await anext(watched)

    hidden = msgspec.structs.replace(image, visibility=Visibility.PRIVATE, version=image.version + 1)
    await images.change(hidden, expected_version=image.version)

    with pytest.raises(RecordNotFoundError):
        await anext(watched)


async def test_a_store_that_hangs_does_not_hold_up_the_states(
    create_image: CreateImage, images: InMemoryImageRepository, ann: Principal
) -> None:
    class HangingArea(Area):
        async def open(self, *_: Any, **__: Any) -> Any:
            await asyncio.Event().wait()

    image = await images.add(GeneratingImageFactory.build(author="ann", request=FOX))
    watched = await watch(create_image, partials_in(HangingArea(), seconds=0.05))(image.guid, ann)
    await anext(watched)

    waiting = asyncio.ensure_future(anext(watched))
    refused = image.failed(GenerationRefusedError("No.", maybe_billed=False), at=image.updated_at)
    await images.update(refused, expected=image.status)

    assert (await asyncio.wait_for(waiting, SOON)) == await images.get(image.guid)


async def test_a_store_that_does_not_answer_does_not_end_the_watching(
    create_image: CreateImage, images: InMemoryImageRepository, ann: Principal
) -> None:
    class BrokenArea(Area):
        async def open(self, *_: Any, **__: Any) -> Any:
            raise ContentStoreError("The disk is gone.")

    image = await images.add(GeneratingImageFactory.build(author="ann", request=FOX))
    watched = await watch(create_image, partials_in(BrokenArea()))(image.guid, ann)

    assert isinstance(await anext(watched), Image)
    waiting = asyncio.ensure_future(anext(watched))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    waiting.cancel()


# Reading.


async def stored(area: Area, image: Image, data: bytes = PICTURE, position: int = 0) -> None:
    async def chunks() -> Any:
        yield data

    await area.put(partial_key_of(image.guid, position), chunks())


@pytest.fixture
def get_partial_image(images: InMemoryImageRepository, partials: PartialImages) -> GetPartialImage:
    return GetPartialImage(images=images, partials=partials)


async def test_the_bytes_come_with_their_true_media_type(
    get_partial_image: GetPartialImage, images: InMemoryImageRepository, area: Area, ann: Principal
) -> None:
    image = await images.add(GeneratingImageFactory.build(author="ann", request=FOX))
    for position, (data, media_type) in enumerate(
        [(PICTURE, MediaType.PNG), (b"\xff\xd8\xff rest", MediaType.JPEG), (b"RIFF\0\0\0\0WEBPVP8 ", MediaType.WEBP)]
    ):
        await stored(area, image, data, position)

        found, content = await get_partial_image(image.guid, position, ann)

        assert found is media_type
        assert b"".join([chunk async for chunk in content.chunks]) == data


@pytest.mark.parametrize("factory", [ImageFactory, FailedImageFactory, UnknownImageFactory])
async def test_an_image_that_has_ended_has_none_even_if_it_is_still_there(
    get_partial_image: GetPartialImage, images: InMemoryImageRepository, area: Area, ann: Principal, factory: Any
) -> None:
    image = await images.add(factory.build(author="ann", request=FOX))
    await stored(area, image)

    with pytest.raises(RecordNotFoundError):
        await get_partial_image(image.guid, 0, ann)


@pytest.mark.parametrize("position", [-1, 1, 3, 10**30])
async def test_another_position_is_not_found(
    get_partial_image: GetPartialImage, images: InMemoryImageRepository, area: Area, ann: Principal, position: int
) -> None:
    image = await images.add(GeneratingImageFactory.build(author="ann", request=FOX))
    await stored(area, image)

    with pytest.raises(RecordNotFoundError):
        await get_partial_image(image.guid, position, ann)


async def test_bytes_that_are_no_bitmap_are_not_found(
    get_partial_image: GetPartialImage, images: InMemoryImageRepository, area: Area, ann: Principal
) -> None:
    image = await images.add(GeneratingImageFactory.build(author="ann", request=FOX))
    await stored(area, image, SVG)

    with pytest.raises(RecordNotFoundError):
        await get_partial_image(image.guid, 0, ann)


@pytest.mark.parametrize("visibility", Visibility)
async def test_only_those_may_read_it_who_may_see_the_image_being_made(
    get_partial_image: GetPartialImage,
    images: InMemoryImageRepository,
    area: Area,
    visibility: Visibility,
) -> None:
    ann, bob = (Principal(name=UserName(name)) for name in ("ann", "bob"))
    image = await images.add(GeneratingImageFactory.build(author="ann", request=FOX, visibility=visibility))
    await stored(area, image)

    await get_partial_image(image.guid, 0, ann, ImageScope.OWN)
    for principal in (bob, ANONYMOUS):
        for scope in ImageScope:
            with pytest.raises(RecordNotFoundError):
                await get_partial_image(image.guid, 0, principal, scope)
