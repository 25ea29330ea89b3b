"""The contract of `ImageDeletions`."""

import asyncio
from uuid import UUID, uuid4

import pytest

from pixyproxy.domain.errors import (
    ConstraintViolationError,
    RecordNotFoundError,
)
from pixyproxy.domain.image import Image, ImageChanges, Visibility
from pixyproxy.domain.listing import ImageFilter, TagCount, TagFilter
from pixyproxy.domain.ports import ImagePorts
from pixyproxy.domain.search import Search
from pixyproxy.domain.tag import Tag
from tests.factories import (
    FailedImageFactory,
    ImageFactory,
    PendingImageFactory,
)
from tests.images import ANN, FINAL_FACTORIES, KEY, NOON, PUBLIC, a_claim, eventually


@pytest.mark.parametrize("factory", FINAL_FACTORIES)
async def test_a_deleted_image_is_gone_from_everywhere(images: ImagePorts, factory: type[ImageFactory]) -> None:
    image, other = [await images.add(factory.build(tags=("a", "b"), author="ann")) for _ in range(2)]
    await images.delete(image.guid, expected_version=1, lease_seconds=60.0)
    with pytest.raises(RecordNotFoundError):
        await images.get(image.guid)
    is_listed = factory is ImageFactory
    everything = [ImageFilter(author=ANN), PUBLIC, ImageFilter(author=ANN, tags=(Tag("a"),))]
    everything.append(ImageFilter(author=ANN, search=Search.parse(image.prompt)))
    for wanted in everything:
        assert image not in await images.list(wanted, limit=10)
    for wanted in everything[:3]:
        assert await images.list(wanted, limit=10) == [other] * is_listed
        assert await images.count_listed(wanted) == is_listed
    counts = await images.list_tags(TagFilter(author=ANN), limit=10)
    assert counts == [TagCount(Tag("a"), 1), TagCount(Tag("b"), 1)] * is_listed
    assert await images.scan(limit=10) == [other]
    assert await images.count() == 1
    assert await images.get(other.guid) == other


async def test_another_version_than_expected_is_refused_and_the_image_stays(images: ImagePorts) -> None:
    image = await images.add(ImageFactory.build(tags=("a",)))
    for version in (0, 2):
        with pytest.raises(ConstraintViolationError, match="changed by another request"):
            await images.delete(image.guid, expected_version=version, lease_seconds=0.0)
    assert await images.get(image.guid) == image
    assert not await images.is_being_deleted(image.guid)
    assert await images.list_deletions(limit=10) == []


async def test_an_unknown_image_is_not_found(images: ImagePorts) -> None:
    guid = uuid4()
    with pytest.raises(RecordNotFoundError):
        await images.delete(guid, expected_version=1, lease_seconds=0.0)
    assert not await images.is_being_deleted(guid)


async def test_an_image_is_deleted_once(images: ImagePorts) -> None:
    image = await images.add(ImageFactory.build())
    results = await asyncio.gather(
        *(images.delete(image.guid, expected_version=1, lease_seconds=60.0) for _ in range(10)),
        return_exceptions=True,
    )
    assert results.count(None) == 1
    assert [type(result) for result in results if result is not None] == [RecordNotFoundError] * 9


async def test_a_guid_is_taken_until_the_content_is_deleted_too(images: ImagePorts) -> None:
    image = await images.add(ImageFactory.build(tags=("a",)))
    await images.delete(image.guid, expected_version=1, lease_seconds=0.0)
    again = PendingImageFactory.build(guid=image.guid, tags=("b",))
    for _ in range(2):
        with pytest.raises(ConstraintViolationError, match="being deleted"):
            await images.add(again, claim=a_claim())
    assert await images.count() == 0
    assert await images.find_claim(ANN, KEY) is None
    await images.finish_deletion(image.guid)
    added = await images.add(again, claim=a_claim())
    assert await images.get(image.guid) == added
    assert added.version == 1


async def test_a_guid_can_not_be_taken_while_its_image_is_deleted(images: ImagePorts) -> None:
    for _ in range(10):
        image = await images.add(ImageFactory.build(tags=("a",)))
        again = PendingImageFactory.build(guid=image.guid, tags=("a",))
        deleted, added = await asyncio.gather(
            images.delete(image.guid, expected_version=1, lease_seconds=60.0),
            images.add(again),
            return_exceptions=True,
        )
        assert deleted is None
        assert isinstance(added, ConstraintViolationError)
        assert await images.is_being_deleted(image.guid)
    assert await images.count() == 0


async def test_a_deletion_goes_on_until_it_is_finished(images: ImagePorts) -> None:
    image, other = [await images.add(each) for each in ImageFactory.batch(2)]
    for each in (image, other):
        assert not await images.is_being_deleted(each.guid)
        await images.delete(each.guid, expected_version=1, lease_seconds=60.0)
        assert await images.is_being_deleted(each.guid)
    for _ in range(2):
        await images.finish_deletion(image.guid)
    assert not await images.is_being_deleted(image.guid)
    assert await images.is_being_deleted(other.guid)


