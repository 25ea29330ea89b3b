"""The contract of `ImageMaintenance`."""

from uuid import UUID

import msgspec
import pytest

from pixyproxy.domain.image import Image, Visibility
from pixyproxy.domain.ports import DamagedRecord, ImagePorts
from tests.factories import (
    ContentInfoFactory,
    FailedImageFactory,
    ImageFactory,
)
from tests.images import FACTORIES, NOON


async def test_an_empty_repository_has_nothing_to_scan_or_count(images: ImagePorts) -> None:
    assert await images.scan(limit=10) == []
    assert await images.count() == 0


@pytest.mark.parametrize("limit", [1, 2, 3, 10, 11, 100])
async def test_pages_cover_every_image_once_in_the_order_of_the_guids(images: ImagePorts, limit: int) -> None:
    guids = [UUID(int=number << shift) for number in (1, 9, 0xA, 0xF) for shift in (0, 124)] + [UUID(int=0)]
    added = [
        await images.add(FACTORIES[number % len(FACTORIES)].build(guid=guid, tags=("a", "b")))
        for number, guid in enumerate(guids)
    ]
    added.append(await images.add(ImageFactory.build(visibility=Visibility.PRIVATE)))
    found: list[Image | DamagedRecord] = []
    while page := await images.scan(limit=limit, after=str(found[-1].guid) if found else ""):
        assert len(page) <= limit
        found += page
        assert len(found) <= len(added), "the pages go round in a circle"
    assert found == sorted(added, key=lambda image: str(image.guid))
    assert await images.count() == len(added)


async def test_a_scan_may_begin_after_a_guid_that_does_not_exist(images: ImagePorts) -> None:
    image = await images.add(FailedImageFactory.build(guid=UUID(int=5)))
    assert await images.scan(after=str(UUID(int=4)), limit=10) == [image]
    assert await images.scan(after=str(UUID(int=5)), limit=10) == []
    assert await images.scan(after=str(UUID(int=6)), limit=10) == []


async def test_a_size_is_corrected(images: ImagePorts) -> None:
    content = msgspec.structs.replace(ContentInfoFactory.build(), width=80, height=40)
    image = await images.add(ImageFactory.build(content=content))
    right = msgspec.structs.replace(content, width=40, height=80)
    later = msgspec.structs.replace(image, filename="another.png", updated_at=NOON)
    assert await images.correct_size(later, right) is True
    corrected = msgspec.structs.replace(image, content=right, updated_at=NOON, version=2)
    assert await images.get(image.guid) == corrected
    assert await images.correct_size(later, right) is False
    assert await images.get(image.guid) == corrected


async def test_no_size_of_another_content_or_image_is_corrected(images: ImagePorts) -> None:
    content = msgspec.structs.replace(ContentInfoFactory.build(), width=80, height=40)
    image = await images.add(ImageFactory.build(content=content))
    right = msgspec.structs.replace(content, width=40, height=80)
    other = msgspec.structs.replace(right, sha256="0" * 64)
    larger = msgspec.structs.replace(image, content=msgspec.structs.replace(content, width=81))
    assert await images.correct_size(image, other) is False
    assert await images.correct_size(larger, right) is False
    assert await images.correct_size(ImageFactory.build(content=content), right) is False
    assert await images.get(image.guid) == image
