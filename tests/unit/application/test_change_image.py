"""Changing an image."""

import asyncio

import pytest

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application import ChangeImage
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    DataValidationError,
    OperationNotAllowedError,
    OverloadedError,
    PreconditionFailedError,
    RecordNotFoundError,
)
from pixyproxy.domain.image import Image, ImageChanges, Visibility
from pixyproxy.domain.user import ANONYMOUS, Principal
from tests.factories import (
    FailedImageFactory,
    GeneratingImageFactory,
    ImageFactory,
    PendingImageFactory,
    UnknownImageFactory,
)


class BusyImageRepository(InMemoryImageRepository):
    """Lets another process change the image first, as often as it is told to."""

    def __init__(self, rivals: int = 0) -> None:
        super().__init__()
        self.rivals = rivals
        self.changes = 0

    async def change(self, image: Image, *, expected_version: int) -> None:
        self.changes += 1
        await asyncio.sleep(0)
        if self.rivals:
            self.rivals -= 1
            stored = await self.get(image.guid)
            rival = stored.changed(
                ImageChanges(tags=[*stored.tags[-9:], f"rival {self.changes}"]), at=stored.updated_at
            )
            await super().change(rival, expected_version=stored.version)
        await super().change(image, expected_version=expected_version)


@pytest.fixture
def images() -> BusyImageRepository:
    return BusyImageRepository()


@pytest.fixture
def change_image(images: BusyImageRepository, clock: InMemoryClock) -> ChangeImage:
    return ChangeImage(images=images, clock=clock)


def tagged(*tags: str) -> ImageChanges:
    return ImageChanges(tags=tags)


@pytest.mark.parametrize("factory", [ImageFactory, FailedImageFactory, UnknownImageFactory])
@pytest.mark.parametrize("visibility", Visibility)
async def test_a_changed_image_is_returned_and_stored(
    change_image: ChangeImage,
    images: BusyImageRepository,
    ann: Principal,
    factory: type[ImageFactory],
    visibility: Visibility,
) -> None:
    image = await images.add(factory.build(author=ann.name, visibility=visibility, tags=("a",)))
    changed = await change_image(image.guid, ann, tagged("b", "a"))
    assert changed.tags == ("b", "a")
    assert changed.version == 2
    assert changed.updated_at == InMemoryClock().now()
    assert await images.get(image.guid) == changed


async def test_changes_can_be_made_of_the_image_as_it_is(
    change_image: ChangeImage, images: BusyImageRepository, ann: Principal
) -> None:
    image = await images.add(ImageFactory.build(author=ann.name, tags=("a",)))
    changed = await change_image(image.guid, ann, lambda current: tagged(*current.tags, "b"))
    assert changed.tags == ("a", "b")


async def test_changes_that_change_nothing_are_not_stored(
    change_image: ChangeImage, images: BusyImageRepository, ann: Principal
) -> None:
    image = await images.add(ImageFactory.build(author=ann.name, tags=("a",)))
    assert await change_image(image.guid, ann, tagged("a")) == image
    assert images.changes == 0


@pytest.mark.parametrize("versions", [{1}, {1, 7}, [1]])
async def test_a_version_that_the_caller_has_seen_is_changed(
    change_image: ChangeImage, images: BusyImageRepository, ann: Principal, versions: set[int]
) -> None:
    image = await images.add(ImageFactory.build(author=ann.name))
    assert (await change_image(image.guid, ann, tagged("b"), versions=versions)).version == 2


@pytest.mark.parametrize("versions", [(), {0}, {2}, {2, 3}])
async def test_a_version_that_the_caller_has_not_seen_stays(
    change_image: ChangeImage, images: BusyImageRepository, ann: Principal, versions: set[int]
) -> None:
    image = await images.add(ImageFactory.build(author=ann.name))
    for changes in (tagged("b"), ImageChanges()):
        with pytest.raises(PreconditionFailedError):
            await change_image(image.guid, ann, changes, versions=versions)
    assert await images.get(image.guid) == image


async def test_with_versions_no_concurrent_change_is_overwritten(
    change_image: ChangeImage, images: BusyImageRepository, ann: Principal
) -> None:
    image = await images.add(ImageFactory.build(author=ann.name, tags=()))
    images.rivals = 1
    with pytest.raises(PreconditionFailedError):
        await change_image(image.guid, ann, tagged("mine"), versions={1})
    assert (await images.get(image.guid)).tags == ("rival 1",)


