"""Paid content that can't be shown is kept: no path from the generator to the record loses it."""

import asyncio
import sys
from collections.abc import AsyncIterable, Mapping
from typing import Any

import msgspec
import pytest

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application import CreateImage, DeleteImage, FinishDeletions
from pixyproxy.application.generate_image import QUARANTINE_NOTE, GenerationPolicy
from pixyproxy.domain.content import ContentKey, MediaType
from pixyproxy.domain.errors import (
    ContentNotFoundError,
    ContentNotKeptError,
    ContentStoreError,
    DBConnectionError,
    GenerationBrokenOffError,
    GenerationError,
    GenerationFailedError,
    GenerationFaultError,
    GenerationRefusedError,
    GenerationTimedOutError,
)
from pixyproxy.domain.failure import FAILURE_MAX_LENGTH
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageStatus
from pixyproxy.domain.ports import ContentDigest, ContentStore, GeneratedImage
from pixyproxy.domain.user import ANONYMOUS, Principal, UserName
from tests.use_cases import LIGHTHOUSE, recover_images_of, with_parts

ANN = Principal(name=UserName("ann"))
ANSWER = b'{"data": "no picture"}'


class OddGenerator(InMemoryImageGenerator):
    """Draws a picture and says something odd of it."""

    def __init__(self, **odd: Any) -> None:
        super().__init__()
        self._odd = odd

    async def generate(self, request: GenerationRequest, **kwargs: Any) -> GeneratedImage:
        return msgspec.structs.replace(await super().generate(request), **self._odd)


class WatchedImageRepository(InMemoryImageRepository):
    """Records the items in quarantine when a failure is recorded."""

    def __init__(self, contents: ContentStore) -> None:
        super().__init__()
        self._contents = contents
        self.kept_by_then: list[bytes] = []

    async def update(self, image: Image, *, expected: ImageStatus) -> None:
        if image.failure is not None:
            self.kept_by_then = list((await quarantined(self._contents, image)).values())
        await super().update(image, expected=expected)


class FullQuarantine(InMemoryContentStore):
    """Fails to put anything into quarantine, always or a number of times; with `is_all_full`, anything anywhere."""

    def __init__(self, times: int = sys.maxsize, *, error: Exception | None = None, is_all_full: bool = False) -> None:
        super().__init__()
        self._times = times
        self._error = error or ContentStoreError("The content store is full.")
        self._is_all_full = is_all_full

    async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
        if self._is_all_full:
            raise self._error
        return await super().put(key, chunks)

    async def put_quarantined(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
        if self._times:
            self._times -= 1
            raise self._error
        return await super().put_quarantined(key, chunks)


@pytest.fixture
def create_image(create_image: CreateImage) -> CreateImage:
    return with_parts(create_image, policy=GenerationPolicy(patience=0, pause=0))


async def quarantined(contents: ContentStore, image: Image) -> Mapping[str, bytes]:
    """Return an image's items in quarantine by name."""
    assert isinstance(contents, InMemoryContentStore)
    opened = {
        item.name: await contents.open_quarantined(item.name)
        for item in await contents.list_quarantine(image.content_key)
    }
    return {name: b"".join([chunk async for chunk in stored.chunks]) for name, stored in opened.items()}


async def only_image(create_image: CreateImage) -> Image:
    assert isinstance(create_image.images, InMemoryImageRepository)
    (image,) = await create_image.images.scan(limit=10)
    assert isinstance(image, Image)
    return image


async def fail(create_image: CreateImage, error: GenerationError) -> GenerationError:
    """Ask for an image whose generator raises `error`, and return the resulting error."""
    generator = InMemoryImageGenerator()
    generator.fail_next(error)
    with pytest.raises(type(error)) as caught:
        await with_parts(create_image, generator=generator)(LIGHTHOUSE, principal=ANN)
    return caught.value


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (GenerationFailedError, ImageStatus.FAILED),
        (GenerationRefusedError, ImageStatus.FAILED),
        (GenerationFaultError, ImageStatus.FAILED),
        (GenerationTimedOutError, ImageStatus.UNKNOWN),
        (GenerationBrokenOffError, ImageStatus.UNKNOWN),
    ],
)
async def test_the_bytes_are_in_quarantine_before_the_failure_is_recorded(
    create_image: CreateImage, contents: InMemoryContentStore, kind: type[GenerationError], status: ImageStatus
) -> None:
    images = WatchedImageRepository(contents)
    create_image = with_parts(create_image, images=images)
    error = await fail(create_image, kind("No picture came.", maybe_billed=True, quarantine=ANSWER))
    image = await only_image(create_image)
    assert images.kept_by_then == [ANSWER]
    assert await quarantined(contents, image) == {image.content_key: ANSWER}
    assert error.detail == f"No picture came. {QUARANTINE_NOTE}"
    assert image.failure is not None
    assert (image.status, image.failure.detail, image.failure.maybe_billed) == (status, error.detail, True)
    with pytest.raises(ContentNotFoundError):
        await contents.open(image.content_key)


