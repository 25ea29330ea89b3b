"""What every `ImageRepository` promises."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.mysql.image_repository import MySQLImageRepository
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.adapters.sqlite.image_repository import SQLiteImageRepository
from pixyproxy.domain.errors import ConstraintViolationError, RecordNotFoundError
from pixyproxy.domain.image import Image, ImageCursor, ImageStatus, Tag, Visibility
from pixyproxy.domain.ports import ImageRepository
from pixyproxy.domain.user import UserName
from tests.factories import ContentInfoFactory, ImageFactory, PendingImageFactory

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ANN = UserName("ann")

AWKWARD_TEXTS = {
    "quotes": "it's \"quoted\" `twice` and ''thrice''",
    "injection": "x'); DROP TABLE images; --",
    "percent signs": "100% %s %(guid)s %% :guid ?",
    "backslashes": "\\ \\' \\n C:\\new\\0 \\",
    "line breaks": "one\ntwo\r\nthree\ttab\u2028separator",
    "emoji": "👩‍👩‍👧‍👦 🏴‍☠️ 😀",
    "right to left": "\u202eصورة قطة\u202c, תמונה של חתול",
    "combining": "e\u0301 is not é, \u1100\u1161 is not 가",
    "unusual spaces": "a\u00a0b\u200bc\ufeffd\u3000e",
    "noncharacters": "\ufffe\uffff\U0010ffff\x7f\x01",
    "case folding": "\u0130\u0131\u017f\u212a\u00df\u1e9e",
}


@pytest.fixture
def memory_images() -> ImageRepository:
    return InMemoryImageRepository()


@pytest.fixture
def sqlite_images(sqlite_database: SQLiteDatabase) -> ImageRepository:
    return SQLiteImageRepository(database=sqlite_database)


@pytest.fixture
def mysql_images(mysql_database: MySQLDatabase) -> ImageRepository:
    return MySQLImageRepository(database=mysql_database)


@pytest.fixture(params=["memory", "sqlite", "mysql"])
def images(request: pytest.FixtureRequest) -> ImageRepository:
    repository: ImageRepository = request.getfixturevalue(f"{request.param}_images")
    return repository


def completed(image: Image, usage: dict[str, Any] | None = None) -> Image:
    return image.completed(ContentInfoFactory.build(), usage, at=image.updated_at + SECOND)


async def all_pages(images: ImageRepository, *, limit: int) -> list[Image]:
    found: list[Image] = []
    while page := await images.list_public(limit=limit, after=ImageCursor.behind(found[-1]) if found else None):
        assert len(page) <= limit
        found += page
    return found


def newest_first(images: Sequence[Image]) -> list[Image]:
    return sorted(images, key=lambda image: (image.created_at, str(image.guid)), reverse=True)


class TestAdd:
    """A new image."""

    async def test_an_added_image_comes_back_with_an_id_and_all_its_fields(self, images: ImageRepository) -> None:
        for image in (ImageFactory.build(), PendingImageFactory.build(), PendingImageFactory.build(author=None)):
            added = await images.add(image)
            assert added.id is not None
            assert added == msgspec.structs.replace(image, id=added.id)
            assert await images.get(image.guid) == added

    async def test_each_image_has_an_id_of_its_own(self, images: ImageRepository) -> None:
        added = [await images.add(image) for image in ImageFactory.batch(3)]
        assert len({image.id for image in added}) == 3

    async def test_a_taken_guid_is_refused_and_the_first_image_stays(self, images: ImageRepository) -> None:
        first = await images.add(ImageFactory.build(tags=("first",)))
        with pytest.raises(ConstraintViolationError, match="image with this guid is stored already"):
            await images.add(ImageFactory.build(guid=first.guid, tags=("second", "third")))
        assert await images.get(first.guid) == first
        assert await images.list_public(limit=10) == [first]

    async def test_of_many_who_add_the_same_guid_at_once_one_succeeds(self, images: ImageRepository) -> None:
        guid = uuid4()
        results = await asyncio.gather(
            *(images.add(PendingImageFactory.build(guid=guid)) for _ in range(50)), return_exceptions=True
        )
        (winner,) = [result for result in results if isinstance(result, Image)]
        assert sum(isinstance(result, ConstraintViolationError) for result in results) == 49
        assert await images.get(guid) == winner

    async def test_fifty_can_be_added_at_once(self, images: ImageRepository) -> None:
        added = await asyncio.gather(*(images.add(image) for image in ImageFactory.batch(50)))
        assert len({image.id for image in added}) == 50
        assert await images.list_public(limit=100) == newest_first(added)

    async def test_an_image_is_never_seen_without_its_tags(self, images: ImageRepository) -> None:
        image = ImageFactory.build(tags=tuple(Tag(f"tag {number}") for number in range(32)))
        adding = asyncio.create_task(images.add(image))
        seen: list[Image] = []
        while not seen:
            await asyncio.sleep(0)
            seen = list(await images.list_public(limit=1))
        assert seen == [await adding]

    async def test_an_image_whose_adding_is_cancelled_is_there_as_a_whole_or_not_at_all(
        self, images: ImageRepository
    ) -> None:
        for turns in range(40):
            image = ImageFactory.build(tags=("a", "b", "c"))
            adding = asyncio.create_task(images.add(image))
            for _ in range(turns):
                await asyncio.sleep(0)
            adding.cancel()
            await asyncio.wait([adding])
            try:
                found = await images.get(image.guid)
            except RecordNotFoundError:
                assert adding.cancelled()
            else:
                assert found == msgspec.structs.replace(image, id=found.id)


class TestFidelity:
    """What is stored comes back unchanged."""

    @pytest.mark.parametrize("text", AWKWARD_TEXTS.values(), ids=AWKWARD_TEXTS.keys())
    async def test_a_prompt_is_kept_whatever_is_in_it(self, images: ImageRepository, text: str) -> None:
        added = await images.add(ImageFactory.build(prompt=text))
        assert (await images.get(added.guid)).prompt == text

    async def test_a_prompt_of_32_000_emoji_is_kept(self, images: ImageRepository) -> None:
        added = await images.add(ImageFactory.build(prompt="😀" * 32_000))
        assert (await images.get(added.guid)).prompt == "😀" * 32_000

    async def test_tags_keep_their_order_case_and_characters(self, images: ImageRepository) -> None:
        tags = ("b", "a", "B", "A", "ä", "é", "e\u0301", "it's", '"', "100%s", "\\", "\\n", ",", "ﬁ", "fi", "ß", "ss")
        added = await images.add(ImageFactory.build(tags=tags))
        assert (await images.get(added.guid)).tags == tags
        assert [image.tags for image in await images.list_public(limit=1)] == [tags]

    async def test_32_tags_of_64_emoji_are_kept(self, images: ImageRepository) -> None:
        tags = tuple("😀" * 63 + chr(ord("a") + number) for number in range(26)) + tuple(
            "😀" * 62 + f"{number:02}" for number in range(6)
        )
        added = await images.add(ImageFactory.build(tags=tags))
        assert (await images.get(added.guid)).tags == tags

    async def test_an_image_has_its_own_tags_only(self, images: ImageRepository) -> None:
        added = [await images.add(ImageFactory.build(tags=tags)) for tags in (("a", "b"), (), ("b", "c"))]
        assert await images.list_public(limit=3) == newest_first(added)

    @pytest.mark.parametrize("microsecond", [0, 1, 100_000, 999_999])
    @pytest.mark.parametrize(
        "time",
        [
            pytest.param(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), id="the first second"),
            pytest.param(datetime(2026, 3, 29, 2, 30, tzinfo=UTC), id="an hour that summer time leaves out"),
            pytest.param(datetime(2026, 10, 25, 2, 30, tzinfo=UTC), id="an hour that summer time repeats"),
            pytest.param(datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC), id="a leap day"),
            pytest.param(datetime(2038, 1, 19, 3, 14, 6, tzinfo=UTC), id="the end of 31 bits"),
        ],
    )
    async def test_times_are_kept_to_the_microsecond(
        self, images: ImageRepository, time: datetime, microsecond: int
    ) -> None:
        exact = time.replace(microsecond=microsecond)
        added = await images.add(ImageFactory.build(created_at=exact, updated_at=exact))
        found = await images.get(added.guid)
        assert (found.created_at, found.updated_at) == (exact, exact)
        assert found.created_at.utcoffset() == timedelta(0)

    @pytest.mark.parametrize(
        "usage",
        [
            None,
            {},
            {"z": 1, "a": {"y": [1, 2.5, -0.0, 1e300], "b": None, "c": True}},
            {"1.0 is no int": 1.0, "1 is no float": 1},
            {"large": 2**63, "larger": 2**100},
            {"text": 'it\'s 100% "quoted" \\ 😀 \u2028 \x00', "😀": ""},
        ],
    )
    async def test_usage_is_kept_as_it_is(self, images: ImageRepository, usage: dict[str, Any] | None) -> None:
        added = await images.add(ImageFactory.build(usage=usage))
        found = (await images.get(added.guid)).usage
        assert repr(found) == repr(usage)

    async def test_the_longest_values_are_kept(self, images: ImageRepository) -> None:
        pending = await images.add(PendingImageFactory.build(filename="x" * 255, model="😀" * 255, author="😀" * 64))
        failed = pending.failed("😀" * 2_000, at=pending.updated_at)
        await images.update(failed, expected=ImageStatus.PENDING)
        assert await images.get(pending.guid) == failed
        content = ContentInfoFactory.build(byte_size=2**40, width=2**31 - 1, height=2**31 - 1)
        huge = await images.add(ImageFactory.build(content=content))
        assert (await images.get(huge.guid)).content == content

    @settings(
        max_examples=40,
        deadline=None,
        # Each example has a guid of its own, so that the repository need not be a fresh one.
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        prompt=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=300)
        .map(str.strip)
        .filter(bool),
        tags=st.lists(
            st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=64)
            .map(str.strip)
            .filter(bool),
            unique=True,
            max_size=5,
        ),
        created_at=st.datetimes(datetime(1971, 1, 1), datetime(2037, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001 -- the strategy's bounds are naive
        visibility=st.sampled_from(Visibility),
        usage=st.none()
        | st.dictionaries(
            st.text(max_size=9), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)
        ),
    )
    async def test_any_image_survives_the_round_trip(
        self, images: ImageRepository, tags: list[str], **fields: Any
    ) -> None:
        added = await images.add(ImageFactory.build(tags=tuple(tags), **fields))
        assert await images.get(added.guid) == added


class TestGet:
    """One image."""

    async def test_unknown_guid_is_not_found(self, images: ImageRepository) -> None:
        await images.add(ImageFactory.build())
        guid = uuid4()
        with pytest.raises(RecordNotFoundError, match=f"There is no image {guid}."):
            await images.get(guid)

    async def test_an_image_is_found_in_whatever_state_it_is(self, images: ImageRepository) -> None:
        pending = await images.add(PendingImageFactory.build())
        failed = await images.add(PendingImageFactory.build(status=ImageStatus.FAILED, failure="refused"))
        private = await images.add(ImageFactory.build(visibility=Visibility.PRIVATE))
        for image in (pending, failed, private):
            assert await images.get(image.guid) == image

    async def test_fifty_can_be_fetched_at_once(self, images: ImageRepository) -> None:
        added = [await images.add(image) for image in ImageFactory.batch(10)]
        found = await asyncio.gather(*(images.get(image.guid) for image in added * 5))
        assert list(found) == added * 5


class TestUpdate:
    """A new state of an image."""

    async def test_a_completed_image_is_stored_as_a_whole(self, images: ImageRepository) -> None:
        pending = await images.add(PendingImageFactory.build())
        ready = completed(pending, {"total_tokens": 7})
        await images.update(ready, expected=ImageStatus.PENDING)
        assert await images.get(pending.guid) == ready

    async def test_a_failed_image_is_stored_with_the_reason(self, images: ImageRepository) -> None:
        pending = await images.add(PendingImageFactory.build())
        failed = pending.failed("it's 100% 😀 refused", at=pending.updated_at + SECOND)
        await images.update(failed, expected=ImageStatus.PENDING)
        assert await images.get(pending.guid) == failed

    async def test_nothing_but_the_state_is_stored(self, images: ImageRepository) -> None:
        pending = await images.add(PendingImageFactory.build(author="ann", tags=("a",)))
        ready = completed(pending)
        tampered = msgspec.structs.replace(
            ready,
            id=None,
            prompt="another",
            tags=("b",),
            author=UserName("bob"),
            visibility=Visibility.PRIVATE,
            model="another",
            created_at=pending.created_at - SECOND,
        )
        await images.update(tampered, expected=ImageStatus.PENDING)
        assert await images.get(pending.guid) == ready

    async def test_no_other_image_is_touched(self, images: ImageRepository) -> None:
        image, other = [await images.add(pending) for pending in PendingImageFactory.batch(2)]
        await images.update(completed(image), expected=ImageStatus.PENDING)
        assert await images.get(other.guid) == other

    async def test_an_image_in_another_state_than_expected_is_refused_and_stays(self, images: ImageRepository) -> None:
        pending = await images.add(PendingImageFactory.build())
        ready = completed(pending)
        await images.update(ready, expected=ImageStatus.PENDING)
        with pytest.raises(ConstraintViolationError, match="changed by somebody else"):
            await images.update(pending.failed("too late", at=NOON), expected=ImageStatus.PENDING)
        assert await images.get(pending.guid) == ready

    async def test_an_unknown_image_is_not_found(self, images: ImageRepository) -> None:
        await images.add(PendingImageFactory.build())
        with pytest.raises(RecordNotFoundError):
            await images.update(completed(PendingImageFactory.build()), expected=ImageStatus.PENDING)

    async def test_an_update_that_changes_nothing_is_no_error(self, images: ImageRepository) -> None:
        pending = await images.add(PendingImageFactory.build())
        await images.update(pending, expected=ImageStatus.PENDING)
        assert await images.get(pending.guid) == pending

    async def test_of_many_who_complete_an_image_at_once_one_succeeds(self, images: ImageRepository) -> None:
        pending = await images.add(PendingImageFactory.build())
        candidates = [completed(pending, {"candidate": number}) for number in range(50)]
        results = await asyncio.gather(
            *(images.update(candidate, expected=ImageStatus.PENDING) for candidate in candidates),
            return_exceptions=True,
        )
        (winner,) = [number for number, result in enumerate(results) if result is None]
        assert sum(isinstance(result, ConstraintViolationError) for result in results) == 49
        assert await images.get(pending.guid) == candidates[winner]


class TestLists:
    """Many images."""

    async def test_an_empty_repository_lists_nothing(self, images: ImageRepository) -> None:
        assert await images.list_public(limit=10) == []
        assert await images.list_authored_by(ANN, limit=10) == []

    async def test_images_are_listed_with_all_their_fields(self, images: ImageRepository) -> None:
        added = await images.add(ImageFactory.build(author="ann", tags=("a", "b"), usage={"a": 1}))
        assert await images.list_public(limit=10) == [added]
        assert await images.list_authored_by(ANN, limit=10) == [added]

    async def test_the_newest_comes_first(self, images: ImageRepository) -> None:
        times = [NOON, NOON + 2 * SECOND, NOON + SECOND, NOON + timedelta(microseconds=1)]
        added = [await images.add(ImageFactory.build(created_at=time, author="ann")) for time in times]
        expected = [added[1], added[2], added[3], added[0]]
        assert await images.list_public(limit=10) == expected
        assert await images.list_authored_by(ANN, limit=10) == expected

    async def test_images_of_the_same_time_are_ordered_by_falling_guid(self, images: ImageRepository) -> None:
        digits = [0, 9, 10, 0x7F, 0x80, 0xFF, 1 << 127, 0xA << 124, (1 << 128) - 1]
        guids = [UUID(int=digit) for digit in digits] + [uuid4() for _ in range(11)]
        for guid in guids:
            await images.add(ImageFactory.build(guid=guid, created_at=NOON, author="ann"))
        expected = sorted(guids, key=str, reverse=True)
        assert [image.guid for image in await images.list_public(limit=100)] == expected
        assert [image.guid for image in await images.list_authored_by(ANN, limit=100)] == expected

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 100])
    async def test_pages_follow_each_other_without_gap_or_repetition(self, images: ImageRepository, limit: int) -> None:
        times = [NOON, NOON, NOON, NOON + SECOND, NOON + SECOND, NOON - SECOND, NOON]
        added = [await images.add(ImageFactory.build(created_at=time, author="ann")) for time in times]
        assert await all_pages(images, limit=limit) == newest_first(added)
        page = await images.list_authored_by(ANN, limit=limit, after=ImageCursor.behind(newest_first(added)[2]))
        assert page == newest_first(added)[3:][:limit]

    async def test_a_cursor_need_not_be_of_an_image_that_exists(self, images: ImageRepository) -> None:
        added = await images.add(ImageFactory.build(guid=UUID(int=5), created_at=NOON, author="ann"))
        before = [
            ImageCursor(NOON, UUID(int=6)),
            ImageCursor(NOON + timedelta(microseconds=1), UUID(int=0)),
            ImageCursor(datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC), UUID(int=0)),
        ]
        behind = [
            ImageCursor(NOON, UUID(int=5)),
            ImageCursor(NOON - timedelta(microseconds=1), UUID(int=(1 << 128) - 1)),
            ImageCursor(datetime(1, 1, 1, tzinfo=UTC), UUID(int=0)),
        ]
        for expected, cursors in (([added], before), ([], behind)):
            for cursor in cursors:
                assert await images.list_public(limit=10, after=cursor) == expected
                assert await images.list_authored_by(ANN, limit=10, after=cursor) == expected

    async def test_no_image_is_missed_or_repeated_while_others_are_added(self, images: ImageRepository) -> None:
        before = [
            await images.add(ImageFactory.build(created_at=NOON - number * SECOND, tags=("a", "b")))
            for number in range(40)
        ]

        async def add_newer() -> None:
            for number in range(40):
                await images.add(ImageFactory.build(created_at=NOON + number * SECOND))
                await asyncio.sleep(0)

        adding = asyncio.create_task(add_newer())
        await asyncio.sleep(0)
        found = await all_pages(images, limit=3)
        await adding
        assert [image for image in found if image.created_at <= before[0].created_at and image in before] == before
        assert len({image.guid for image in found}) == len(found)

    async def test_only_ready_images_are_listed(self, images: ImageRepository) -> None:
        await images.add(PendingImageFactory.build(author="ann"))
        await images.add(PendingImageFactory.build(author="ann", status=ImageStatus.FAILED, failure="refused"))
        ready = await images.add(ImageFactory.build(author="ann"))
        assert await images.list_public(limit=10) == [ready]
        assert await images.list_authored_by(ANN, limit=10) == [ready]

    async def test_an_image_is_listed_once_it_is_completed(self, images: ImageRepository) -> None:
        pending = await images.add(PendingImageFactory.build())
        assert await images.list_public(limit=10) == []
        await images.update(completed(pending), expected=ImageStatus.PENDING)
        assert [image.guid for image in await images.list_public(limit=10)] == [pending.guid]

    async def test_private_images_are_listed_for_their_author_only(self, images: ImageRepository) -> None:
        private = await images.add(ImageFactory.build(author="ann", visibility=Visibility.PRIVATE, created_at=NOON))
        public = await images.add(ImageFactory.build(author="ann", created_at=NOON + SECOND))
        others = await images.add(ImageFactory.build(author="bob", created_at=NOON + 2 * SECOND))
        nobodys = await images.add(ImageFactory.build(author=None, created_at=NOON + 3 * SECOND))
        assert await images.list_public(limit=10) == [nobodys, others, public]
        assert await images.list_authored_by(ANN, limit=10) == [public, private]
        assert await images.list_authored_by(UserName("bob"), limit=10) == [others]

    @pytest.mark.parametrize("other", ["Ann", "ANN", "ann ", "änn", "an", "ann%", "_nn", "' OR '1'='1", "None", ""])
    async def test_authors_are_compared_character_by_character(self, images: ImageRepository, other: str) -> None:
        await images.add(ImageFactory.build(author="ann"))
        await images.add(ImageFactory.build(author=None))
        assert await images.list_authored_by(UserName(other), limit=10) == []

    async def test_the_largest_page_is_served(self, images: ImageRepository) -> None:
        added = [await images.add(ImageFactory.build(tags=("a", "b"))) for _ in range(120)]
        assert await images.list_public(limit=1000) == newest_first(added)


class TestCheck:
    """Whether the repository can answer."""

    async def test_a_repository_that_can_answer_passes(self, images: ImageRepository) -> None:
        await images.check()
