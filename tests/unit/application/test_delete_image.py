"""Deleting an image, and finishing interrupted deletions."""

import asyncio
import dataclasses
from datetime import datetime, timedelta

import pytest

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.pictures.pillow.content_inspector import PillowContentInspector
from pixyproxy.application import DeleteImage, FinishDeletions
from pixyproxy.application.partial_images import PartialImages
from pixyproxy.domain.content import ContentKey, partial_key_of
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    ContentStoreError,
    DBConnectionError,
    OperationNotAllowedError,
    PreconditionFailedError,
    RecordNotFoundError,
)
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageChanges, Visibility
from pixyproxy.domain.ports import chunks_of
from pixyproxy.domain.user import ANONYMOUS, Principal
from tests.factories import (
    FailedImageFactory,
    GeneratingImageFactory,
    ImageFactory,
    PendingImageFactory,
    UnknownImageFactory,
)


class FailingContentStore(InMemoryContentStore):
    """Fails to delete while it is told to, and records each deletion."""

    def __init__(self) -> None:
        super().__init__()
        self.fails_for: set[ContentKey] = set()
        self.deleted: list[ContentKey] = []

    async def delete(self, key: ContentKey) -> None:
        await asyncio.sleep(0)
        if key in self.fails_for:
            raise ContentStoreError("The content store can't delete.")
        self.deleted.append(key)
        await super().delete(key)


class Time:
    """The time, and a way to let it pass."""

    def __init__(self) -> None:
        self.at = InMemoryClock().now()

    def now(self) -> datetime:
        return self.at

    def pass_by(self, **time: float) -> None:
        self.at += timedelta(**time)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def images(time: Time) -> InMemoryImageRepository:
    return InMemoryImageRepository(time.now)


@pytest.fixture
def contents() -> FailingContentStore:
    return FailingContentStore()


@pytest.fixture
def delete_image(images: InMemoryImageRepository, contents: FailingContentStore) -> DeleteImage:
    return DeleteImage(images=images, deletions=images, contents=contents)


@pytest.fixture
def finish_deletions(images: InMemoryImageRepository, contents: FailingContentStore) -> FinishDeletions:
    return FinishDeletions(deletions=images, contents=contents, batch=2)


async def keys(contents: InMemoryContentStore) -> set[ContentKey]:
    return {key async for key in contents.keys()}  # noqa: SIM118 -- it is no dictionary


async def put(contents: InMemoryContentStore, image: Image) -> Image:
    picture = await InMemoryImageGenerator().generate(GenerationRequest(prompt="a"))
    await contents.put(image.content_key, chunks_of(picture.data))
    return image


