"""The contract of `Uploads`, and what `ImageRepository` does with it."""

import asyncio
import hashlib
from uuid import uuid4

import pytest

from pixyproxy.domain.errors import ConstraintViolationError, RecordNotFoundError
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import ImagePorts, UploadRecord
from tests.factories import FailedImageFactory, PendingImageFactory
from tests.images import a_claim, eventually
from tests.uploads import request_for

ONE, TWO, THREE = sorted(hashlib.sha256(text).hexdigest() for text in (b"one", b"two", b"three"))
LONG_TIME = 60.0
NO_TIME = 0.0


def image_of(*uploads: str, mask: str | None = None) -> Image:
    return FailedImageFactory.build(request=request_for(*uploads, mask=mask))


async def unused(images: ImagePorts, lease_seconds: float = LONG_TIME) -> list[str]:
    return sorted(await images.claim_unused(limit=10, lease_seconds=lease_seconds))


async def listed(images: ImagePorts) -> list[str]:
    return [record.sha256 for record in await images.scan_uploads(limit=100) if record.is_listed]


async def add_with_holds(images: ImagePorts, image: Image) -> Image:
    """Store the image as a request does: hold its uploads, add it, release them."""
    uploads = {picture.upload.content.sha256 for picture in image.request.pictures if picture.upload}
    for upload in uploads:
        await images.hold(upload, seconds=LONG_TIME)
    added = await images.add(image)
    for upload in uploads:
        await images.release(upload)
    return added


async def test_an_image_is_stored_with_uploads_that_are_held(images: ImagePorts) -> None:
    image = await add_with_holds(images, image_of(TWO, ONE, mask=THREE))
    assert await images.get(image.guid) == image
    assert await unused(images) == []


async def test_an_image_can_name_an_upload_twice(images: ImagePorts) -> None:
    image = await add_with_holds(images, image_of(ONE, ONE, mask=ONE))
    assert await images.get(image.guid) == image


async def test_an_image_with_an_upload_that_is_not_listed_is_refused_and_nothing_is_stored(images: ImagePorts) -> None:
    await images.hold(ONE, seconds=LONG_TIME)
    image = image_of(ONE, TWO)
    with pytest.raises(ConstraintViolationError, match="upload it again"):
        await images.add(image, claim=a_claim())
    with pytest.raises(RecordNotFoundError):
        await images.get(image.guid)
    assert await images.count() == 0
    await images.hold(TWO, seconds=LONG_TIME)
    await images.add(image, claim=a_claim())


@pytest.mark.parametrize("lease_seconds", [LONG_TIME, NO_TIME], ids=["running", "abandoned"])
async def test_an_image_with_an_upload_that_is_being_deleted_is_refused(
    images: ImagePorts, lease_seconds: float
) -> None:
    """Of an abandoned deletion, too: the bytes may be gone."""
    await images.hold(ONE, seconds=NO_TIME)
    assert await unused(images, lease_seconds) == [ONE]
    with pytest.raises(ConstraintViolationError, match="upload it again"):
        await images.add(image_of(ONE))


async def test_an_upload_that_nothing_refers_to_is_unused_after_its_hold(images: ImagePorts) -> None:
    await images.hold(ONE, seconds=LONG_TIME)
    await images.hold(TWO, seconds=0.2)
    assert await unused(images) == []
    found: list[str] = []

    async def is_found() -> bool:
        found.extend(await unused(images))
        return bool(found)

    await eventually(is_found)
    assert found == [TWO]


async def test_each_hold_needs_a_release(images: ImagePorts) -> None:
    for _ in range(3):
        await images.hold(ONE, seconds=LONG_TIME)
    for _ in range(2):
        await images.release(ONE)
        assert await unused(images) == []
    await images.release(ONE)
    assert await unused(images) == [ONE]


async def test_a_shorter_hold_shortens_no_longer_one(images: ImagePorts) -> None:
    await images.hold(ONE, seconds=LONG_TIME)
    await images.hold(ONE, seconds=NO_TIME)
    assert await unused(images) == []


async def test_holds_of_a_process_that_died_end_with_their_time(images: ImagePorts) -> None:
    for _ in range(3):
        await images.hold(ONE, seconds=NO_TIME)
    await asyncio.sleep(0.01)
    await images.hold(ONE, seconds=LONG_TIME)
    await images.release(ONE)
    assert await unused(images) == [ONE]


async def test_a_release_too_many_does_nothing(images: ImagePorts) -> None:
    await images.release(ONE)
    assert await listed(images) == []
    await images.hold(ONE, seconds=NO_TIME)
    await asyncio.sleep(0.01)
    await images.release(ONE)
    assert await unused(images) == [ONE]


async def test_an_upload_is_unused_when_its_last_image_is_deleted(images: ImagePorts) -> None:
    first, second = [await add_with_holds(images, image_of(ONE, mask=TWO)) for _ in range(2)]
    third = await add_with_holds(images, image_of(ONE))
    assert await unused(images) == []
    await images.delete(first.guid, expected_version=1, lease_seconds=NO_TIME)
    assert await unused(images) == []
    await images.delete(second.guid, expected_version=1, lease_seconds=NO_TIME)
    assert await unused(images) == [TWO]
    await images.delete(third.guid, expected_version=1, lease_seconds=NO_TIME)
    assert await unused(images) == [ONE]


