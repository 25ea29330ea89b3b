"""The contract of `ImageBatches`."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from pixyproxy.domain.batch import BatchPlace
from pixyproxy.domain.errors import ConstraintViolationError, RecordNotFoundError
from pixyproxy.domain.idempotency import ClaimedImage
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import ClaimOutcome, ImagePorts
from pixyproxy.domain.tag import Tag
from tests.factories import ContentInfoFactory, ImageFactory, PendingImageFactory
from tests.images import ANN, KEY, NOON, PUBLIC, a_claim
from tests.uploads import request_for

BATCH = UUID("5f0c8a52-7d0e-4b54-8a3c-1c1b6f9a7d20")
OTHER = UUID("0c1c5be7-5a3e-4f0b-9b4e-9f2c7d1e6a31")


def a_batch(size: int = 3, guid: UUID = BATCH, **fields: Any) -> Sequence[Image]:
    """Make pending images of one batch."""
    places = [BatchPlace(guid=guid, position=position, size=size) for position in range(size)]
    return [PendingImageFactory.build(batch=place, **fields) for place in places]


@pytest.mark.parametrize("size", [1, 3, 10])
async def test_an_added_batch_comes_back_in_order_with_ids_and_all_fields(images: ImagePorts, size: int) -> None:
    batch = a_batch(size, tags=(Tag("a"), Tag("b")), author=ANN)
    added = await images.add_batch(BATCH, batch)
    assert added == [msgspec.structs.replace(image, id=stored.id) for image, stored in zip(batch, added, strict=True)]
    assert len({image.id for image in added} - {None}) == size
    assert await images.list_batch(BATCH) == added
    assert [await images.get(image.guid) for image in batch] == added


async def test_an_unknown_batch_has_no_images(images: ImagePorts) -> None:
    await images.add_batch(BATCH, a_batch())
    await images.add(PendingImageFactory.build())
    assert await images.list_batch(uuid4()) == []


async def test_the_order_is_that_of_the_places(images: ImagePorts) -> None:
    first, second, third = a_batch()
    added = {image.guid: await images.add(image) for image in (third, first, second)}
    assert await images.list_batch(BATCH) == [added[image.guid] for image in (first, second, third)]


async def test_images_of_a_batch_are_listed_found_and_counted_like_others(images: ImagePorts) -> None:
    place = BatchPlace(guid=BATCH, position=0, size=1)
    image = ImageFactory.build(tags=(Tag("a"),), batch=place, created_at=NOON)
    (added,) = await images.add_batch(BATCH, [image])
    assert await images.list(PUBLIC, limit=10) == [added]
    assert await images.count() == 1


async def test_each_image_changes_and_ends_by_itself(images: ImagePorts) -> None:
    first, second, third = await images.add_batch(BATCH, a_batch())
    started = first.started(at=NOON)
    await images.update(started, expected=first.status)
    ready = started.completed(ContentInfoFactory.build(), at=NOON)
    await images.update(ready, expected=started.status)
    await images.delete(second.guid, expected_version=second.version, lease_seconds=60)
    assert await images.list_batch(BATCH) == [ready, third]


async def test_each_image_waits_and_is_claimed_by_itself(images: ImagePorts) -> None:
    first, *others = await images.add_batch(BATCH, a_batch())
    assert await images.claim(first.guid, owner="one") is ClaimOutcome.CLAIMED
    assert [lease.guid for lease in await images.list_leases(limit=10)] == [first.guid]
    since = min(image.created_at for image in others)
    assert set(await images.list_next(since=since, limit=10)) == {image.guid for image in others}


async def test_the_key_names_the_batch(images: ImagePorts) -> None:
    await images.add_batch(BATCH, a_batch(author=ANN), claim=a_claim())
    assert await images.find_claim(ANN, KEY) == ClaimedImage(guid=BATCH, fingerprint="0" * 64)
    await images.forget_claim(ANN, KEY, uuid4())
    assert await images.find_claim(ANN, KEY)
    await images.forget_claim(ANN, KEY, BATCH)
    assert await images.find_claim(ANN, KEY) is None


async def test_a_taken_key_stores_none_of_them(images: ImagePorts) -> None:
    image = await images.add(PendingImageFactory.build(), claim=a_claim())
    with pytest.raises(ConstraintViolationError):
        await images.add_batch(BATCH, a_batch(tags=(Tag("a"),)), claim=a_claim())
    assert await images.list_batch(BATCH) == []
    assert await images.count() == 1
    assert await images.find_claim(ANN, KEY) == ClaimedImage(guid=image.guid, fingerprint="0" * 64)


@pytest.mark.parametrize("position", [0, 1, 2])
async def test_a_taken_guid_stores_none_of_them_and_leaves_the_key_unused(images: ImagePorts, position: int) -> None:
    taken = await images.add(PendingImageFactory.build())
    batch = list(a_batch(tags=(Tag("a"),)))
    batch[position] = msgspec.structs.replace(batch[position], guid=taken.guid)
    with pytest.raises(ConstraintViolationError, match="image with this guid is stored already"):
        await images.add_batch(BATCH, batch, claim=a_claim())
    assert await images.list_batch(BATCH) == []
    assert await images.count() == 1
    assert await images.find_claim(ANN, KEY) is None


async def test_an_unfinished_deletion_of_one_stores_none_of_them(images: ImagePorts) -> None:
    deleted = await images.add(PendingImageFactory.build())
    await images.delete(deleted.guid, expected_version=deleted.version, lease_seconds=60)
    *others, last = a_batch()
    with pytest.raises(ConstraintViolationError, match="being deleted"):
        await images.add_batch(BATCH, [*others, msgspec.structs.replace(last, guid=deleted.guid)], claim=a_claim())
    assert await images.count() == 0
    assert await images.find_claim(ANN, KEY) is None


async def test_one_guid_twice_stores_none_of_them(images: ImagePorts) -> None:
    first, second, third = a_batch()
    with pytest.raises(ConstraintViolationError):
        await images.add_batch(BATCH, [first, second, msgspec.structs.replace(third, guid=first.guid)])
    assert await images.count() == 0


async def test_an_upload_that_is_not_there_stores_none_of_them(images: ImagePorts) -> None:
    upload = "a" * 64
    batch = a_batch(request=request_for(upload))
    with pytest.raises(ConstraintViolationError, match="upload it again"):
        await images.add_batch(BATCH, batch, claim=a_claim())
    assert await images.count() == 0
    assert await images.find_claim(ANN, KEY) is None
    await images.hold(upload, seconds=60)
    await images.add_batch(BATCH, batch, claim=a_claim())
    await images.release(upload)
    for image in batch:
        assert await images.claim_unused(limit=10, lease_seconds=60) == []
        await images.delete(image.guid, expected_version=image.version, lease_seconds=60)
    assert await images.claim_unused(limit=10, lease_seconds=60) == [upload]


async def test_of_many_batches_with_one_key_at_once_one_succeeds(images: ImagePorts) -> None:
    batches = {guid: a_batch(guid=guid, tags=(Tag("a"),)) for guid in (uuid4() for _ in range(10))}
    results = await asyncio.gather(
        *(images.add_batch(guid, batch, claim=a_claim()) for guid, batch in batches.items()), return_exceptions=True
    )
    (winner,) = [result for result in results if not isinstance(result, BaseException)]
    assert [type(result) for result in results if result is not winner] == [ConstraintViolationError] * 9
    assert await images.count() == 3
    claimed = await images.find_claim(ANN, KEY)
    assert claimed
    assert await images.list_batch(claimed.guid) == winner


async def test_many_batches_can_be_added_at_once(images: ImagePorts) -> None:
    guids = [uuid4() for _ in range(20)]
    added = await asyncio.gather(*(images.add_batch(guid, a_batch(guid=guid, tags=(Tag("a"),))) for guid in guids))
    assert [await images.list_batch(guid) for guid in guids] == added


async def test_a_batch_whose_adding_is_cancelled_is_there_as_a_whole_or_not_at_all(images: ImagePorts) -> None:
    for turns in range(40):
        guid = uuid4()
        adding = asyncio.create_task(images.add_batch(guid, a_batch(guid=guid, tags=(Tag("a"), Tag("b")))))
        for _ in range(turns):
            await asyncio.sleep(0)
        adding.cancel()
        await asyncio.wait([adding])
        found = await images.list_batch(guid)
        assert len(found) in ({0, 3} if adding.cancelled() else {3})


async def test_a_deleted_batch_is_unknown(images: ImagePorts) -> None:
    for image in await images.add_batch(BATCH, a_batch()):
        await images.delete(image.guid, expected_version=image.version, lease_seconds=60)
        with pytest.raises(RecordNotFoundError):
            await images.get(image.guid)
    assert await images.list_batch(BATCH) == []
