"""The contract of `IdempotencyKeys`."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    RecordNotFoundError,
)
from pixyproxy.domain.idempotency import Claim, ClaimedImage, IdempotencyKey
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import ImagePorts
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import UserName
from tests.factories import (
    PendingImageFactory,
)
from tests.images import ANN, BOB, KEY, a_claim, eventually


@pytest.mark.parametrize("author", [ANN, None, UserName("😀" * 64)])
@pytest.mark.parametrize("key", [KEY, "x" * 255, "!", "\\'%s\"`;--"])
async def test_a_key_leads_to_the_image_that_it_was_used_for(
    images: ImagePorts, author: UserName | None, key: str
) -> None:
    claim = a_claim(author, key, "0123456789abcdef" * 4)
    assert await images.find_claim(author, claim.key) is None
    image = await images.add(PendingImageFactory.build(author=author), claim=claim)
    assert await images.find_claim(author, claim.key) == ClaimedImage(
        guid=image.guid, fingerprint="0123456789abcdef" * 4
    )


async def test_the_same_key_of_the_same_author_is_refused_and_nothing_is_stored(images: ImagePorts) -> None:
    first = await images.add(PendingImageFactory.build(), claim=a_claim())
    second = PendingImageFactory.build(tags=("a", "b"))
    for fingerprint in ("0" * 64, "1" * 64):
        with pytest.raises(ConstraintViolationError):
            await images.add(second, claim=a_claim(fingerprint=fingerprint))
    assert await images.find_claim(ANN, KEY) == ClaimedImage(guid=first.guid, fingerprint="0" * 64)
    with pytest.raises(RecordNotFoundError):
        await images.get(second.guid)
    assert await images.count() == 1
    added = await images.add(msgspec.structs.replace(second, tags=(Tag("c"),)))
    assert (await images.get(added.guid)).tags == ("c",)


async def test_a_taken_guid_leaves_the_key_unused(images: ImagePorts) -> None:
    image = await images.add(PendingImageFactory.build())
    with pytest.raises(ConstraintViolationError):
        await images.add(PendingImageFactory.build(guid=image.guid), claim=a_claim())
    assert await images.find_claim(ANN, KEY) is None
    await images.add(PendingImageFactory.build(), claim=a_claim())


async def test_each_author_has_keys_of_their_own_and_so_have_those_without_a_name(images: ImagePorts) -> None:
    authors = (ANN, BOB, None, UserName("Ann"), UserName("änn"))
    added = [await images.add(PendingImageFactory.build(), claim=a_claim(author)) for author in authors]
    for author, image in zip(authors, added, strict=True):
        claimed = await images.find_claim(author, KEY)
        assert claimed
        assert claimed.guid == image.guid
    with pytest.raises(ConstraintViolationError):
        await images.add(PendingImageFactory.build(), claim=a_claim(None))


async def test_keys_differ_in_case(images: ImagePorts) -> None:
    lower = await images.add(PendingImageFactory.build(), claim=a_claim(key="key"))
    assert await images.find_claim(ANN, IdempotencyKey("KEY")) is None
    upper = await images.add(PendingImageFactory.build(), claim=a_claim(key="KEY"))
    for key, image in (("key", lower), ("KEY", upper)):
        claimed = await images.find_claim(ANN, IdempotencyKey(key))
        assert claimed
        assert claimed.guid == image.guid


async def test_images_without_a_key_do_not_get_in_each_others_way(images: ImagePorts) -> None:
    for _ in range(2):
        await images.add(PendingImageFactory.build())
    assert await images.count() == 2


async def test_a_key_is_forgotten_when_its_time_is_over_and_can_be_used_again(images: ImagePorts) -> None:
    other = IdempotencyKey("another")
    await images.add(PendingImageFactory.build(), claim=a_claim(key=other, seconds=60.0))
    old = await images.add(PendingImageFactory.build(), claim=a_claim(seconds=1.0))
    claimed = await images.find_claim(ANN, KEY)
    assert claimed
    assert claimed.guid == old.guid
    assert await images.forget_expired_claims() == 0

    async def is_expired() -> bool:
        return await images.find_claim(ANN, KEY) is None

    await eventually(is_expired)
    assert await images.forget_expired_claims() == 1
    assert await images.forget_expired_claims() == 0
    new = await images.add(PendingImageFactory.build(), claim=a_claim())
    claimed = await images.find_claim(ANN, KEY)
    assert claimed
    assert claimed.guid == new.guid
    assert await images.get(old.guid) == old
    assert await images.find_claim(ANN, other)


async def test_all_keys_whose_time_is_over_are_forgotten_and_counted(images: ImagePorts) -> None:
    for number in range(5):
        claim = a_claim(key=f"short-{number}", seconds=0.05)
        await images.add(PendingImageFactory.build(), claim=claim)
        await images.add(PendingImageFactory.build(), claim=a_claim(key=f"long-{number}"))

    async def are_expired() -> bool:
        return await images.find_claim(ANN, IdempotencyKey("short-4")) is None

    await eventually(are_expired)
    assert await images.forget_expired_claims() == 5
    for number in range(5):
        assert await images.find_claim(ANN, IdempotencyKey(f"long-{number}"))


@pytest.mark.parametrize("author", [ANN, None])
async def test_of_many_who_use_a_key_at_once_one_succeeds(images: ImagePorts, author: UserName | None) -> None:
    results = await asyncio.gather(
        *(images.add(PendingImageFactory.build(tags=("a",)), claim=a_claim(author)) for _ in range(20)),
        return_exceptions=True,
    )
    (winner,) = [result for result in results if isinstance(result, Image)]
    assert [type(result) for result in results if result is not winner] == [ConstraintViolationError] * 19
    assert await images.count() == 1
    claimed = await images.find_claim(author, KEY)
    assert claimed
    assert claimed.guid == winner.guid


async def test_many_may_use_different_keys_at_once_while_expired_ones_are_forgotten(images: ImagePorts) -> None:
    async def add(number: int) -> Image:
        claim = a_claim(key=f"key-{number}", seconds=0.001 if number % 2 else 60.0)
        added = await images.add(PendingImageFactory.build(), claim=claim)
        await images.forget_expired_claims()
        return added

    await asyncio.gather(*map(add, range(40)))
    assert await images.count() == 40


async def test_a_key_is_forgotten_for_the_image_it_was_used_for_and_for_no_other(images: ImagePorts) -> None:
    image, other = PendingImageFactory.batch(2, author=UserName("ann"))
    claim = Claim.on(image, IdempotencyKey("key"))
    anonymous = Claim(author=None, key=claim.key, fingerprint=claim.fingerprint)
    await images.add(image, claim=claim)
    await images.forget_claim(claim.author, claim.key, other.guid)
    await images.forget_claim(anonymous.author, claim.key, image.guid)
    await images.forget_claim(claim.author, IdempotencyKey("KEY"), image.guid)
    assert await images.find_claim(claim.author, claim.key) is not None
    await images.forget_claim(claim.author, claim.key, image.guid)
    assert await images.find_claim(claim.author, claim.key) is None
    await images.add(other, claim=claim)


@pytest.fixture
async def elsewhere(request: pytest.FixtureRequest, images: ImagePorts) -> AsyncIterator[ImagePorts]:
    """The same records with connections of another process; in memory there is one process."""
    match request.node.callspec.params["images"]:
        case "mysql":
            other: MySQLDatabase | SQLiteDatabase = MySQLDatabase(request.getfixturevalue("mysql_url"))
        case "sqlite":
            other = SQLiteDatabase(request.getfixturevalue("tmp_path") / "pixyproxy.db")
        case _:
            yield images
            return
    await other.open()
    yield other.images
    await other.close()


async def place(
    images: ImagePorts,
    author: UserName | None = ANN,
    fingerprint: str = "0" * 64,
    *,
    attempt: int = 0,
    seconds: float = 60.0,
) -> Claim:
    """Store an order, and return its claim."""
    image = PendingImageFactory.build(author=author)
    claim = Claim(
        author=author,
        key=Claim.of_order(image, 0).key,
        fingerprint=fingerprint,
        seconds=seconds,
        attempt=attempt,
    )
    await images.add(image, claim=claim)
    # No two claims expire in the same millisecond, the finest that SQLite stores.
    await asyncio.sleep(0.002)
    return claim


async def take(images: ImagePorts, attempt: int, author: UserName | None = ANN) -> IdempotencyKey | None:
    return await images.take_order(author, "0" * 64, attempt)


async def test_orders_are_taken_oldest_first_and_each_once_by_attempts_with_the_same_number(images: ImagePorts) -> None:
    placed = [(await place(images)).key for _ in range(3)]
    assert [await take(images, 1) for _ in range(4)] == [*placed, None]


async def test_the_oldest_order_is_the_one_that_ends_first(images: ImagePorts) -> None:
    later, sooner = await place(images, seconds=60.0), await place(images, seconds=50.0)
    assert [await take(images, 1) for _ in range(2)] == [sooner.key, later.key]


async def test_a_later_attempt_takes_an_order_again_and_first_what_the_attempt_before_has_taken(
    images: ImagePorts,
) -> None:
    oldest, middle, youngest = [(await place(images, attempt=attempt)).key for attempt in (0, 1, 2)]
    assert await take(images, 2) == middle
    assert await take(images, 3) in {middle, youngest}
    assert await take(images, 3) in {middle, youngest}
    assert await take(images, 3) == oldest
    assert await take(images, 3) is None
    assert await take(images, 1_000) is not None


async def test_an_attempt_takes_nothing_that_a_later_one_has_taken(images: ImagePorts) -> None:
    placed = await place(images)
    assert await take(images, 2) == placed.key
    assert await take(images, 1) is None
    assert await take(images, 2) is None


async def test_an_order_is_found_by_its_key_when_it_was_taken(images: ImagePorts) -> None:
    placed = await place(images)
    claimed = await images.find_claim(ANN, placed.key)
    assert await take(images, 1) == placed.key
    assert claimed is not None
    assert await images.find_claim(ANN, placed.key) == claimed


@pytest.mark.parametrize("author", [BOB, None, UserName("Ann"), UserName("änn"), UserName("ann b")])
async def test_an_order_is_taken_by_its_author_alone(images: ImagePorts, author: UserName | None) -> None:
    placed = await place(images)
    assert await take(images, 1, author) is None
    assert await take(images, 1) == placed.key


async def test_an_order_of_another_request_is_not_taken(images: ImagePorts) -> None:
    await place(images, fingerprint="1" * 64)
    assert await take(images, 1) is None


async def test_an_expired_order_is_not_taken(images: ImagePorts) -> None:
    placed = await place(images, seconds=0.05)

    async def is_expired() -> bool:
        return await images.find_claim(ANN, placed.key) is None

    await eventually(is_expired)
    assert await take(images, 1) is None
    assert await images.forget_expired_claims() == 1


async def test_a_forgotten_order_is_not_taken_and_its_key_may_be_used_again(images: ImagePorts) -> None:
    image = PendingImageFactory.build(author=ANN)
    claim = Claim.of_order(image, 3)
    await images.add(image, claim=claim)
    await images.forget_claim(ANN, claim.key, image.guid)
    assert await images.take_order(ANN, claim.fingerprint, 4) is None
    other = await images.add(PendingImageFactory.build(author=ANN), claim=msgspec.structs.replace(claim, attempt=0))
    assert await images.take_order(ANN, claim.fingerprint, 1) == claim.key
    claimed = await images.find_claim(ANN, claim.key)
    assert claimed is not None
    assert claimed.guid == other.guid


@pytest.mark.parametrize(
    "key",
    ["order", "order!", "ORDER", "orders", "order%", "order_", "%", "~", "order-3f2a1c1e"],
)
async def test_a_key_of_the_clients_is_never_taken(images: ImagePorts, key: str) -> None:
    await images.add(PendingImageFactory.build(author=ANN), claim=a_claim(ANN, key))
    assert await take(images, 1) is None


async def test_a_claim_takes_the_place_of_that_of_an_order(images: ImagePorts) -> None:
    old = PendingImageFactory.build(author=ANN)
    claim = Claim.of_order(old, 0)
    await images.add(old, claim=claim)
    new = PendingImageFactory.build(author=ANN)
    await images.add(new, claim=msgspec.structs.replace(claim, attempt=2, seconds=50.0, replaces=old.guid))
    assert await images.find_claim(ANN, claim.key) == ClaimedImage(guid=new.guid, fingerprint=claim.fingerprint)
    assert await images.take_order(ANN, claim.fingerprint, 2) is None
    assert await images.take_order(ANN, claim.fingerprint, 3) == claim.key


@pytest.mark.parametrize("author", [ANN, BOB])
async def test_an_order_that_is_gone_is_not_replaced_and_nothing_is_stored(
    images: ImagePorts, author: UserName
) -> None:
    old, new = PendingImageFactory.build(author=ANN), PendingImageFactory.build(author=author)
    claim = Claim.of_order(old, 0)
    await images.add(old, claim=claim)
    if author == ANN:
        await images.forget_claim(ANN, claim.key, old.guid)
    with pytest.raises(ConstraintViolationError):
        await images.add(new, claim=msgspec.structs.replace(claim, author=author, replaces=old.guid))
    assert await images.find_claim(author, claim.key) is None
    with pytest.raises(RecordNotFoundError):
        await images.get(new.guid)


async def test_of_many_who_replace_an_order_at_once_one_succeeds(images: ImagePorts, elsewhere: ImagePorts) -> None:
    old = PendingImageFactory.build(author=ANN)
    claim = Claim.of_order(old, 0)
    await images.add(old, claim=claim)
    replacing = msgspec.structs.replace(claim, replaces=old.guid)
    results = await asyncio.gather(
        *(
            repository.add(PendingImageFactory.build(author=ANN), claim=replacing)
            for repository in [images, elsewhere] * 6
        ),
        return_exceptions=True,
    )
    (winner,) = [result for result in results if isinstance(result, Image)]
    assert [type(result) for result in results if result is not winner] == [ConstraintViolationError] * 11
    assert await images.find_claim(ANN, claim.key) == ClaimedImage(guid=winner.guid, fingerprint=claim.fingerprint)
    assert await images.count() == 2


async def test_of_many_attempts_at_once_each_takes_another_order(images: ImagePorts, elsewhere: ImagePorts) -> None:
    placed = {(await place(images)).key for _ in range(8)}
    for attempt in (1, 2):
        taken = await asyncio.gather(*(take(repository, attempt) for repository in [images, elsewhere] * 6))
        assert {key for key in taken if key} == placed
        assert taken.count(None) == 4


async def test_orders_are_taken_while_others_are_placed_and_forgotten(
    images: ImagePorts, elsewhere: ImagePorts
) -> None:
    async def place_and_forget(repository: ImagePorts) -> None:
        image = PendingImageFactory.build(author=ANN)
        claim = msgspec.structs.replace(Claim.of_order(image, 0), fingerprint="0" * 64)
        await repository.add(image, claim=claim)
        await repository.forget_claim(ANN, claim.key, image.guid)

    kept = (await place(images)).key
    forgetting = asyncio.gather(*(place_and_forget(repository) for repository in [images, elsewhere] * 5))
    taken = await asyncio.gather(*(take(repository, 1) for repository in [images, elsewhere] * 5))
    await forgetting
    found = [key for key in taken if key]
    assert found.count(kept) == 1
    assert len(set(found)) == len(found)
