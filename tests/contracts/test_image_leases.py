"""The contract of `ImageLeases`."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest

from pixyproxy.domain.errors import (
    ConstraintViolationError,
    GenerationAbandonedError,
)
from pixyproxy.domain.image import ImageStatus
from pixyproxy.domain.ports import ImagePorts, Lease
from tests.factories import (
    FailedImageFactory,
    GeneratingImageFactory,
    ImageFactory,
    PendingImageFactory,
    UnknownImageFactory,
)
from tests.images import (
    FINAL_FACTORIES,
    LONG,
    NOON,
    RUNNING_FACTORIES,
    SECOND,
    SHORT,
    completed,
    eventually,
    refusal,
    wait_until_a_short_lease_is_over,
)


@pytest.mark.parametrize("factory", RUNNING_FACTORIES)
async def test_an_image_without_a_lease_is_abandoned_at_once(images: ImagePorts, factory: type[ImageFactory]) -> None:
    image = await images.add(factory.build(tags=("a", "b")))
    assert await images.list_abandoned(limit=10) == [image]


@pytest.mark.parametrize("factory", RUNNING_FACTORIES)
async def test_an_image_is_abandoned_when_its_lease_is_over_and_not_before(
    images: ImagePorts, factory: type[ImageFactory]
) -> None:
    await images.add(factory.build(), lease=LONG)
    image = await images.add(factory.build(), lease=Lease(owner="one", seconds=1.0))
    assert await images.list_abandoned(limit=10) == []

    async def is_abandoned() -> bool:
        return await images.list_abandoned(limit=10) == [image]

    await eventually(is_abandoned)


@pytest.mark.parametrize("factory", FINAL_FACTORIES)
async def test_a_final_image_is_never_abandoned(images: ImagePorts, factory: type[ImageFactory]) -> None:
    await images.add(factory.build())
    await images.add(factory.build(), lease=SHORT)
    await wait_until_a_short_lease_is_over(images)
    assert await images.list_abandoned(limit=10) == []


async def test_the_lease_goes_on_when_the_generator_is_called(images: ImagePorts) -> None:
    pending = await images.add(PendingImageFactory.build(), lease=LONG)
    generating = pending.started(at=pending.updated_at)
    await images.update(generating, expected=ImageStatus.PENDING)
    assert await images.list_abandoned(limit=10) == []
    await images.renew(pending.guid, SHORT)
    await wait_until_a_short_lease_is_over(images)
    assert await images.list_abandoned(limit=10) == [generating]


async def test_the_oldest_are_listed_first_and_no_more_than_asked_for(images: ImagePorts) -> None:
    times = [NOON, NOON - SECOND, NOON + SECOND, NOON + timedelta(microseconds=1)]
    added = [await images.add(GeneratingImageFactory.build(created_at=time)) for time in times]
    await images.add(GeneratingImageFactory.build(created_at=NOON - 2 * SECOND), lease=LONG)
    expected = [added[1], added[0], added[3], added[2]]
    assert await images.list_abandoned(limit=3) == expected[:3]
    assert await images.list_abandoned(limit=10) == expected


@pytest.mark.parametrize("factory", RUNNING_FACTORIES)
async def test_a_renewed_lease_runs_from_then_on_and_nothing_else_changes(
    images: ImagePorts, factory: type[ImageFactory]
) -> None:
    image = await images.add(factory.build(), lease=SHORT)
    await images.renew(image.guid, LONG)
    await wait_until_a_short_lease_is_over(images)
    assert await images.list_abandoned(limit=10) == []
    assert await images.get(image.guid) == image


async def test_a_lease_that_is_over_can_still_be_renewed(images: ImagePorts) -> None:
    image = await images.add(GeneratingImageFactory.build(), lease=SHORT)
    await wait_until_a_short_lease_is_over(images)
    assert await images.list_abandoned(limit=10) == [image]
    await images.renew(image.guid, LONG)
    assert await images.list_abandoned(limit=10) == []


async def test_only_the_owner_can_renew_a_lease(images: ImagePorts) -> None:
    image = await images.add(GeneratingImageFactory.build(), lease=SHORT)
    unowned = await images.add(GeneratingImageFactory.build(created_at=image.created_at + SECOND))
    for owner in ("two", "One", "on", ""):
        for each in (image, unowned):
            await images.renew(each.guid, Lease(owner=owner, seconds=60.0))
    await wait_until_a_short_lease_is_over(images)
    assert await images.list_abandoned(limit=10) == [image, unowned]


async def test_renewing_the_lease_of_one_image_leaves_the_others(images: ImagePorts) -> None:
    image, other = [await images.add(GeneratingImageFactory.build(), lease=SHORT) for _ in range(2)]
    await images.renew(image.guid, LONG)
    await wait_until_a_short_lease_is_over(images)
    assert await images.list_abandoned(limit=10) == [other]


async def test_renewing_the_lease_of_an_unknown_image_does_nothing(images: ImagePorts) -> None:
    guid = uuid4()
    await images.renew(guid, LONG)
    image = await images.add(GeneratingImageFactory.build(guid=guid))
    assert await images.list_abandoned(limit=10) == [image]


@pytest.mark.parametrize("is_renewed", [False, True])
@pytest.mark.parametrize("status", [ImageStatus.READY, ImageStatus.FAILED, ImageStatus.UNKNOWN])
async def test_a_final_state_ends_the_lease_for_good(
    images: ImagePorts, status: ImageStatus, *, is_renewed: bool
) -> None:
    image = await images.add(GeneratingImageFactory.build(), lease=LONG)
    end = {
        ImageStatus.READY: completed(image),
        ImageStatus.FAILED: image.failed(refusal(), at=NOON),
        ImageStatus.UNKNOWN: image.failed(
            GenerationAbandonedError("The outcome is unknown.", maybe_billed=True), at=NOON
        ),
    }[status]
    await images.update(end, expected=ImageStatus.GENERATING)
    if is_renewed:
        await images.renew(image.guid, LONG)
    assert await images.get(image.guid) == end
    # No image ever goes back; only so can be seen that no lease is left.
    await images.update(image, expected=status)
    assert await images.list_abandoned(limit=10) == [msgspec.structs.replace(image, version=3)]


@pytest.mark.parametrize("factory", FINAL_FACTORIES)
async def test_renewing_changes_nothing_of_a_final_image(images: ImagePorts, factory: type[ImageFactory]) -> None:
    image = await images.add(factory.build(), lease=LONG)
    await images.renew(image.guid, SHORT)
    assert await images.get(image.guid) == image


async def test_an_abandoned_image_is_updated_only_without_a_lease(images: ImagePorts) -> None:
    image = await images.add(GeneratingImageFactory.build(), lease=LONG)
    unknown = image.failed(GenerationAbandonedError("The outcome is unknown.", maybe_billed=True), at=image.updated_at)
    with pytest.raises(ConstraintViolationError):
        await images.update_abandoned(unknown, expected=ImageStatus.GENERATING)
    assert await images.get(image.guid) == image

    abandoned = await images.add(GeneratingImageFactory.build(), lease=Lease(owner="one", seconds=0.0))
    unknown = abandoned.failed(
        GenerationAbandonedError("The outcome is unknown.", maybe_billed=True), at=image.updated_at
    )
    await images.update_abandoned(unknown, expected=ImageStatus.GENERATING)
    assert (await images.get(abandoned.guid)).status is ImageStatus.UNKNOWN


async def test_the_images_that_became_unknown_lately_are_listed_the_latest_first(images: ImagePorts) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    for factory in (ImageFactory, PendingImageFactory, GeneratingImageFactory, FailedImageFactory):
        await images.add(factory.build(updated_at=noon))
    early, exact, late = [
        await images.add(UnknownImageFactory.build(updated_at=noon + timedelta(microseconds=offset)))
        for offset in (-1, 0, 1)
    ]
    assert await images.list_unknown(since=noon, limit=10) == [late, exact]
    assert await images.list_unknown(since=noon, limit=1) == [late]
    assert early not in await images.list_unknown(since=noon, limit=10)
