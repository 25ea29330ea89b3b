"""The contract of `ImageLeases`."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import msgspec
import pytest

from pixyproxy.domain.errors import ConstraintViolationError, GenerationAbandonedError, RecordNotFoundError
from pixyproxy.domain.image import Image, ImageStatus
from pixyproxy.domain.ports import ClaimOutcome, ImagePorts, Lease
from tests.factories import (
    FailedImageFactory,
    GeneratingImageFactory,
    ImageFactory,
    PendingImageFactory,
    UnknownImageFactory,
)
from tests.images import (
    FINAL_FACTORIES,
    NOON,
    OTHER,
    RUNNING_FACTORIES,
    SECOND,
    completed,
    eventually,
    held,
    refusal,
)

ME = "this process"


async def lease_on(images: ImagePorts, image: Image) -> Lease | None:
    leases = [lease for lease in await images.list_leases(limit=100) if lease.guid == image.guid]
    return leases[0] if leases else None


async def seen(images: ImagePorts, image: Image) -> Lease:
    lease = await lease_on(images, image)
    assert lease is not None
    return lease


def abandoned() -> GenerationAbandonedError:
    return GenerationAbandonedError("The outcome is unknown.", maybe_billed=True)


@pytest.mark.parametrize("factory", RUNNING_FACTORIES)
async def test_a_claimed_image_has_a_lease(images: ImagePorts, factory: type[ImageFactory]) -> None:
    image = await held(images, factory.build(), ME)
    assert (await seen(images, image)).owner == ME


async def test_an_image_that_waits_has_none_and_one_that_is_generated_without_has_no_owner(images: ImagePorts) -> None:
    await images.add(PendingImageFactory.build())
    image = await images.add(GeneratingImageFactory.build())
    (lease,) = await images.list_leases(limit=10)
    assert (lease.guid, lease.owner) == (image.guid, None)


@pytest.mark.parametrize("factory", FINAL_FACTORIES)
async def test_a_final_image_has_no_lease(images: ImagePorts, factory: type[ImageFactory]) -> None:
    image = await images.add(factory.build())
    assert not await images.renew(image.guid, ME)
    assert await images.list_leases(limit=10) == []


async def test_the_leases_of_the_oldest_images_come_first_and_no_more_than_asked_for(images: ImagePorts) -> None:
    times = [NOON, NOON - SECOND, NOON + SECOND]
    added = [await held(images, GeneratingImageFactory.build(created_at=time)) for time in times]
    expected = [added[1].guid, added[0].guid, added[2].guid]
    assert [lease.guid for lease in await images.list_leases(limit=2)] == expected[:2]
    assert [lease.guid for lease in await images.list_leases(limit=10)] == expected


@pytest.mark.parametrize("factory", RUNNING_FACTORIES)
async def test_a_renewal_counts_and_nothing_else_changes(images: ImagePorts, factory: type[ImageFactory]) -> None:
    image = await held(images, factory.build(), ME)
    before = await seen(images, image)
    assert await images.renew(image.guid, ME)
    after = await seen(images, image)
    assert (after.owner, after.renewals) == (ME, before.renewals + 1)
    assert await images.get(image.guid) == image


async def test_only_the_owner_can_renew_or_give_back_a_lease(images: ImagePorts) -> None:
    image = await held(images, GeneratingImageFactory.build(), "one")
    unowned = await images.add(GeneratingImageFactory.build())
    before = await images.list_leases(limit=10)
    for owner in ("two", "One", "on", ""):
        for each in (image.guid, unowned.guid, uuid4()):
            assert not await images.renew(each, owner)
            await images.give_back(each, owner)
    assert await images.list_leases(limit=10) == before


async def test_a_lease_that_is_unchanged_can_be_taken_over_by_one(images: ImagePorts) -> None:
    image = await held(images, GeneratingImageFactory.build())
    lease = await seen(images, image)
    taken = await asyncio.gather(*(images.take_over(lease, f"process {number}") for number in range(5)))
    assert sorted(taken) == [False] * 4 + [True]
    assert (await seen(images, image)).owner == f"process {taken.index(True)}"
    assert not await images.renew(image.guid, OTHER)
    assert await images.get(image.guid) == image


async def test_an_image_without_an_owner_can_be_taken_over(images: ImagePorts) -> None:
    image = await images.add(GeneratingImageFactory.build())
    lease = await seen(images, image)
    assert await images.take_over(lease, ME)
    assert not await images.take_over(lease, OTHER)
    assert await images.renew(image.guid, ME)


async def test_a_lease_that_was_renewed_meanwhile_stays(images: ImagePorts) -> None:
    image = await held(images, GeneratingImageFactory.build())
    lease = await seen(images, image)
    assert await images.renew(image.guid, OTHER)
    assert not await images.take_over(lease, ME)
    assert (await seen(images, image)).owner == OTHER


async def test_the_lease_of_a_final_or_waiting_image_can_not_be_taken_over(images: ImagePorts) -> None:
    ended = await held(images, GeneratingImageFactory.build())
    given_back = await held(images, PendingImageFactory.build())
    leases = [await seen(images, image) for image in (ended, given_back)]
    await images.update(completed(ended), expected=ImageStatus.GENERATING)
    await images.give_back(given_back.guid, OTHER)
    unowned = [msgspec.structs.replace(lease, owner=None) for lease in leases]
    assert [await images.take_over(lease, ME) for lease in (*leases, *unowned)] == [False] * 4


async def test_a_pending_image_that_is_given_back_waits_again(images: ImagePorts) -> None:
    image = await held(images, PendingImageFactory.build(), ME)
    assert await images.claim(image.guid, owner=OTHER) is ClaimOutcome.TAKEN
    await images.give_back(image.guid, ME)
    assert await lease_on(images, image) is None
    assert await images.claim(image.guid, owner=OTHER) is ClaimOutcome.CLAIMED


async def test_a_generating_image_that_is_given_back_is_abandoned(images: ImagePorts) -> None:
    image = await held(images, GeneratingImageFactory.build(), ME)
    await images.give_back(image.guid, ME)
    assert (await seen(images, image)).owner is None


async def test_a_lease_goes_on_when_the_generator_is_called(images: ImagePorts) -> None:
    image = await held(images, PendingImageFactory.build(), ME)
    before = await seen(images, image)
    await images.update_leased(image.started(at=image.updated_at), expected=ImageStatus.PENDING, owner=ME)
    assert await seen(images, image) == before


async def test_an_image_is_updated_for_its_owner_alone(images: ImagePorts) -> None:
    image = await held(images, GeneratingImageFactory.build(), ME)
    unowned = await images.add(GeneratingImageFactory.build())
    for each, owner in ((image, OTHER), (unowned, ME), (unowned, "")):
        with pytest.raises(ConstraintViolationError):
            await images.update_leased(each.failed(refusal(), at=NOON), expected=ImageStatus.GENERATING, owner=owner)
        assert await images.get(each.guid) == each
    with pytest.raises(ConstraintViolationError):
        await images.update_leased(image.failed(refusal(), at=NOON), expected=ImageStatus.PENDING, owner=ME)
    missing = GeneratingImageFactory.build().failed(refusal(), at=NOON)
    with pytest.raises(RecordNotFoundError):
        await images.update_leased(missing, expected=ImageStatus.GENERATING, owner=ME)
    await images.update_leased(image.failed(refusal(), at=NOON), expected=ImageStatus.GENERATING, owner=ME)
    assert (await images.get(image.guid)).status is ImageStatus.FAILED


async def test_an_image_that_is_put_back_into_the_queue_waits(images: ImagePorts) -> None:
    image = await held(images, GeneratingImageFactory.build(), ME)
    requeued = image.requeued(at=NOON)
    await images.update_leased(requeued, expected=ImageStatus.GENERATING, owner=ME)
    assert await images.get(image.guid) == requeued
    assert await images.list_leases(limit=10) == []
    assert await images.claim(image.guid, owner=OTHER) is ClaimOutcome.CLAIMED


@pytest.mark.parametrize("status", [ImageStatus.READY, ImageStatus.FAILED, ImageStatus.UNKNOWN])
async def test_a_final_state_ends_the_lease_for_good(images: ImagePorts, status: ImageStatus) -> None:
    image = await held(images, GeneratingImageFactory.build(), ME)
    end = {
        ImageStatus.READY: completed(image),
        ImageStatus.FAILED: image.failed(refusal(), at=NOON),
        ImageStatus.UNKNOWN: image.failed(abandoned(), at=NOON),
    }[status]
    await images.update(end, expected=ImageStatus.GENERATING)
    assert not await images.renew(image.guid, ME)
    assert await images.get(image.guid) == end
    # No image ever goes back like this; only so can be seen that no lease is left.
    await images.update(image, expected=status)
    assert (await seen(images, image)).owner is None


async def test_the_images_that_became_unknown_lately_are_listed_the_latest_first(images: ImagePorts) -> None:
    for factory in (ImageFactory, PendingImageFactory, GeneratingImageFactory, FailedImageFactory):
        await images.add(factory.build(updated_at=NOON))
    early, exact, late = [
        await images.add(UnknownImageFactory.build(updated_at=NOON + timedelta(microseconds=offset)))
        for offset in (-1, 0, 1)
    ]
    assert await images.list_unknown(since=NOON, limit=10) == [late, exact]
    assert await images.list_unknown(since=NOON, limit=1) == [late]
    assert early not in await images.list_unknown(since=NOON, limit=10)


async def test_an_unknown_image_is_put_off_once_and_for_as_long_as_asked(images: ImagePorts) -> None:
    image, other = [await images.add(UnknownImageFactory.build(updated_at=NOON)) for _ in range(2)]
    assert sorted(await asyncio.gather(*(images.put_off(image.guid, seconds=60) for _ in range(3)))) == [
        False,
        False,
        True,
    ]
    assert await images.list_unknown(since=NOON, limit=10) == [other]
    assert await images.get(image.guid) == image
    assert await images.put_off(other.guid, seconds=0.05)

    async def is_listed() -> bool:
        return await images.list_unknown(since=NOON, limit=10) == [other]

    await eventually(is_listed)
    assert await images.put_off(other.guid, seconds=60)


@pytest.mark.parametrize("factory", [ImageFactory, FailedImageFactory, GeneratingImageFactory])
async def test_only_an_unknown_image_can_be_put_off(images: ImagePorts, factory: type[ImageFactory]) -> None:
    image = await images.add(factory.build())
    assert not await images.put_off(image.guid, seconds=60)
    assert not await images.put_off(uuid4(), seconds=60)


async def test_an_image_that_becomes_unknown_is_looked_at_at_once(images: ImagePorts) -> None:
    image = await held(images, GeneratingImageFactory.build(), ME)
    unknown = image.failed(abandoned(), at=NOON)
    await images.update(unknown, expected=ImageStatus.GENERATING)
    assert await images.list_unknown(since=NOON, limit=10) == [unknown]
