"""The contract of `ImageCatalogue.list_changes`."""

from typing import Any

import msgspec
import pytest

from pixyproxy.domain.image import Image, ImageChanges, ImageId, Visibility
from pixyproxy.domain.listing import ChangePosition, ImageChange
from pixyproxy.domain.user import UserName
from tests.factories import GeneratingImageFactory, ImageFactory
from tests.images import ANN, BOB, FACTORIES, NOON, SECOND, HostImages, completed

LONG_AGO = ChangePosition(NOON - 1000 * SECOND)


@pytest.fixture(params=["memory", "sqlite", "mysql", "host"])
def images(request: pytest.FixtureRequest) -> HostImages:
    """An empty repository of each kind, the one in docs/embedding.md included."""
    repository: HostImages = request.getfixturevalue(f"{request.param}_images")
    return repository


async def add(images: HostImages, seconds: int, factory: Any = ImageFactory, **fields: Any) -> Image:
    """Store an image of Ann's that was changed this many seconds after noon."""
    image: Image = factory.build(**{"author": "ann", **fields})
    return await images.add(msgspec.structs.replace(image, updated_at=NOON + seconds * SECOND))


async def changes(images: HostImages, after: ChangePosition = LONG_AGO, limit: int = 100) -> list[ImageChange]:
    return list(await images.list_changes(ANN, after=after, limit=limit))


async def test_changes_come_oldest_first_in_any_state(images: HostImages) -> None:
    added = [await add(images, -number, factory) for number, factory in enumerate(FACTORIES)]
    assert await changes(images) == [ImageChange.of(image) for image in added[::-1]]


async def test_an_image_has_one_last_change(images: HostImages) -> None:
    generating, other = await add(images, 0, GeneratingImageFactory), await add(images, 5)
    ready = msgspec.structs.replace(completed(generating), updated_at=NOON + 10 * SECOND)
    await images.update(ready, expected=generating.status)
    assert await changes(images) == [ImageChange.of(other), ImageChange.of(ready)]
    hidden = ready.changed(ImageChanges(visibility=Visibility.PRIVATE), at=NOON + 20 * SECOND)
    await images.change(hidden, expected_version=ready.version)
    last = ImageChange(
        guid=hidden.guid, version=3, position=ChangePosition(NOON + 20 * SECOND, hidden.id or ImageId(0))
    )
    assert await changes(images) == [ImageChange.of(other), last]


async def test_changes_are_those_of_one_author_in_any_visibility(images: HostImages) -> None:
    own = [await add(images, number, visibility=visibility) for number, visibility in enumerate(Visibility)]
    for author in ("bob", "Ann", "ann ", None):
        await add(images, 5, author=author)
    assert await changes(images) == [ImageChange.of(image) for image in own]
    assert len(await images.list_changes(BOB, after=LONG_AGO, limit=9)) == 1
    for stranger in ("änn", "an", "ann%", "_nn", "' OR '1'='1", "None"):
        assert await images.list_changes(UserName(stranger), after=LONG_AGO, limit=9) == []


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
async def test_pages_of_changes_follow_each_other_even_within_a_microsecond(images: HostImages, limit: int) -> None:
    added = [await add(images, seconds) for seconds in (0, 0, 0, 1, 1, 2, 0)]
    found: list[ImageChange] = []
    while page := await changes(images, found[-1].position if found else LONG_AGO, limit):
        assert len(page) <= limit
        found += page
    assert found == sorted(map(ImageChange.of, added), key=lambda change: change.position)


async def test_changes_after_a_time_include_those_of_its_microsecond(images: HostImages) -> None:
    before, now, later = [await add(images, seconds) for seconds in (-1, 0, 1)]
    assert before.guid not in {change.guid for change in await changes(images, ChangePosition(NOON))}
    assert await changes(images, ChangePosition(NOON)) == [ImageChange.of(now), ImageChange.of(later)]
    assert await changes(images, ImageChange.of(now).position) == [ImageChange.of(later)]
    assert await changes(images, ImageChange.of(later).position) == []