async def test_without_versions_a_change_builds_on_concurrent_changes(
    change_image: ChangeImage, images: BusyImageRepository, ann: Principal
) -> None:
    image = await images.add(ImageFactory.build(author=ann.name, tags=()))
    images.rivals = 2
    changed = await change_image(image.guid, ann, lambda current: tagged(*current.tags, "mine"))
    assert changed.tags == ("rival 1", "rival 2", "mine")
    assert await images.get(image.guid) == changed


async def test_a_change_that_always_comes_too_late_fails_in_the_end(
    change_image: ChangeImage, images: BusyImageRepository, ann: Principal
) -> None:
    image = await images.add(ImageFactory.build(author=ann.name, tags=()))
    images.rivals = 1_000
    with pytest.raises(OverloadedError):
        await change_image(image.guid, ann, tagged("mine"))
    assert images.changes == 100


async def test_of_many_who_change_an_image_at_once_all_succeed(
    change_image: ChangeImage, images: BusyImageRepository, ann: Principal
) -> None:
    image = await images.add(ImageFactory.build(author=ann.name, tags=()))

    await asyncio.gather(*(change_image(image.guid, ann, tagged(str(number))) for number in range(200)))

    assert (await images.get(image.guid)).version == 201
    # Each loses a race or two against those that have just come, and then has its turn.
    assert images.changes < 1_000


async def test_no_change_of_many_at_once_is_lost(
    change_image: ChangeImage, images: BusyImageRepository, ann: Principal
) -> None:
    image = await images.add(ImageFactory.build(author=ann.name, tags=()))

    async def add(tag: str) -> None:
        await change_image(image.guid, ann, lambda current: tagged(*current.tags, tag))

    await asyncio.gather(*(add(str(number)) for number in range(8)))
    changed = await images.get(image.guid)
    assert sorted(changed.tags) == [str(number) for number in range(8)]
    assert changed.version == 9


@pytest.mark.parametrize("factory", [PendingImageFactory, GeneratingImageFactory])
async def test_an_image_that_is_being_made_is_refused_at_once(
    change_image: ChangeImage, images: BusyImageRepository, ann: Principal, factory: type[ImageFactory]
) -> None:
    image = await images.add(factory.build(author=ann.name))
    with pytest.raises(ConstraintViolationError, match="still being made"):
        await change_image(image.guid, ann, tagged("b"))
    assert await images.get(image.guid) == image


async def test_what_breaks_a_rule_is_refused(
    change_image: ChangeImage, images: BusyImageRepository, ann: Principal
) -> None:
    image = await images.add(ImageFactory.build(author=ann.name))
    with pytest.raises(DataValidationError):
        await change_image(image.guid, ann, tagged("a", "a"))
    assert await images.get(image.guid) == image


async def test_only_the_author_may_change_an_image(
    change_image: ChangeImage, images: BusyImageRepository, ann: Principal, bob: Principal
) -> None:
    public, private = [
        await images.add(ImageFactory.build(author=ann.name, visibility=visibility)) for visibility in Visibility
    ]
    authorless = await images.add(ImageFactory.build(author=None))
    for principal in (bob, ANONYMOUS):
        for image in (public, authorless):
            with pytest.raises(OperationNotAllowedError):
                await change_image(image.guid, principal, tagged("b"))
        # The version tells nothing to those who must not know of the image.
        for versions in (None, {1}, {2}):
            with pytest.raises(RecordNotFoundError):
                await change_image(private.guid, principal, tagged("b"), versions=versions)
    for image in (public, private, authorless):
        assert await images.get(image.guid) == image


async def test_an_unknown_image_is_not_found(change_image: ChangeImage, ann: Principal) -> None:
    with pytest.raises(RecordNotFoundError):
        await change_image(ImageFactory.build().guid, ann, tagged("b"))


async def test_an_image_that_is_deleted_meanwhile_is_not_found(
    images: BusyImageRepository, clock: InMemoryClock, ann: Principal
) -> None:
    image = await images.add(ImageFactory.build(author=ann.name))

    class Deleting(BusyImageRepository):
        async def change(self, image: Image, *, expected_version: int) -> None:
            await self.delete(image.guid, expected_version=1, lease_seconds=60.0)
            await super().change(image, expected_version=expected_version)

    deleting = Deleting()
    await deleting.add(image)
    with pytest.raises(RecordNotFoundError):
        await ChangeImage(images=deleting, clock=clock)(image.guid, ann, tagged("b"))