class TestDeleteImage:
    """Record and content."""

    @pytest.mark.parametrize("visibility", Visibility)
    async def test_a_deleted_image_leaves_neither_record_nor_content(
        self,
        delete_image: DeleteImage,
        images: InMemoryImageRepository,
        contents: FailingContentStore,
        ann: Principal,
        visibility: Visibility,
    ) -> None:
        image = await put(contents, await images.add(ImageFactory.build(author=ann.name, visibility=visibility)))
        other = await put(contents, await images.add(ImageFactory.build(author=ann.name)))
        await delete_image(image.guid, ann)
        with pytest.raises(RecordNotFoundError):
            await images.get(image.guid)
        assert await keys(contents) == {other.content_key}
        assert not await images.is_being_deleted(image.guid)
        with pytest.raises(RecordNotFoundError):
            await delete_image(image.guid, ann)

    async def test_a_failed_image_is_deleted_too(
        self, delete_image: DeleteImage, images: InMemoryImageRepository, ann: Principal
    ) -> None:
        image = await images.add(FailedImageFactory.build(author=ann.name))
        await delete_image(image.guid, ann)
        assert await images.count() == 0
        assert not await images.is_being_deleted(image.guid)

    async def test_the_record_goes_first(
        self, images: InMemoryImageRepository, contents: FailingContentStore, ann: Principal
    ) -> None:
        image = await put(contents, await images.add(ImageFactory.build(author=ann.name)))
        deleting = asyncio.create_task(DeleteImage(images=images, deletions=images, contents=contents)(image.guid, ann))
        while await images.count():
            assert await keys(contents) == {image.content_key}
            await asyncio.sleep(0)
        assert await images.is_being_deleted(image.guid)
        await deleting
        assert await keys(contents) == set()

    async def test_content_that_can_not_be_deleted_now_is_deleted_later(
        self,
        *,
        delete_image: DeleteImage,
        finish_deletions: FinishDeletions,
        images: InMemoryImageRepository,
        contents: FailingContentStore,
        time: Time,
        ann: Principal,
    ) -> None:
        image = await put(contents, await images.add(ImageFactory.build(author=ann.name)))
        contents.fails_for = {image.content_key}
        await delete_image(image.guid, ann)
        assert await images.count() == 0
        assert await keys(contents) == {image.content_key}
        assert await finish_deletions() == 0
        time.pass_by(seconds=61)
        with pytest.raises(ContentStoreError):
            await finish_deletions()
        assert await images.is_being_deleted(image.guid)
        contents.fails_for = set()
        assert await finish_deletions() == 0
        time.pass_by(seconds=61)
        assert await finish_deletions() == 1
        assert await keys(contents) == set()
        assert not await images.is_being_deleted(image.guid)

    async def test_after_a_crash_following_the_record_the_content_is_deleted(
        self,
        *,
        delete_image: DeleteImage,
        finish_deletions: FinishDeletions,
        images: InMemoryImageRepository,
        contents: FailingContentStore,
        time: Time,
        ann: Principal,
    ) -> None:
        image = await put(contents, await images.add(ImageFactory.build(author=ann.name)))
        deleting = asyncio.create_task(delete_image(image.guid, ann))
        while await images.count():  # noqa: ASYNC110 -- ends it at the first moment it can
            await asyncio.sleep(0)
        deleting.cancel()
        await asyncio.wait([deleting])
        assert await keys(contents) == {image.content_key}
        time.pass_by(seconds=61)
        assert await finish_deletions() == 1
        assert await keys(contents) == set()

    async def test_a_database_that_is_lost_after_the_record_does_not_undo_the_deletion(
        self, contents: FailingContentStore, ann: Principal
    ) -> None:
        class Lost(InMemoryImageRepository):
            async def finish_deletion(self, guid: object) -> None:
                raise DBConnectionError("The database does not answer.")

        images = Lost()
        image = await put(contents, await images.add(ImageFactory.build(author=ann.name)))
        await DeleteImage(images=images, deletions=images, contents=contents)(image.guid, ann)
        assert await images.is_being_deleted(image.guid)
        assert await keys(contents) == set()

    async def test_bytes_of_an_unknown_image_that_turn_up_for_a_day_are_deleted_in_the_end(
        self,
        *,
        delete_image: DeleteImage,
        finish_deletions: FinishDeletions,
        images: InMemoryImageRepository,
        contents: FailingContentStore,
        time: Time,
        ann: Principal,
    ) -> None:
        image = await images.add(UnknownImageFactory.build(author=ann.name))
        await delete_image(image.guid, ann)
        assert await images.count() == 0
        await put(contents, image)
        time.pass_by(hours=23, minutes=59)
        assert await finish_deletions() == 0
        assert await images.is_being_deleted(image.guid)
        time.pass_by(minutes=2)
        assert await finish_deletions() == 1
        assert await keys(contents) == set()
        assert not await images.is_being_deleted(image.guid)

    @pytest.mark.parametrize("factory", [PendingImageFactory, GeneratingImageFactory])
    async def test_an_image_that_is_being_made_stays(
        self, delete_image: DeleteImage, images: InMemoryImageRepository, ann: Principal, factory: type[ImageFactory]
    ) -> None:
        image = await images.add(factory.build(author=ann.name))
        with pytest.raises(ConstraintViolationError, match="still being made"):
            await delete_image(image.guid, ann)
        assert await images.get(image.guid) == image

    async def test_a_version_that_the_caller_has_not_seen_stays(
        self, delete_image: DeleteImage, images: InMemoryImageRepository, contents: FailingContentStore, ann: Principal
    ) -> None:
        image = await put(contents, await images.add(ImageFactory.build(author=ann.name)))
        with pytest.raises(PreconditionFailedError):
            await delete_image(image.guid, ann, versions={2})
        assert await images.get(image.guid) == image
        assert await keys(contents) == {image.content_key}
        await delete_image(image.guid, ann, versions={1, 2})
        assert await images.count() == 0

    @pytest.mark.parametrize("versions", [None, {1}])
    async def test_an_image_that_changes_meanwhile_is_deleted_unless_the_caller_wants_it_as_it_was(
        self, contents: FailingContentStore, ann: Principal, versions: set[int] | None
    ) -> None:
        class Changing(InMemoryImageRepository):
            async def delete(self, guid: object, *, expected_version: int, lease_seconds: float) -> None:
                if expected_version == 1:
                    changed = image.changed(ImageChanges(tags=["rival"]), at=image.updated_at)
                    await self.change(changed, expected_version=1)
                await super().delete(image.guid, expected_version=expected_version, lease_seconds=lease_seconds)

        images = Changing()
        image = await put(contents, await images.add(ImageFactory.build(author=ann.name)))
        delete_image = DeleteImage(images=images, deletions=images, contents=contents)
        if versions:
            with pytest.raises(PreconditionFailedError):
                await delete_image(image.guid, ann, versions=versions)
            assert (await images.get(image.guid)).tags == ("rival",)
            assert await keys(contents) == {image.content_key}
        else:
            await delete_image(image.guid, ann)
            assert await images.count() == 0

    async def test_only_the_author_may_delete_an_image(
        self,
        delete_image: DeleteImage,
        images: InMemoryImageRepository,
        contents: FailingContentStore,
        ann: Principal,
        bob: Principal,
    ) -> None:
        public, private = [
            await put(contents, await images.add(ImageFactory.build(author=ann.name, visibility=visibility)))
            for visibility in Visibility
        ]
        for principal in (bob, ANONYMOUS):
            with pytest.raises(OperationNotAllowedError):
                await delete_image(public.guid, principal)
            with pytest.raises(RecordNotFoundError):
                await delete_image(private.guid, principal)
        assert await images.count() == 2
        assert contents.deleted == []

    async def test_of_many_who_delete_an_image_at_once_one_succeeds(
        self, delete_image: DeleteImage, images: InMemoryImageRepository, contents: FailingContentStore, ann: Principal
    ) -> None:
        image = await put(contents, await images.add(ImageFactory.build(author=ann.name)))
        results = await asyncio.gather(*(delete_image(image.guid, ann) for _ in range(5)), return_exceptions=True)
        assert [type(result) for result in results] == [type(None)] + [RecordNotFoundError] * 4
        assert contents.deleted == [image.content_key]