async def test_an_upload_of_a_deleted_image_stays_while_it_is_held(images: ImagePorts) -> None:
    image = await add_with_holds(images, image_of(ONE))
    await images.hold(ONE, seconds=LONG_TIME)
    await images.delete(image.guid, expected_version=1, lease_seconds=NO_TIME)
    assert await unused(images) == []
    await images.release(ONE)
    assert await unused(images) == [ONE]


async def test_an_upload_is_claimed_once_until_the_lease_is_over(images: ImagePorts) -> None:
    await images.hold(ONE, seconds=NO_TIME)
    await images.hold(TWO, seconds=NO_TIME)
    claims = await asyncio.gather(*[unused(images) for _ in range(5)])
    assert sorted(upload for claimed in claims for upload in claimed) == [ONE, TWO]
    await images.hold(THREE, seconds=NO_TIME)
    assert await unused(images, NO_TIME) == [THREE]
    await asyncio.sleep(0.01)
    assert await unused(images, NO_TIME) == [THREE]


async def test_no_more_are_claimed_than_wanted(images: ImagePorts) -> None:
    used = await add_with_holds(images, image_of(ONE))
    for upload in (TWO, THREE):
        await images.hold(upload, seconds=NO_TIME)
    (first,) = await images.claim_unused(limit=1, lease_seconds=LONG_TIME)
    (second,) = await images.claim_unused(limit=1, lease_seconds=LONG_TIME)
    assert {first, second} == {TWO, THREE}
    assert await images.claim_unused(limit=1, lease_seconds=LONG_TIME) == []
    assert await images.get(used.guid) == used


async def test_an_upload_that_is_being_deleted_can_not_be_held(images: ImagePorts) -> None:
    await images.hold(ONE, seconds=NO_TIME)
    assert await unused(images) == [ONE]
    with pytest.raises(ConstraintViolationError, match="being deleted"):
        await images.hold(ONE, seconds=LONG_TIME)
    await images.finish_unused(ONE)
    await images.hold(ONE, seconds=LONG_TIME)
    await images.add(image_of(ONE))


async def test_a_hold_ends_an_abandoned_deletion(images: ImagePorts) -> None:
    await images.hold(ONE, seconds=NO_TIME)
    assert await unused(images, NO_TIME) == [ONE]
    await asyncio.sleep(0.01)
    await images.hold(ONE, seconds=LONG_TIME)
    await images.finish_unused(ONE)
    assert await listed(images) == [ONE]
    await images.add(image_of(ONE))


async def test_a_deletion_whose_lease_is_over_is_not_finished(images: ImagePorts) -> None:
    """Another process may have claimed the upload."""
    await images.hold(ONE, seconds=NO_TIME)
    assert await unused(images, NO_TIME) == [ONE]
    await asyncio.sleep(0.01)
    await images.finish_unused(ONE)
    assert await listed(images) == [ONE]


async def test_an_upload_that_is_not_claimed_stays_listed(images: ImagePorts) -> None:
    await images.hold(ONE, seconds=LONG_TIME)
    await images.finish_unused(ONE)
    await images.finish_unused(TWO)
    assert await listed(images) == [ONE]


async def test_uploads_are_scanned_in_pages_with_what_is_known_of_them(images: ImagePorts) -> None:
    await add_with_holds(images, image_of(TWO))
    await images.add(PendingImageFactory.build(request=request_for(guid=uuid4())))
    await images.hold(ONE, seconds=LONG_TIME)
    await images.hold(THREE, seconds=NO_TIME)
    await asyncio.sleep(0.01)
    expected = [
        UploadRecord(sha256=ONE, is_listed=True, is_used=False, is_held=True),
        UploadRecord(sha256=TWO, is_listed=True, is_used=True, is_held=False),
        UploadRecord(sha256=THREE, is_listed=True, is_used=False, is_held=False),
    ]
    assert list(await images.scan_uploads(limit=10)) == expected
    assert list(await images.scan_uploads(limit=2)) == expected[:2]
    assert list(await images.scan_uploads(after=TWO, limit=2)) == expected[2:]
    assert list(await images.scan_uploads(after=THREE, limit=2)) == []


async def test_adding_and_sweeping_at_once_never_lose_an_upload_that_an_image_refers_to(images: ImagePorts) -> None:
    """Either the image is stored and the upload stays, or the image is refused."""
    for _ in range(10):
        await images.hold(ONE, seconds=NO_TIME)
        added, *claims = await asyncio.gather(
            images.add(image_of(ONE)), *[unused(images) for _ in range(3)], return_exceptions=True
        )
        claimed = [upload for claim in claims if isinstance(claim, list) for upload in claim]
        if isinstance(added, Image):
            assert claimed == []
            await images.delete(added.guid, expected_version=1, lease_seconds=NO_TIME)
            claimed = await unused(images)
        else:
            assert isinstance(added, ConstraintViolationError)
        assert claimed == [ONE]
        await images.finish_unused(ONE)
        assert await listed(images) == []


async def test_many_holds_of_new_uploads_at_once_all_succeed(images: ImagePorts) -> None:
    uploads = [hashlib.sha256(bytes([number])).hexdigest() for number in range(20)]
    await asyncio.gather(*[images.hold(upload, seconds=LONG_TIME) for upload in [*uploads, *uploads]])
    await asyncio.gather(*[images.release(upload) for upload in uploads])
    assert await unused(images) == []
    await asyncio.gather(*[images.release(upload) for upload in uploads])
    assert await images.claim_unused(limit=100, lease_seconds=LONG_TIME) != []