async def test_a_deletion_with_a_lease_is_not_claimed_again(images: ImagePorts) -> None:
    image = await images.add(ImageFactory.build())
    await images.delete(image.guid, expected_version=1, lease_seconds=60.0)
    assert await images.list_deletions(limit=10) == []
    assert await images.claim_deletions(limit=10, lease_seconds=60.0) == []


async def test_an_abandoned_deletion_is_claimed_again_and_again(images: ImagePorts) -> None:
    image = await images.add(ImageFactory.build())
    await images.delete(image.guid, expected_version=1, lease_seconds=1.0)
    assert await images.list_deletions(limit=10) == []

    async def is_over() -> bool:
        return await images.list_deletions(limit=10) == [image.guid]

    await eventually(is_over)
    assert await images.claim_deletions(limit=10, lease_seconds=1.0) == [image.guid]
    assert await images.claim_deletions(limit=10, lease_seconds=1.0) == []
    await eventually(is_over)
    assert await images.claim_deletions(limit=10, lease_seconds=60.0) == [image.guid]
    await images.finish_deletion(image.guid)
    assert await images.list_deletions(limit=10) == []


async def test_the_smallest_guids_come_first_and_no_more_than_asked_for(images: ImagePorts) -> None:
    guids = [UUID(int=number << 124 | number) for number in (9, 0xA, 1, 0xF, 0)]
    for guid in guids:
        await images.add(ImageFactory.build(guid=guid))
        await images.delete(guid, expected_version=1, lease_seconds=-1.0)
    expected = sorted(guids, key=str)
    assert await images.list_deletions(limit=3) == expected[:3]
    assert await images.list_deletions(limit=10) == expected
    assert await images.claim_deletions(limit=3, lease_seconds=60.0) == expected[:3]
    assert await images.list_deletions(limit=10) == expected[3:]
    assert await images.claim_deletions(limit=3, lease_seconds=60.0) == expected[3:]


async def test_of_those_who_claim_at_once_each_deletion_goes_to_one(images: ImagePorts) -> None:
    added = [await images.add(image) for image in ImageFactory.batch(12)]
    for image in added:
        await images.delete(image.guid, expected_version=1, lease_seconds=-1.0)
    claims = await asyncio.gather(*(images.claim_deletions(limit=12, lease_seconds=60.0) for _ in range(4)))
    claimed = [guid for claim in claims for guid in claim]
    assert sorted(claimed) == sorted(image.guid for image in added)


async def test_a_key_outlives_the_image_it_was_used_for(images: ImagePorts) -> None:
    image = await images.add(FailedImageFactory.build(), claim=a_claim())
    await images.delete(image.guid, expected_version=1, lease_seconds=60.0)
    claimed = await images.find_claim(ANN, KEY)
    assert claimed
    assert claimed.guid == image.guid


async def test_of_one_who_changes_and_one_who_deletes_at_once_one_succeeds(images: ImagePorts) -> None:
    for _ in range(10):
        image = await images.add(ImageFactory.build(tags=("a",)))
        changed = image.changed(ImageChanges(tags=["b"]), at=NOON)
        results = await asyncio.gather(
            images.change(changed, expected_version=1),
            images.delete(image.guid, expected_version=1, lease_seconds=60.0),
            return_exceptions=True,
        )
        if results[0] is None:
            assert isinstance(results[1], ConstraintViolationError)
            assert await images.get(image.guid) == changed
        else:
            assert isinstance(results[0], RecordNotFoundError | ConstraintViolationError)
            assert results[1] is None
            assert await images.is_being_deleted(image.guid)


async def test_many_may_add_change_and_delete_at_once(images: ImagePorts) -> None:
    added = [
        await images.add(ImageFactory.build(author="ann", tags=("a", "b"), prompt="the same words")) for _ in range(20)
    ]

    async def write(number: int, image: Image) -> None:
        await images.add(ImageFactory.build(author="ann", tags=("b", "c"), prompt="the same words"))
        changes = ImageChanges(tags=["c", str(number)], visibility=Visibility.PRIVATE)
        changed = image.changed(changes, at=image.updated_at)
        await images.change(changed, expected_version=1)
        if number % 2:
            await images.delete(image.guid, expected_version=2, lease_seconds=0.0)
            await images.finish_deletion(image.guid)
        else:
            again = changed.changed(ImageChanges(tags=["b"], visibility=Visibility.PUBLIC), at=image.updated_at)
            await images.change(again, expected_version=2)

    await asyncio.gather(*(write(number, image) for number, image in enumerate(added)))
    assert await images.count() == 30
    assert await images.count_listed(ImageFilter(author=ANN, tags=(Tag("b"),), visibility=Visibility.PUBLIC)) == 30
    assert await images.count_listed(ImageFilter(author=ANN, search=Search.parse("same"))) == 30
    assert await images.list_deletions(limit=100) == []