@pytest.mark.parametrize("nothing", [None, b""])
async def test_without_bytes_the_failure_names_no_quarantine(
    create_image: CreateImage, contents: InMemoryContentStore, nothing: bytes | None
) -> None:
    error = await fail(create_image, GenerationFailedError("No.", maybe_billed=True, quarantine=nothing))
    assert error.detail == "No."
    assert await contents.list_quarantine() == []


async def test_the_sentence_fits_into_the_record_after_a_reason_of_any_length(create_image: CreateImage) -> None:
    await fail(create_image, GenerationFailedError("x" * 5_000, maybe_billed=True, quarantine=ANSWER))
    image = await only_image(create_image)
    assert image.failure is not None
    assert len(image.failure.detail) == FAILURE_MAX_LENGTH
    assert image.failure.detail.endswith(f"x {QUARANTINE_NOTE}")


async def test_the_client_that_asks_again_hears_that_it_was_kept(create_image: CreateImage) -> None:
    await fail(create_image, GenerationFailedError("No.", maybe_billed=True, quarantine=ANSWER))
    error = (await only_image(create_image)).generation_error
    assert error is not None
    assert error.detail == f"No. {QUARANTINE_NOTE}"


async def test_a_full_quarantine_is_reported_and_the_failure_is_recorded(
    create_image: CreateImage,
) -> None:
    create_image = with_parts(create_image, contents=FullQuarantine())
    error = await fail(create_image, GenerationFailedError("No.", maybe_billed=True, quarantine=ANSWER))
    assert error.detail == "No. What came back could not be kept: The content store is full."
    image = await only_image(create_image)
    assert image.failure is not None
    assert (image.status, image.failure.detail) == (ImageStatus.FAILED, error.detail)


async def test_a_fault_of_the_quarantine_does_not_keep_the_failure_from_being_recorded(
    create_image: CreateImage,
) -> None:
    create_image = with_parts(create_image, contents=FullQuarantine(error=RuntimeError("hunter2")))
    error = await fail(create_image, GenerationFailedError("No.", maybe_billed=True, quarantine=ANSWER))
    assert error.detail == "No. What came back could not be kept."
    assert (await only_image(create_image)).status is ImageStatus.FAILED


async def test_a_quarantine_that_has_room_again_soon_enough_is_waited_for(create_image: CreateImage) -> None:
    contents = FullQuarantine(times=3)
    create_image = with_parts(create_image, contents=contents, policy=GenerationPolicy(patience=10, pause=0))
    error = await fail(create_image, GenerationFailedError("No.", maybe_billed=True, quarantine=ANSWER))
    assert error.detail == f"No. {QUARANTINE_NOTE}"
    assert list((await quarantined(contents, await only_image(create_image))).values()) == [ANSWER]


