"""The contract of `ImageQueue`."""

import asyncio
from collections import Counter
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from pixyproxy.domain.image import Image, ImageStatus
from pixyproxy.domain.ports import ClaimOutcome, ImagePorts, Unfinished
from pixyproxy.domain.user import UserName
from tests.factories import GeneratingImageFactory, ImageFactory, PendingImageFactory
from tests.images import ANN, BOB, FINAL_FACTORIES, NOON, SECOND, completed, held

ME = "this process"
EVE = UserName("eve")


async def waiting(images: ImagePorts, author: UserName | None = ANN, seconds: int = 0) -> Image:
    """Queue an image of the author, created `seconds` after noon."""
    return await images.add(PendingImageFactory.build(author=author, created_at=NOON + seconds * SECOND))


async def running(images: ImagePorts, author: UserName | None) -> Image:
    return await held(images, GeneratingImageFactory.build(author=author))


async def order(images: ImagePorts, limit: int = 100) -> list[UUID]:
    return list(await images.list_next(since=NOON - SECOND, limit=limit))


async def finish(images: ImagePorts, image: Image) -> None:
    await images.update(completed(image.started(at=NOON)), expected=ImageStatus.PENDING)


async def test_the_images_of_one_author_come_in_the_order_of_their_creation(images: ImagePorts) -> None:
    late, early, middle = [(await waiting(images, ANN, seconds)).guid for seconds in (3, 1, 2)]
    assert await order(images) == [early, middle, late]
    assert await order(images, limit=2) == [early, middle]


async def test_authors_take_turns_however_many_images_of_one_wait(images: ImagePorts) -> None:
    anns = [(await waiting(images, ANN, seconds)).guid for seconds in range(3)]
    bob = (await waiting(images, BOB, 10)).guid
    nameless = [(await waiting(images, None, seconds)).guid for seconds in (20, 21)]
    assert await order(images) == [anns[0], bob, nameless[0], anns[1], nameless[1], anns[2]]


@pytest.mark.parametrize("author", [ANN, None])
async def test_an_author_with_fewer_running_images_is_next(images: ImagePorts, author: UserName | None) -> None:
    await running(images, author)
    await held(images, PendingImageFactory.build(author=author))
    first = (await waiting(images, author, 0)).guid
    bobs = [(await waiting(images, BOB, seconds)).guid for seconds in (10, 11)]
    assert await order(images) == [*bobs, first]


async def test_among_equals_the_one_whose_turn_is_longest_ago_is_next(images: ImagePorts) -> None:
    anns = [await waiting(images, ANN, seconds) for seconds in range(3)]
    bobs = [await waiting(images, BOB, seconds) for seconds in (10, 11)]
    taken = []
    for _ in range(5):
        (guid,) = await images.list_next(since=NOON, limit=1)
        assert await images.claim(guid, owner=ME) is ClaimOutcome.CLAIMED
        taken.append(guid)
        await finish(images, await images.get(guid))
    assert taken == [anns[0].guid, bobs[0].guid, anns[1].guid, bobs[1].guid, anns[2].guid]


@pytest.mark.parametrize("factory", [*FINAL_FACTORIES, GeneratingImageFactory])
async def test_only_pending_images_without_a_lease_wait(images: ImagePorts, factory: type[ImageFactory]) -> None:
    image = await images.add(factory.build(created_at=NOON))
    await held(images, PendingImageFactory.build(created_at=NOON))
    assert await order(images) == []
    assert await images.claim(image.guid, owner=ME) is ClaimOutcome.TAKEN
    assert await images.claim(uuid4(), owner=ME) is ClaimOutcome.TAKEN
    assert await images.get(image.guid) == image


async def test_images_of_some_models_alone_can_be_asked_for(images: ImagePorts) -> None:
    fox, wolf, _ = [
        await images.add(PendingImageFactory.build(model=model, created_at=NOON, author=ANN))
        for model in ("fox", 'it\'s a "wolf", {0}', "bear")
    ]

    async def listed(*models: str) -> set[UUID]:
        return set(await images.list_next(since=NOON, models=models, limit=10))

    assert await listed("fox", wolf.model, "cat") == {fox.guid, wolf.guid}
    assert await listed("Fox", "cat") == await listed() == set()


async def test_images_from_before_are_overdue_and_not_next(images: ImagePorts) -> None:
    before = await images.add(PendingImageFactory.build(created_at=NOON - timedelta(microseconds=1)))
    exact = await images.add(PendingImageFactory.build(created_at=NOON))
    await held(images, PendingImageFactory.build(created_at=NOON - SECOND))
    await images.add(ImageFactory.build(created_at=NOON - SECOND))
    assert await images.list_next(since=NOON, limit=10) == [exact.guid]
    assert await images.list_overdue(before=NOON, limit=10) == [before.guid]
    assert await images.list_overdue(before=NOON + SECOND, limit=1) != []


