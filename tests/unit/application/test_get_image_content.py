"""The bytes of one image."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application import CreateImage, GetImageContent
from pixyproxy.domain.errors import ContentNotFoundError, ContentStoreError, RecordNotFoundError
from pixyproxy.domain.image import ImageScope, Visibility
from pixyproxy.domain.user import ANONYMOUS, Principal
from tests.factories import ImageFactory, PendingImageFactory
from tests.use_cases import LIGHTHOUSE


@pytest.fixture
def get_image_content(images: InMemoryImageRepository, contents: InMemoryContentStore) -> GetImageContent:
    return GetImageContent(images=images, contents=contents)


async def some_bytes() -> AsyncIterator[bytes]:
    yield b"bytes"


async def test_the_content_comes_with_its_image(
    get_image_content: GetImageContent, create_image: CreateImage, ann: Principal
) -> None:
    created = (await create_image(LIGHTHOUSE, principal=ann)).image
    image, content = await get_image_content(created.guid, ANONYMOUS)
    data = b"".join([chunk async for chunk in content.chunks])
    assert image == created
    assert data.startswith(b"\x89PNG")
    assert content.byte_size == len(data) == image.ready_content.byte_size


async def test_the_author_gets_the_content_of_a_private_image(
    get_image_content: GetImageContent, create_image: CreateImage, ann: Principal
) -> None:
    created = (await create_image(LIGHTHOUSE, visibility=Visibility.PRIVATE, principal=ann)).image
    image, _ = await get_image_content(created.guid, ann, ImageScope.OWN)
    assert image == created


async def test_only_the_author_gets_the_content_of_a_private_image(
    get_image_content: GetImageContent, create_image: CreateImage, ann: Principal, bob: Principal
) -> None:
    created = (await create_image(LIGHTHOUSE, visibility=Visibility.PRIVATE, principal=ann)).image
    for principal in (ANONYMOUS, bob):
        for scope in ImageScope:
            with pytest.raises(RecordNotFoundError):
                await get_image_content(created.guid, principal, scope)


async def test_unknown_guid_is_not_found(get_image_content: GetImageContent) -> None:
    with pytest.raises(RecordNotFoundError):
        await get_image_content(uuid4(), ANONYMOUS)


async def test_a_pending_image_shows_no_content_even_if_it_is_stored(
    get_image_content: GetImageContent, images: InMemoryImageRepository, contents: InMemoryContentStore, ann: Principal
) -> None:
    image = await images.add(PendingImageFactory.build(author=ann.name))
    await contents.put(image.content_key, some_bytes())
    for scope in ImageScope:
        with pytest.raises(RecordNotFoundError):
            await get_image_content(image.guid, ann, scope)


async def test_content_that_is_not_as_long_as_it_was_is_damaged(
    get_image_content: GetImageContent, create_image: CreateImage, contents: InMemoryContentStore
) -> None:
    created = (await create_image(LIGHTHOUSE, principal=ANONYMOUS)).image
    await contents.put(created.content_key, some_bytes())
    with pytest.raises(ContentStoreError, match="damaged"):
        await get_image_content(created.guid, ANONYMOUS)


async def test_content_that_is_lost_is_an_error_of_the_store_and_not_an_unknown_image(
    get_image_content: GetImageContent, images: InMemoryImageRepository
) -> None:
    image = await images.add(ImageFactory.build())
    with pytest.raises(ContentNotFoundError):
        await get_image_content(image.guid, ANONYMOUS)