class TestFinishDeletions:
    """Deletions that were interrupted."""

    async def leave(self, images: InMemoryImageRepository, contents: InMemoryContentStore, count: int) -> list[Image]:
        left = []
        for _ in range(count):
            image = await put(contents, await images.add(ImageFactory.build()))
            await images.delete(image.guid, expected_version=1, lease_seconds=-1.0)
            left.append(image)
        return sorted(left, key=lambda image: image.guid)

    async def test_without_any_there_is_nothing_to_do(
        self, finish_deletions: FinishDeletions, contents: FailingContentStore
    ) -> None:
        assert await finish_deletions() == 0
        assert contents.deleted == []

    async def test_all_are_finished_and_nothing_else_is_deleted(
        self, finish_deletions: FinishDeletions, images: InMemoryImageRepository, contents: FailingContentStore
    ) -> None:
        kept = await put(contents, await images.add(ImageFactory.build()))
        left = await self.leave(images, contents, 5)
        assert await finish_deletions() == 5
        assert await keys(contents) == {kept.content_key}
        assert contents.deleted == [image.content_key for image in left]
        assert await finish_deletions() == 0
        assert not any([await images.is_being_deleted(image.guid) for image in left])

    async def test_content_that_is_gone_already_is_no_trouble(
        self, finish_deletions: FinishDeletions, images: InMemoryImageRepository, contents: FailingContentStore
    ) -> None:
        (image,) = await self.leave(images, contents, 1)
        await contents.delete(image.content_key)
        assert await finish_deletions() == 1

    async def test_two_at_once_share_the_work(
        self, finish_deletions: FinishDeletions, images: InMemoryImageRepository, contents: FailingContentStore
    ) -> None:
        left = await self.leave(images, contents, 7)
        numbers = await asyncio.gather(finish_deletions(), finish_deletions())
        assert sum(numbers) == 7
        assert all(numbers)
        assert sorted(contents.deleted) == [image.content_key for image in left]

    async def test_a_store_that_fails_is_reported_and_the_rest_is_done_the_next_time(
        self,
        finish_deletions: FinishDeletions,
        images: InMemoryImageRepository,
        contents: FailingContentStore,
        time: Time,
    ) -> None:
        left = await self.leave(images, contents, 3)
        contents.fails_for = {left[1].content_key}
        with pytest.raises(ContentStoreError):
            await finish_deletions()
        assert await keys(contents) == {left[1].content_key}
        contents.fails_for = set()
        time.pass_by(seconds=61)
        assert await finish_deletions() == 1
        assert await keys(contents) == set()


@pytest.mark.parametrize("factory", [ImageFactory, FailedImageFactory, UnknownImageFactory])
async def test_partial_images_that_a_crash_left_go_with_the_image(
    delete_image: DeleteImage, images: InMemoryImageRepository, ann: Principal, factory: type[ImageFactory]
) -> None:
    area = InMemoryContentStore()
    partials = PartialImages(contents=area, inspector=PillowContentInspector())
    request = GenerationRequest(prompt="a fox", partial_images=3)
    image, other = [await images.add(factory.build(author="ann", request=request)) for _ in range(2)]
    for each in (image, other):
        await area.put(partial_key_of(each.guid, 2), chunks_of(b"picture"))

    await dataclasses.replace(delete_image, partials=partials)(image.guid, ann)

    keys = area.keys()
    assert [key async for key in keys] == [partial_key_of(other.guid, 2)]
