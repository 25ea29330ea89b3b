"""Pages of images."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application import ListImages
from pixyproxy.domain.errors import DataValidationError, UnauthorizedError
from pixyproxy.domain.image import Image, ImageCursor, ImageScope, Visibility
from pixyproxy.domain.user import ANONYMOUS, Principal
from tests.factories import (
    FailedImageFactory,
    GeneratingImageFactory,
    ImageFactory,
    PendingImageFactory,
    UnknownImageFactory,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def list_images(images: InMemoryImageRepository) -> ListImages:
    return ListImages(images=images)


async def add_images(images: InMemoryImageRepository, count: int) -> list[Image]:
    """Store public images, a second apart, and return them newest first."""
    added = [
        await images.add(ImageFactory.build(created_at=NOON + timedelta(seconds=number))) for number in range(count)
    ]
    return added[::-1]


async def test_an_empty_list_has_no_next_page(list_images: ListImages) -> None:
    page = await list_images(ANONYMOUS)
    assert page.images == []
    assert page.next is None


async def test_the_newest_image_comes_first(list_images: ListImages, images: InMemoryImageRepository) -> None:
    added = await add_images(images, 5)
    assert (await list_images(ANONYMOUS)).images == added


async def test_images_of_the_same_microsecond_are_ordered_by_guid(
    list_images: ListImages, images: InMemoryImageRepository
) -> None:
    for number in (2, 3, 1):
        await images.add(ImageFactory.build(guid=UUID(int=number), created_at=NOON))
    assert [image.guid.int for image in (await list_images(ANONYMOUS)).images] == [3, 2, 1]


async def test_100_images_make_a_page_unless_asked_otherwise(
    list_images: ListImages, images: InMemoryImageRepository
) -> None:
    added = await add_images(images, 101)
    page = await list_images(ANONYMOUS)
    assert page.images == added[:100]
    assert page.next is not None


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_a_page_names_the_next_one_only_if_there_is_one(
    list_images: ListImages, images: InMemoryImageRepository, limit: int
) -> None:
    added = await add_images(images, 3)
    page = await list_images(ANONYMOUS, limit=limit)
    assert page.images == added[:limit]
    assert page.next == (ImageCursor.behind(added[limit - 1]) if limit < 3 else None)


@pytest.mark.parametrize("limit", [1, 1000])
async def test_limits_of_1_to_1000_are_accepted(list_images: ListImages, limit: int) -> None:
    assert (await list_images(ANONYMOUS, limit=limit)).next is None


@pytest.mark.parametrize("limit", [-1, 0, 1001])
@pytest.mark.parametrize("scope", ImageScope)
async def test_other_limits_are_refused(list_images: ListImages, ann: Principal, limit: int, scope: ImageScope) -> None:
    with pytest.raises(DataValidationError) as caught:
        await list_images(ann, scope, limit=limit)
    assert caught.value.field == "limit"


async def test_the_public_list_has_everybodys_public_images_and_no_private_one(
    list_images: ListImages, images: InMemoryImageRepository, ann: Principal, bob: Principal
) -> None:
    public = [await images.add(ImageFactory.build(author=author)) for author in (None, ann.name, bob.name)]
    await images.add(ImageFactory.build(author=ann.name, visibility=Visibility.PRIVATE))
    for principal in (ANONYMOUS, ann):
        listed = (await list_images(principal)).images
        assert {image.guid for image in listed} == {image.guid for image in public}


async def test_the_own_list_has_all_the_images_of_its_author_and_no_other(
    list_images: ListImages, images: InMemoryImageRepository, ann: Principal, bob: Principal
) -> None:
    own = [await images.add(ImageFactory.build(author=ann.name, visibility=visibility)) for visibility in Visibility]
    await images.add(ImageFactory.build(author=bob.name))
    await images.add(ImageFactory.build(author=None))
    listed = (await list_images(ann, ImageScope.OWN)).images
    assert {image.guid for image in listed} == {image.guid for image in own}


async def test_nobodys_own_images_need_a_login(list_images: ListImages) -> None:
    with pytest.raises(UnauthorizedError):
        await list_images(ANONYMOUS, ImageScope.OWN)


@pytest.mark.parametrize(
    "factory", [PendingImageFactory, GeneratingImageFactory, FailedImageFactory, UnknownImageFactory]
)
async def test_images_that_are_not_ready_are_never_listed(
    list_images: ListImages, images: InMemoryImageRepository, ann: Principal, factory: type[ImageFactory]
) -> None:
    await images.add(factory.build(author=ann.name))
    for scope in ImageScope:
        assert (await list_images(ann, scope)).images == []


@given(
    places=st.lists(st.tuples(st.integers(0, 3), st.uuids()), max_size=20, unique_by=lambda place: place[1]),
    count_at_start=st.integers(0, 20),
    limit=st.integers(1, 4),
    scope=st.sampled_from(ImageScope),
)
async def test_each_image_is_shown_exactly_once_while_others_are_created(
    places: list[tuple[int, UUID]], count_at_start: int, limit: int, scope: ImageScope
) -> None:
    """A new image may be as old as one that is listed already; what was there at the start comes once all the same."""
    image = ImageFactory.build()
    ann = Principal(name=image.author)
    images = InMemoryImageRepository()
    list_images = ListImages(images=images)

    async def add(second: int, guid: UUID) -> None:
        await images.add(msgspec.structs.replace(image, guid=guid, created_at=NOON + timedelta(seconds=second)))

    at_start, meanwhile = places[:count_at_start], places[count_at_start:]
    for place in at_start:
        await add(*place)
    page = await list_images(ann, scope, limit=limit)
    shown = list(page.images)
    while page.next:
        assert len(shown) <= len(places), "the pages go round in a circle"
        if meanwhile:
            await add(*meanwhile.pop())
        page = await list_images(ann, scope, limit=limit, after=page.next)
        assert len(page.images) <= limit
        shown.extend(page.images)
    guids = [image.guid for image in shown]
    assert len(guids) == len(set(guids))
    assert {guid for _, guid in at_start} <= set(guids)
    assert shown == sorted(shown, key=lambda image: (image.created_at, image.guid), reverse=True)