async def test_unfinished_images_are_counted_by_author(images: ImagePorts) -> None:
    assert await images.count_unfinished() == {}
    for author in (ANN, ANN, None):
        await waiting(images, author)
    await running(images, ANN)
    await held(images, PendingImageFactory.build(author=BOB))
    await images.add(GeneratingImageFactory.build(author=None))
    await images.add(ImageFactory.build(author=EVE))
    assert await images.count_unfinished() == {ANN: Unfinished(2, 1), BOB: Unfinished(0, 1), None: Unfinished(1, 1)}


async def test_waiting_images_of_some_models_alone_can_be_counted(images: ImagePorts) -> None:
    for model in ("fox", "wolf", "bear"):
        await images.add(PendingImageFactory.build(model=model, author=ANN))
    await held(images, PendingImageFactory.build(model="bear", author=ANN))
    await images.add(GeneratingImageFactory.build(model="bear", author=ANN))
    assert await images.count_unfinished(models=["fox", "wolf", "cat"]) == {ANN: Unfinished(2, 2)}
    assert await images.count_unfinished(models=[]) == {ANN: Unfinished(0, 2)}


async def test_a_claim_changes_nothing_of_the_image(images: ImagePorts) -> None:
    image = await waiting(images)
    assert await images.claim(image.guid, owner=ME, limited_by="key", max_running=1) is ClaimOutcome.CLAIMED
    assert await images.get(image.guid) == image


async def test_a_claim_may_be_repeated_by_its_owner_alone(images: ImagePorts) -> None:
    image = await waiting(images)
    for _ in range(2):
        assert await images.claim(image.guid, owner=ME) is ClaimOutcome.CLAIMED
    assert await images.claim(image.guid, owner="another process") is ClaimOutcome.TAKEN
    await images.update_leased(image.started(at=NOON), expected=ImageStatus.PENDING, owner=ME)
    assert await images.claim(image.guid, owner=ME) is ClaimOutcome.TAKEN


async def test_no_more_images_run_under_one_limit_than_it_allows(images: ImagePorts) -> None:
    first, second, third = [await waiting(images, ANN, seconds) for seconds in range(3)]

    async def claim(image: Image, limited_by: str = "key") -> ClaimOutcome:
        return await images.claim(image.guid, owner=ME, limited_by=limited_by, max_running=1)

    assert await claim(first) is ClaimOutcome.CLAIMED
    assert await claim(second) is ClaimOutcome.FULL
    assert await claim(third, "another key") is ClaimOutcome.CLAIMED
    await images.update_leased(first.started(at=NOON), expected=ImageStatus.PENDING, owner=ME)
    assert await claim(second) is ClaimOutcome.FULL
    await images.update(completed(first.started(at=NOON)), expected=ImageStatus.GENERATING)
    assert await claim(second) is ClaimOutcome.CLAIMED


async def test_an_image_that_is_given_back_counts_against_no_limit(images: ImagePorts) -> None:
    first, second = [await waiting(images, ANN, seconds) for seconds in range(2)]
    await images.claim(first.guid, owner=ME, limited_by="key", max_running=1)
    await images.give_back(first.guid, ME)
    assert await images.claim(second.guid, owner=ME, limited_by="key", max_running=1) is ClaimOutcome.CLAIMED


async def test_an_image_that_is_taken_over_counts_against_no_limit(images: ImagePorts) -> None:
    first, second = [await waiting(images, ANN, seconds) for seconds in range(2)]
    await images.claim(first.guid, owner="a process that died", limited_by="key", max_running=1)
    await images.update_leased(first.started(at=NOON), expected=ImageStatus.PENDING, owner="a process that died")
    (lease,) = await images.list_leases(limit=1)
    assert await images.take_over(lease, ME)
    assert await images.claim(second.guid, owner=ME, limited_by="key", max_running=1) is ClaimOutcome.CLAIMED


async def test_of_many_claims_at_once_each_image_is_granted_once_and_the_limit_holds(images: ImagePorts) -> None:
    queued = [(await waiting(images, ANN, seconds)).guid for seconds in range(8)]
    granted: Counter[UUID] = Counter()

    async def work(owner: str) -> None:
        for guid in queued:
            outcome = await images.claim(guid, owner=owner, limited_by="key", max_running=5)
            granted[guid] += outcome is ClaimOutcome.CLAIMED

    await asyncio.gather(*(work(f"process {number}") for number in range(6)))
    assert set(granted.values()) == {0, 1}
    assert granted.total() == len(await images.list_leases(limit=100)) == 5
