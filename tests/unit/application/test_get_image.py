"""The details of one image."""

from uuid import uuid4

import pytest

from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application import GetImage
from pixyproxy.domain.errors import RecordNotFoundError
from pixyproxy.domain.image import ImageScope, Visibility
from pixyproxy.domain.user import ANONYMOUS, Principal
from tests.factories import (
    FailedImageFactory,
    GeneratingImageFactory,
    ImageFactory,
    PendingImageFactory,
    UnknownImageFactory,
)

UNREADY = [PendingImageFactory, GeneratingImageFactory, FailedImageFactory, UnknownImageFactory]


@pytest.fixture
def get_image(images: InMemoryImageRepository) -> GetImage:
    return GetImage(images=images)


async def test_anyone_gets_a_public_image(
    get_image: GetImage, images: InMemoryImageRepository, ann: Principal, bob: Principal
) -> None:
    image = await images.add(ImageFactory.build(author=ann.name))
    for principal in (ANONYMOUS, ann, bob):
        assert await get_image(image.guid, principal) == image


async def test_unknown_guid_is_not_found(get_image: GetImage, ann: Principal) -> None:
    for scope in ImageScope:
        with pytest.raises(RecordNotFoundError):
            await get_image(uuid4(), ann, scope)


async def test_a_private_image_is_not_among_the_public_ones_even_for_its_author(
    get_image: GetImage, images: InMemoryImageRepository, ann: Principal
) -> None:
    image = await images.add(ImageFactory.build(author=ann.name, visibility=Visibility.PRIVATE))
    for principal in (ANONYMOUS, ann):
        with pytest.raises(RecordNotFoundError):
            await get_image(image.guid, principal)


@pytest.mark.parametrize("visibility", Visibility)
async def test_the_author_gets_an_own_image(
    get_image: GetImage, images: InMemoryImageRepository, ann: Principal, visibility: Visibility
) -> None:
    image = await images.add(ImageFactory.build(author=ann.name, visibility=visibility))
    assert await get_image(image.guid, ann, ImageScope.OWN) == image


@pytest.mark.parametrize("visibility", Visibility)
async def test_only_the_author_gets_it_as_an_own_image(
    get_image: GetImage, images: InMemoryImageRepository, ann: Principal, bob: Principal, visibility: Visibility
) -> None:
    image = await images.add(ImageFactory.build(author=ann.name, visibility=visibility))
    for principal in (ANONYMOUS, bob):
        with pytest.raises(RecordNotFoundError):
            await get_image(image.guid, principal, ImageScope.OWN)


async def test_an_image_without_an_author_is_not_an_own_image(
    get_image: GetImage, images: InMemoryImageRepository
) -> None:
    image = await images.add(ImageFactory.build(author=None))
    with pytest.raises(RecordNotFoundError):
        await get_image(image.guid, ANONYMOUS, ImageScope.OWN)


@pytest.mark.parametrize("factory", UNREADY)
async def test_the_author_gets_an_own_image_in_whatever_state_it_is(
    get_image: GetImage, images: InMemoryImageRepository, ann: Principal, factory: type[ImageFactory]
) -> None:
    for visibility in Visibility:
        image = await images.add(factory.build(author=ann.name, visibility=visibility))
        assert await get_image(image.guid, ann, ImageScope.OWN) == image


@pytest.mark.parametrize("factory", UNREADY)
async def test_only_the_author_gets_a_public_image_before_it_is_ready(
    get_image: GetImage,
    images: InMemoryImageRepository,
    ann: Principal,
    bob: Principal,
    factory: type[ImageFactory],
) -> None:
    image = await images.add(factory.build(author=ann.name))
    assert await get_image(image.guid, ann) == image
    for principal in (ANONYMOUS, bob):
        for scope in ImageScope:
            with pytest.raises(RecordNotFoundError):
                await get_image(image.guid, principal, scope)


@pytest.mark.parametrize("factory", UNREADY)
async def test_a_private_image_that_is_not_ready_is_not_among_the_public_ones_even_for_its_author(
    get_image: GetImage, images: InMemoryImageRepository, ann: Principal, factory: type[ImageFactory]
) -> None:
    image = await images.add(factory.build(author=ann.name, visibility=Visibility.PRIVATE))
    with pytest.raises(RecordNotFoundError):
        await get_image(image.guid, ann)


@pytest.mark.parametrize("factory", UNREADY)
async def test_the_guid_is_enough_for_an_image_without_an_author_before_it_is_ready(
    get_image: GetImage, images: InMemoryImageRepository, ann: Principal, factory: type[ImageFactory]
) -> None:
    image = await images.add(factory.build(author=None))
    for principal in (ANONYMOUS, ann):
        assert await get_image(image.guid, principal) == image
        with pytest.raises(RecordNotFoundError):
            await get_image(image.guid, principal, ImageScope.OWN)


async def test_a_hidden_image_and_an_unknown_one_are_told_apart_by_nothing(
    get_image: GetImage, images: InMemoryImageRepository, ann: Principal
) -> None:
    private = await images.add(ImageFactory.build(author=ann.name, visibility=Visibility.PRIVATE))
    unready = await images.add(PendingImageFactory.build(author=ann.name))
    details = []
    for guid in (private.guid, unready.guid, uuid4()):
        with pytest.raises(RecordNotFoundError) as caught:
            await get_image(guid, ANONYMOUS)
        details.append(caught.value.detail.replace(str(guid), "…"))
    assert len(set(details)) == 1