@pytest.mark.parametrize(
    "odd",
    [
        {"width": 0},
        {"height": -1},
        {"width": None},
        {"width": "8"},
        {"media_type": "image/bmp"},
        {"media_type": None},
    ],
    ids=str,
)
async def test_an_own_generator_that_does_not_keep_to_its_port_is_a_fault_and_its_bytes_are_kept(
    create_image: CreateImage, contents: InMemoryContentStore, odd: dict[str, Any]
) -> None:
    generator = OddGenerator(**odd)
    with pytest.raises(GenerationFaultError) as caught:
        await with_parts(create_image, generator=generator)(LIGHTHOUSE, principal=ANN)
    assert caught.value.maybe_billed
    image = await only_image(create_image)
    assert image.failure is not None
    assert (image.status, image.failure.kind) == (ImageStatus.FAILED, "GenerationFaultError")
    assert image.failure.maybe_billed
    assert image.failure.detail.endswith(QUARANTINE_NOTE)
    (kept,) = (await quarantined(contents, image)).values()
    assert kept.startswith(b"\x89PNG")


@pytest.mark.parametrize("data", [b"", None, "text"], ids=repr)
async def test_an_own_generator_that_returns_no_bytes_is_a_fault_and_the_image_has_failed(
    create_image: CreateImage, contents: InMemoryContentStore, data: Any
) -> None:
    with pytest.raises(GenerationFaultError) as caught:
        await with_parts(create_image, generator=OddGenerator(data=data))(LIGHTHOUSE, principal=ANN)
    assert caught.value.maybe_billed
    image = await only_image(create_image)
    assert image.status is ImageStatus.FAILED
    assert await contents.list_quarantine() == []


class Returning(InMemoryImageGenerator):
    """Returns the given image."""

    def __init__(self, returned: Any) -> None:
        super().__init__()
        self._returned = returned

    async def generate(self, request: GenerationRequest, **kwargs: Any) -> GeneratedImage:
        generated: GeneratedImage = self._returned
        return generated


@pytest.mark.parametrize("returned", [None, "text", b"bytes"], ids=repr)
async def test_an_own_generator_that_returns_something_else_is_a_fault_and_the_image_has_failed(
    create_image: CreateImage, returned: object
) -> None:
    with pytest.raises(GenerationFaultError):
        await with_parts(create_image, generator=Returning(returned))(LIGHTHOUSE, principal=ANN)
    image = await only_image(create_image)
    assert image.status is ImageStatus.FAILED
    kept = list((await quarantined(create_image.dispatcher.generate_image.contents, image)).values())
    assert kept == ([returned] if isinstance(returned, bytes) else [])


async def test_a_media_type_that_is_text_is_as_good_as_any(create_image: CreateImage) -> None:
    generator = OddGenerator(media_type="image/png")
    image = (await with_parts(create_image, generator=generator)(LIGHTHOUSE, principal=ANN)).image
    assert image.ready_content.media_type is MediaType.PNG


@pytest.mark.parametrize(
    "odd",
    [
        {"usage": {"total_tokens": 10**5_000}},
        {"usage": {"total_tokens": float("nan")}},
        {"usage": {"total_tokens": {1, 2}}},
        {"usage": "a lot"},
        {"usage": 7},
        {"request_id": 7},
        {"request_id": "\ud800"},
    ],
    ids=["huge", "nan", "set", "text", "number", "id that is a number", "id that has no encoding"],
)
async def test_odd_data_beside_the_picture_does_not_lose_the_picture(
    create_image: CreateImage, odd: dict[str, Any]
) -> None:
    create_image = with_parts(create_image, generator=OddGenerator(**odd))
    image = (await create_image(LIGHTHOUSE, principal=ANN)).image
    assert (image.status, image.usage, image.generator_request_id) == (ImageStatus.READY, None, None)


async def test_a_picture_that_its_place_does_not_take_is_put_into_quarantine(create_image: CreateImage) -> None:
    class Unwilling(InMemoryContentStore):
        async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
            raise ContentStoreError("The content store does not work.")

    contents = Unwilling()
    with pytest.raises(ContentNotKeptError, match="does not work"):
        await with_parts(create_image, contents=contents)(LIGHTHOUSE, principal=ANN)
    image = await only_image(create_image)
    (kept,) = (await quarantined(contents, image)).values()
    assert kept.startswith(b"\x89PNG")


async def test_a_full_disk_is_reported_once(create_image: CreateImage) -> None:
    contents = FullQuarantine(is_all_full=True)
    with pytest.raises(ContentNotKeptError) as caught:
        await with_parts(create_image, contents=contents)(LIGHTHOUSE, principal=ANN)
    assert caught.value.detail == "The content store is full."
    assert (await only_image(create_image)).status is ImageStatus.FAILED


async def test_the_bytes_are_kept_even_when_the_process_ends_meanwhile(create_image: CreateImage) -> None:
    class SlowQuarantine(InMemoryContentStore):
        def __init__(self) -> None:
            super().__init__()
            self.is_storing = asyncio.Event()
            self.may_end = asyncio.Event()

        async def put_quarantined(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
            self.is_storing.set()
            await self.may_end.wait()
            return await super().put_quarantined(key, chunks)

    contents = SlowQuarantine()
    generator = InMemoryImageGenerator()
    generator.fail_next(GenerationFailedError("No.", maybe_billed=True, quarantine=ANSWER))
    create_image = with_parts(
        create_image, contents=contents, generator=generator, policy=GenerationPolicy(patience=10)
    )
    await create_image(LIGHTHOUSE, principal=ANONYMOUS, wait=0)
    await contents.is_storing.wait()
    closing = asyncio.create_task(create_image.generations.close(0))
    await asyncio.sleep(0.01)
    contents.may_end.set()
    assert len(await closing) == 1
    assert [item.byte_size for item in await contents.list_quarantine()] == [len(ANSWER)]


async def test_an_image_whose_process_died_after_the_quarantine_has_failed_and_may_be_billed(
    contents: InMemoryContentStore, clock: InMemoryClock, create_image: CreateImage
) -> None:
    class Gone(InMemoryImageRepository):
        """Goes away when a failure is to be recorded."""

        is_gone = True

        async def update(self, image: Image, *, expected: ImageStatus) -> None:
            if image.failure is not None and self.is_gone:
                raise DBConnectionError("The database does not answer.")
            await super().update(image, expected=expected)

    images = Gone()
    policy = GenerationPolicy(owner="a process that died", patience=0)
    create_image = with_parts(create_image, images=images, policy=policy)
    await fail(create_image, GenerationBrokenOffError("No.", maybe_billed=True, quarantine=ANSWER))
    images.is_gone = False
    recover = recover_images_of(create_image, images, contents)
    assert await recover() == 1
    image = await only_image(create_image)
    assert image.failure is not None
    assert (image.status, image.failure.maybe_billed) == (ImageStatus.FAILED, True)
    assert image.failure.detail.endswith(QUARANTINE_NOTE)
    assert list((await quarantined(contents, image)).values()) == [ANSWER]


@pytest.mark.parametrize("is_interrupted", [False, True])
async def test_the_quarantine_is_deleted_with_its_image(
    create_image: CreateImage, images: InMemoryImageRepository, contents: InMemoryContentStore, is_interrupted: bool
) -> None:
    await fail(create_image, GenerationFailedError("No.", maybe_billed=True, quarantine=ANSWER))
    image = await only_image(create_image)
    if is_interrupted:
        await images.delete(image.guid, expected_version=image.version, lease_seconds=-1)
        assert await FinishDeletions(deletions=images, contents=contents)() == 1
    else:
        await DeleteImage(images=images, deletions=images, contents=contents)(image.guid, ANN)
    assert await contents.list_quarantine() == []
