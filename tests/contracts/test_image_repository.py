"""What every `ImageRepository` promises."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixyproxy.domain.errors import (
    ConstraintViolationError,
    ContentNotKeptError,
    GenerationAbandonedError,
    GenerationError,
    GenerationRateLimitedError,
    GenerationRefusedError,
    GenerationTimedOutError,
    RecordNotFoundError,
)
from pixyproxy.domain.failure import Failure
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.idempotency import Claim, ClaimedImage, IdempotencyKey
from pixyproxy.domain.image import Image, ImageChanges, ImageStatus, Visibility
from pixyproxy.domain.listing import ImageFilter, TagCount, TagFilter
from pixyproxy.domain.ports import DamagedRecord, ImagePorts, Lease
from pixyproxy.domain.search import Search
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import UserName
from tests.factories import (
    ContentInfoFactory,
    FailedImageFactory,
    GeneratingImageFactory,
    ImageFactory,
    PendingImageFactory,
    UnknownImageFactory,
)

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ANN = UserName("ann")
BOB = UserName("bob")
KEY = IdempotencyKey("8e03978e-40d5-43dd-bc93-6894a57f9324")
PUBLIC = ImageFilter(visibility=Visibility.PUBLIC)
LONG = Lease(owner="one", seconds=60.0)
SHORT = Lease(owner="one", seconds=0.1)

FACTORIES = [PendingImageFactory, GeneratingImageFactory, ImageFactory, FailedImageFactory, UnknownImageFactory]
FINAL_FACTORIES = [ImageFactory, FailedImageFactory, UnknownImageFactory]
RUNNING_FACTORIES = [PendingImageFactory, GeneratingImageFactory]

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


def completed(image: Image, usage: dict[str, Any] | None = None) -> Image:
    return image.completed(ContentInfoFactory.build(), usage, at=image.updated_at + SECOND)


def refusal(detail: str = "The generator refused.") -> GenerationError:
    return GenerationRefusedError(detail, maybe_billed=False)


def a_claim(
    author: UserName | None = ANN, key: str = KEY, fingerprint: str = "0" * 64, seconds: float = 86_400.0
) -> Claim:
    return Claim(author=author, key=IdempotencyKey(key), fingerprint=fingerprint, seconds=seconds)


async def eventually(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Return as soon as it is so; fail after ten seconds."""
    async with asyncio.timeout(10):
        while not await is_so():  # noqa: ASYNC110 -- a database tells nobody when a time is over
            await asyncio.sleep(0.01)


async def wait_until_a_short_lease_is_over(images: ImagePorts) -> None:
    """Return when a lease that begins now, and with it every earlier one of its length, is over."""
    latest = await images.add(PendingImageFactory.build(), lease=SHORT)

    async def is_over() -> bool:
        return latest in await images.list_abandoned(limit=100)

    await eventually(is_over)
    await images.update(latest.failed(refusal(), at=latest.updated_at), expected=ImageStatus.PENDING)


def newest_first(images: Sequence[Image]) -> list[Image]:
    return sorted(images, key=lambda image: (image.created_at, str(image.guid)), reverse=True)


class TestAdd:
    """A new image."""

    async def test_an_added_image_comes_back_with_an_id_and_all_its_fields(self, images: ImagePorts) -> None:
        for image in (*(factory.build() for factory in FACTORIES), PendingImageFactory.build(author=None)):
            added = await images.add(image)
            assert added.id is not None
            assert added == msgspec.structs.replace(image, id=added.id)
            assert await images.get(image.guid) == added

    async def test_each_image_has_an_id_of_its_own(self, images: ImagePorts) -> None:
        added = [await images.add(image) for image in ImageFactory.batch(3)]
        assert len({image.id for image in added}) == 3

    async def test_a_taken_guid_is_refused_and_the_first_image_stays(self, images: ImagePorts) -> None:
        first = await images.add(ImageFactory.build(tags=("first",)))
        with pytest.raises(ConstraintViolationError, match="image with this guid is stored already"):
            await images.add(ImageFactory.build(guid=first.guid, tags=("second", "third")))
        assert await images.get(first.guid) == first
        assert await images.list(PUBLIC, limit=10) == [first]

    async def test_of_many_who_add_the_same_guid_at_once_one_succeeds(self, images: ImagePorts) -> None:
        guid = uuid4()
        results = await asyncio.gather(
            *(images.add(PendingImageFactory.build(guid=guid)) for _ in range(50)), return_exceptions=True
        )
        (winner,) = [result for result in results if isinstance(result, Image)]
        assert sum(isinstance(result, ConstraintViolationError) for result in results) == 49
        assert await images.get(guid) == winner

    async def test_fifty_can_be_added_at_once(self, images: ImagePorts) -> None:
        added = await asyncio.gather(*(images.add(image) for image in ImageFactory.batch(50)))
        assert len({image.id for image in added}) == 50
        assert await images.list(PUBLIC, limit=100) == newest_first(added)

    async def test_an_image_is_never_seen_without_its_tags(self, images: ImagePorts) -> None:
        image = ImageFactory.build(tags=tuple(Tag(f"tag {number}") for number in range(32)))
        adding = asyncio.create_task(images.add(image))
        seen: list[Image] = []
        while not seen:
            await asyncio.sleep(0)
            seen = list(await images.list(PUBLIC, limit=1))
        assert seen == [await adding]

    async def test_an_image_whose_adding_is_cancelled_is_there_as_a_whole_or_not_at_all(
        self, images: ImagePorts
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
    async def test_a_prompt_is_kept_whatever_is_in_it(self, images: ImagePorts, text: str) -> None:
        added = await images.add(ImageFactory.build(prompt=text))
        assert (await images.get(added.guid)).prompt == text

    async def test_a_prompt_of_32_000_emoji_is_kept(self, images: ImagePorts) -> None:
        added = await images.add(ImageFactory.build(prompt="😀" * 32_000))
        assert (await images.get(added.guid)).prompt == "😀" * 32_000

    async def test_tags_keep_their_order_case_and_characters(self, images: ImagePorts) -> None:
        tags = ("b", "a", "B", "A", "ä", "é", "e\u0301", "it's", '"', "100%s", "\\", "\\n", ",", "ﬁ", "fi", "ß", "ss")
        added = await images.add(ImageFactory.build(tags=tags))
        assert (await images.get(added.guid)).tags == tags
        assert [image.tags for image in await images.list(PUBLIC, limit=1)] == [tags]

    async def test_32_tags_of_64_emoji_are_kept(self, images: ImagePorts) -> None:
        tags = tuple("😀" * 63 + chr(ord("a") + number) for number in range(26)) + tuple(
            "😀" * 62 + f"{number:02}" for number in range(6)
        )
        added = await images.add(ImageFactory.build(tags=tags))
        assert (await images.get(added.guid)).tags == tags

    async def test_an_image_has_its_own_tags_only(self, images: ImagePorts) -> None:
        added = [await images.add(ImageFactory.build(tags=tags)) for tags in (("a", "b"), (), ("b", "c"))]
        assert await images.list(PUBLIC, limit=3) == newest_first(added)

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
        self, images: ImagePorts, time: datetime, microsecond: int
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
    async def test_usage_is_kept_as_it_is(self, images: ImagePorts, usage: dict[str, Any] | None) -> None:
        added = await images.add(ImageFactory.build(usage=usage))
        found = (await images.get(added.guid)).usage
        assert repr(found) == repr(usage)

    async def test_the_longest_values_are_kept(self, images: ImagePorts) -> None:
        pending = await images.add(PendingImageFactory.build(filename="x" * 255, model="😀" * 255, author="😀" * 64))
        error = GenerationRefusedError("😀" * 2_000, maybe_billed=True, request_id="x" * 255)
        failed = pending.failed(error, at=pending.updated_at)
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
    async def test_any_image_survives_the_round_trip(self, images: ImagePorts, tags: list[str], **fields: Any) -> None:
        added = await images.add(ImageFactory.build(tags=tuple(tags), **fields))
        assert await images.get(added.guid) == added


class TestGet:
    """One image."""

    async def test_unknown_guid_is_not_found(self, images: ImagePorts) -> None:
        await images.add(ImageFactory.build())
        guid = uuid4()
        with pytest.raises(RecordNotFoundError, match=f"There is no image {guid}."):
            await images.get(guid)

    async def test_an_image_is_found_in_whatever_state_it_is(self, images: ImagePorts) -> None:
        added = [await images.add(factory.build()) for factory in FACTORIES]
        added.append(await images.add(ImageFactory.build(visibility=Visibility.PRIVATE)))
        for image in added:
            assert await images.get(image.guid) == image

    async def test_fifty_can_be_fetched_at_once(self, images: ImagePorts) -> None:
        added = [await images.add(image) for image in ImageFactory.batch(10)]
        found = await asyncio.gather(*(images.get(image.guid) for image in added * 5))
        assert list(found) == added * 5

    async def test_of_many_asked_for_at_once_each_gets_its_own_answer(self, images: ImagePorts) -> None:
        added = await asyncio.gather(*(images.add(image) for image in ImageFactory.batch(100)))
        asked = [guid for image in added for guid in (image.guid, uuid4())]
        found = await asyncio.gather(*(images.get(guid) for guid in asked), return_exceptions=True)
        assert found[::2] == list(added)
        assert [str(missing) for missing in found[1::2]] == [f"There is no image {guid}." for guid in asked[1::2]]
        assert {type(missing) for missing in found[1::2]} == {RecordNotFoundError}

    @pytest.mark.parametrize("turns", range(3))
    async def test_who_no_longer_wants_an_image_takes_none_from_the_others(
        self, images: ImagePorts, turns: int
    ) -> None:
        added = [await images.add(image) for image in ImageFactory.batch(3)]
        asking = [asyncio.create_task(images.get(image.guid)) for image in (*added, *added)]
        for _ in range(turns):
            await asyncio.sleep(0)
        asking[0].cancel()
        asking[1].cancel()
        found = await asyncio.gather(*asking, return_exceptions=True)
        assert found[2:] == [added[2], *added]

    async def test_what_was_changed_before_is_seen_whoever_else_asks(self, images: ImagePorts) -> None:
        image = await images.add(ImageFactory.build(tags=("0",)))

        async def change() -> None:
            for number in range(1, 21):
                changed = (await images.get(image.guid)).changed(ImageChanges(tags=[str(number)]), at=NOON)
                await images.change(changed, expected_version=changed.version - 1)
                assert await images.get(image.guid) == changed

        async def ask() -> None:
            while not changing.done():
                await images.get(image.guid)

        changing = asyncio.create_task(change())
        await asyncio.gather(changing, *(ask() for _ in range(5)))


class TestUpdate:
    """A new state of an image."""

    async def test_a_completed_image_is_stored_as_a_whole(self, images: ImagePorts) -> None:
        generating = await images.add(GeneratingImageFactory.build())
        ready = completed(generating, {"total_tokens": 7})
        await images.update(ready, expected=ImageStatus.GENERATING)
        assert await images.get(generating.guid) == ready

    async def test_a_failed_image_is_stored_with_the_reason(self, images: ImagePorts) -> None:
        generating = await images.add(GeneratingImageFactory.build())
        failed = generating.failed(refusal("it's 100% 😀 refused"), at=generating.updated_at + SECOND)
        await images.update(failed, expected=ImageStatus.GENERATING)
        assert await images.get(generating.guid) == failed

    async def test_nothing_but_the_state_is_stored(self, images: ImagePorts) -> None:
        generating = await images.add(GeneratingImageFactory.build(author="ann", tags=("a",)))
        ready = completed(generating)
        tampered = msgspec.structs.replace(
            ready,
            id=None,
            request=GenerationRequest(prompt="another"),
            tags=("b",),
            author=UserName("bob"),
            visibility=Visibility.PRIVATE,
            model="another",
            created_at=generating.created_at - SECOND,
        )
        await images.update(tampered, expected=ImageStatus.GENERATING)
        assert await images.get(generating.guid) == ready

    async def test_no_other_image_is_touched(self, images: ImagePorts) -> None:
        image, other = [await images.add(generating) for generating in GeneratingImageFactory.batch(2)]
        await images.update(completed(image), expected=ImageStatus.GENERATING)
        assert await images.get(other.guid) == other

    async def test_an_image_in_another_state_than_expected_is_refused_and_stays(self, images: ImagePorts) -> None:
        generating = await images.add(GeneratingImageFactory.build())
        ready = completed(generating)
        await images.update(ready, expected=ImageStatus.GENERATING)
        with pytest.raises(ConstraintViolationError, match="changed by somebody else"):
            await images.update(generating.failed(refusal("too late"), at=NOON), expected=ImageStatus.GENERATING)
        assert await images.get(generating.guid) == ready

    async def test_an_unknown_image_is_not_found(self, images: ImagePorts) -> None:
        await images.add(GeneratingImageFactory.build())
        with pytest.raises(RecordNotFoundError):
            await images.update(completed(GeneratingImageFactory.build()), expected=ImageStatus.GENERATING)

    async def test_an_update_that_changes_nothing_is_no_error(self, images: ImagePorts) -> None:
        generating = await images.add(GeneratingImageFactory.build())
        await images.update(generating, expected=ImageStatus.GENERATING)
        assert await images.get(generating.guid) == msgspec.structs.replace(generating, version=2)

    async def test_of_many_who_complete_an_image_at_once_one_succeeds(self, images: ImagePorts) -> None:
        generating = await images.add(GeneratingImageFactory.build())
        candidates = [completed(generating, {"candidate": number}) for number in range(50)]
        results = await asyncio.gather(
            *(images.update(candidate, expected=ImageStatus.GENERATING) for candidate in candidates),
            return_exceptions=True,
        )
        (winner,) = [number for number, result in enumerate(results) if result is None]
        assert sum(isinstance(result, ConstraintViolationError) for result in results) == 49
        assert await images.get(generating.guid) == candidates[winner]

    async def test_of_one_who_completes_and_one_who_gives_up_at_once_one_succeeds(self, images: ImagePorts) -> None:
        for _ in range(10):
            generating = await images.add(GeneratingImageFactory.build())
            ends = [completed(generating), generating.failed(refusal(), at=generating.updated_at + SECOND)]
            results = await asyncio.gather(
                *(images.update(end, expected=ImageStatus.GENERATING) for end in ends), return_exceptions=True
            )
            (winner,) = [end for end, result in zip(ends, results, strict=True) if result is None]
            assert [type(result) for result in results if result is not None] == [ConstraintViolationError]
            assert await images.get(generating.guid) == winner

    async def test_an_image_goes_through_its_whole_life(self, images: ImagePorts) -> None:
        pending = await images.add(PendingImageFactory.build(), lease=LONG)
        generating = pending.started(at=pending.updated_at + SECOND)
        await images.update(generating, expected=ImageStatus.PENDING)
        assert await images.get(pending.guid) == generating
        unknown = generating.failed(
            GenerationTimedOutError("Too late.", maybe_billed=True, request_id="req_1"),
            at=generating.updated_at + SECOND,
        )
        assert unknown.status is ImageStatus.UNKNOWN
        await images.update(unknown, expected=ImageStatus.GENERATING)
        assert await images.get(pending.guid) == unknown
        ready = completed(unknown)
        assert (ready.failure, ready.generator_request_id) == (None, "req_1")
        await images.update(ready, expected=ImageStatus.UNKNOWN)
        assert await images.get(pending.guid) == ready

    @pytest.mark.parametrize("maybe_billed", [True, False])
    @pytest.mark.parametrize("request_id", [None, "req_1", "x" * 255])
    @pytest.mark.parametrize(
        "kind", [GenerationRefusedError, GenerationRateLimitedError, GenerationTimedOutError, ContentNotKeptError]
    )
    async def test_a_failure_is_kept_with_its_kind_whether_it_was_billed_and_the_generators_name_for_it(
        self, images: ImagePorts, kind: type[GenerationError], request_id: str | None, *, maybe_billed: bool
    ) -> None:
        generating = await images.add(GeneratingImageFactory.build())
        error = kind("It went wrong.", maybe_billed=maybe_billed, request_id=request_id)
        await images.update(generating.failed(error, at=NOON), expected=ImageStatus.GENERATING)
        found = await images.get(generating.guid)
        assert found.failure == Failure(kind=kind.__name__, detail="It went wrong.", maybe_billed=maybe_billed)
        assert found.failure.maybe_billed is maybe_billed
        assert found.generator_request_id == request_id
        assert type(found.generation_error) is kind


class TestChange:
    """What an author changes of an image."""

    @pytest.mark.parametrize("factory", FINAL_FACTORIES)
    async def test_a_changed_image_is_stored_as_a_whole(self, images: ImagePorts, factory: type[ImageFactory]) -> None:
        image = await images.add(factory.build(tags=("a", "b"), author="ann"))
        changes = ImageChanges(tags=["c", "b", "ä"], visibility=Visibility.PRIVATE)
        changed = image.changed(changes, at=image.updated_at + SECOND)
        await images.change(changed, expected_version=image.version)
        assert await images.get(image.guid) == changed
        assert changed.version == 2

    async def test_a_file_name_is_stored(self, images: ImagePorts) -> None:
        image = await images.add(ImageFactory.build())
        changed = image.changed(ImageChanges(filename="x" * 255), at=NOON)
        await images.change(changed, expected_version=1)
        assert await images.get(image.guid) == changed

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (("a", "b", "c"), ("c", "b", "a")),
            (("a", "b"), ()),
            ((), ("b", "a")),
            (("a", "b"), ("b",)),
            (("b",), ("a", "b")),
            (("a",), ("A",)),
            (tuple(map(str, range(32))), tuple(map(str, reversed(range(32))))),
        ],
    )
    async def test_tags_are_replaced_in_their_order(
        self, images: ImagePorts, before: tuple[str, ...], after: tuple[str, ...]
    ) -> None:
        image = await images.add(ImageFactory.build(tags=before))
        changed = image.changed(ImageChanges(tags=after), at=NOON)
        await images.change(changed, expected_version=1)
        assert (await images.get(image.guid)).tags == after
        assert [found.tags for found in await images.list(PUBLIC, limit=10)] == [after]

    async def test_nothing_but_what_may_be_changed_is_stored(self, images: ImagePorts) -> None:
        image = await images.add(ImageFactory.build(author="ann", tags=("a",)))
        changed = image.changed(ImageChanges(tags=["b"]), at=image.updated_at + SECOND)
        tampered = msgspec.structs.replace(
            changed,
            request=GenerationRequest(prompt="another"),
            author=UserName("ann"),
            model="another",
            content=ContentInfoFactory.build(),
            usage={"another": 1},
            generator_request_id="another",
        )
        await images.change(tampered, expected_version=1)
        assert await images.get(image.guid) == changed

    async def test_no_other_image_is_touched(self, images: ImagePorts) -> None:
        image, other = [await images.add(each) for each in ImageFactory.batch(2, author="ann", tags=("a", "b"))]
        changed = image.changed(ImageChanges(tags=["c"], visibility=Visibility.PRIVATE), at=NOON)
        await images.change(changed, expected_version=1)
        assert await images.get(other.guid) == other

    async def test_another_version_than_expected_is_refused_and_the_image_stays(self, images: ImagePorts) -> None:
        image = await images.add(ImageFactory.build(tags=("a",)))
        changed = image.changed(ImageChanges(tags=["b"]), at=image.updated_at + SECOND)
        await images.change(changed, expected_version=1)
        for late in (image, changed):
            with pytest.raises(ConstraintViolationError, match="changed by somebody else"):
                await images.change(late.changed(ImageChanges(tags=["c", "d"]), at=NOON), expected_version=1)
        with pytest.raises(ConstraintViolationError):
            await images.change(changed, expected_version=3)
        assert await images.get(image.guid) == changed

    async def test_a_size_is_corrected(self, images: ImagePorts) -> None:
        content = msgspec.structs.replace(ContentInfoFactory.build(), width=80, height=40)
        image = await images.add(ImageFactory.build(content=content))
        right = msgspec.structs.replace(content, width=40, height=80)
        later = msgspec.structs.replace(image, filename="another.png", updated_at=NOON)
        assert await images.correct_size(later, right) is True
        corrected = msgspec.structs.replace(image, content=right, updated_at=NOON, version=2)
        assert await images.get(image.guid) == corrected
        assert await images.correct_size(later, right) is False
        assert await images.get(image.guid) == corrected

    async def test_no_size_of_another_content_or_image_is_corrected(self, images: ImagePorts) -> None:
        content = msgspec.structs.replace(ContentInfoFactory.build(), width=80, height=40)
        image = await images.add(ImageFactory.build(content=content))
        right = msgspec.structs.replace(content, width=40, height=80)
        other = msgspec.structs.replace(right, sha256="0" * 64)
        larger = msgspec.structs.replace(image, content=msgspec.structs.replace(content, width=81))
        assert await images.correct_size(image, other) is False
        assert await images.correct_size(larger, right) is False
        assert await images.correct_size(ImageFactory.build(content=content), right) is False
        assert await images.get(image.guid) == image

    async def test_an_unknown_image_is_not_found(self, images: ImagePorts) -> None:
        await images.add(ImageFactory.build())
        with pytest.raises(RecordNotFoundError):
            await images.change(ImageFactory.build(), expected_version=1)

    async def test_of_ten_who_change_a_version_at_once_one_succeeds(self, images: ImagePorts) -> None:
        image = await images.add(ImageFactory.build(author="ann", tags=("a", "b")))
        candidates = [
            image.changed(
                ImageChanges(tags=[str(number), "a"], visibility=list(Visibility)[number % 2]),
                at=NOON + number * SECOND,
            )
            for number in range(10)
        ]
        results = await asyncio.gather(
            *(images.change(candidate, expected_version=1) for candidate in candidates), return_exceptions=True
        )
        (winner,) = [number for number, result in enumerate(results) if result is None]
        assert [type(result) for result in results if result is not None] == [ConstraintViolationError] * 9
        assert await images.get(image.guid) == candidates[winner]

    async def test_of_one_who_changes_and_one_who_deletes_at_once_one_succeeds(self, images: ImagePorts) -> None:
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

    async def test_a_change_that_is_cancelled_is_there_as_a_whole_or_not_at_all(self, images: ImagePorts) -> None:
        for turns in range(30):
            image = await images.add(ImageFactory.build(author="ann", tags=("a", "b", "c")))
            changes = ImageChanges(tags=["d", "a"], visibility=Visibility.PRIVATE)
            changed = image.changed(changes, at=NOON)
            changing = asyncio.create_task(images.change(changed, expected_version=1))
            for _ in range(turns):
                await asyncio.sleep(0)
            changing.cancel()
            await asyncio.wait([changing])
            assert await images.get(image.guid) in ([image, changed] if changing.cancelled() else [changed])

    async def test_many_may_add_change_and_delete_at_once(self, images: ImagePorts) -> None:
        added = [
            await images.add(ImageFactory.build(author="ann", tags=("a", "b"), prompt="the same words"))
            for _ in range(20)
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

    @pytest.mark.parametrize("first", [(), ("a",), ("a", "b", "c")])
    async def test_neighbours_may_be_tagged_at_once(self, images: ImagePorts, first: tuple[str, ...]) -> None:
        added = [await images.add(ImageFactory.build(tags=first)) for _ in range(20)]

        async def tag(image: Image) -> None:
            changed = image.changed(ImageChanges(tags=["d", "e", "f", "g"]), at=image.updated_at)
            await images.change(changed, expected_version=1)
            again = changed.changed(ImageChanges(tags=[]), at=image.updated_at)
            await images.change(again, expected_version=2)

        await asyncio.gather(*map(tag, added))
        for image in added:
            assert (await images.get(image.guid)).tags == ()


class TestDelete:
    """Images that are deleted, and content that has yet to be."""

    @pytest.mark.parametrize("factory", FINAL_FACTORIES)
    async def test_a_deleted_image_is_gone_from_everywhere(
        self, images: ImagePorts, factory: type[ImageFactory]
    ) -> None:
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

    async def test_another_version_than_expected_is_refused_and_the_image_stays(self, images: ImagePorts) -> None:
        image = await images.add(ImageFactory.build(tags=("a",)))
        for version in (0, 2):
            with pytest.raises(ConstraintViolationError, match="changed by somebody else"):
                await images.delete(image.guid, expected_version=version, lease_seconds=0.0)
        assert await images.get(image.guid) == image
        assert not await images.is_being_deleted(image.guid)
        assert await images.list_deletions(limit=10) == []

    async def test_an_unknown_image_is_not_found(self, images: ImagePorts) -> None:
        guid = uuid4()
        with pytest.raises(RecordNotFoundError):
            await images.delete(guid, expected_version=1, lease_seconds=0.0)
        assert not await images.is_being_deleted(guid)

    async def test_an_image_is_deleted_once(self, images: ImagePorts) -> None:
        image = await images.add(ImageFactory.build())
        results = await asyncio.gather(
            *(images.delete(image.guid, expected_version=1, lease_seconds=60.0) for _ in range(10)),
            return_exceptions=True,
        )
        assert results.count(None) == 1
        assert [type(result) for result in results if result is not None] == [RecordNotFoundError] * 9

    async def test_a_guid_is_taken_until_the_content_is_deleted_too(self, images: ImagePorts) -> None:
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

    async def test_a_guid_can_not_be_taken_while_its_image_is_deleted(self, images: ImagePorts) -> None:
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

    async def test_a_deletion_goes_on_until_it_is_finished(self, images: ImagePorts) -> None:
        image, other = [await images.add(each) for each in ImageFactory.batch(2)]
        for each in (image, other):
            assert not await images.is_being_deleted(each.guid)
            await images.delete(each.guid, expected_version=1, lease_seconds=60.0)
            assert await images.is_being_deleted(each.guid)
        for _ in range(2):
            await images.finish_deletion(image.guid)
        assert not await images.is_being_deleted(image.guid)
        assert await images.is_being_deleted(other.guid)

    async def test_while_somebody_is_at_work_on_a_deletion_nobody_else_gets_it(self, images: ImagePorts) -> None:
        image = await images.add(ImageFactory.build())
        await images.delete(image.guid, expected_version=1, lease_seconds=60.0)
        assert await images.list_deletions(limit=10) == []
        assert await images.claim_deletions(limit=10, lease_seconds=60.0) == []

    async def test_a_deletion_that_somebody_has_left_is_claimed_again_and_again(self, images: ImagePorts) -> None:
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

    async def test_the_smallest_guids_come_first_and_no_more_than_asked_for(self, images: ImagePorts) -> None:
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

    async def test_of_those_who_claim_at_once_each_deletion_goes_to_one(self, images: ImagePorts) -> None:
        added = [await images.add(image) for image in ImageFactory.batch(12)]
        for image in added:
            await images.delete(image.guid, expected_version=1, lease_seconds=-1.0)
        claims = await asyncio.gather(*(images.claim_deletions(limit=12, lease_seconds=60.0) for _ in range(4)))
        claimed = [guid for claim in claims for guid in claim]
        assert sorted(claimed) == sorted(image.guid for image in added)

    async def test_a_key_outlives_the_image_it_was_used_for(self, images: ImagePorts) -> None:
        image = await images.add(FailedImageFactory.build(), claim=a_claim())
        await images.delete(image.guid, expected_version=1, lease_seconds=60.0)
        claimed = await images.find_claim(ANN, KEY)
        assert claimed
        assert claimed.guid == image.guid


class TestLeases:
    """Who is at work on an image, and which images nobody is at work on any more."""

    @pytest.mark.parametrize("factory", RUNNING_FACTORIES)
    async def test_an_image_without_a_lease_is_abandoned_at_once(
        self, images: ImagePorts, factory: type[ImageFactory]
    ) -> None:
        image = await images.add(factory.build(tags=("a", "b")))
        assert await images.list_abandoned(limit=10) == [image]

    @pytest.mark.parametrize("factory", RUNNING_FACTORIES)
    async def test_an_image_is_abandoned_when_its_lease_is_over_and_not_before(
        self, images: ImagePorts, factory: type[ImageFactory]
    ) -> None:
        await images.add(factory.build(), lease=LONG)
        image = await images.add(factory.build(), lease=Lease(owner="one", seconds=1.0))
        assert await images.list_abandoned(limit=10) == []

        async def is_abandoned() -> bool:
            return await images.list_abandoned(limit=10) == [image]

        await eventually(is_abandoned)

    @pytest.mark.parametrize("factory", FINAL_FACTORIES)
    async def test_a_final_image_is_never_abandoned(self, images: ImagePorts, factory: type[ImageFactory]) -> None:
        await images.add(factory.build())
        await images.add(factory.build(), lease=SHORT)
        await wait_until_a_short_lease_is_over(images)
        assert await images.list_abandoned(limit=10) == []

    async def test_the_lease_goes_on_when_the_generator_is_called(self, images: ImagePorts) -> None:
        pending = await images.add(PendingImageFactory.build(), lease=LONG)
        generating = pending.started(at=pending.updated_at)
        await images.update(generating, expected=ImageStatus.PENDING)
        assert await images.list_abandoned(limit=10) == []
        await images.renew(pending.guid, SHORT)
        await wait_until_a_short_lease_is_over(images)
        assert await images.list_abandoned(limit=10) == [generating]

    async def test_the_oldest_are_listed_first_and_no_more_than_asked_for(self, images: ImagePorts) -> None:
        times = [NOON, NOON - SECOND, NOON + SECOND, NOON + timedelta(microseconds=1)]
        added = [await images.add(GeneratingImageFactory.build(created_at=time)) for time in times]
        await images.add(GeneratingImageFactory.build(created_at=NOON - 2 * SECOND), lease=LONG)
        expected = [added[1], added[0], added[3], added[2]]
        assert await images.list_abandoned(limit=3) == expected[:3]
        assert await images.list_abandoned(limit=10) == expected

    @pytest.mark.parametrize("factory", RUNNING_FACTORIES)
    async def test_a_renewed_lease_runs_from_then_on_and_nothing_else_changes(
        self, images: ImagePorts, factory: type[ImageFactory]
    ) -> None:
        image = await images.add(factory.build(), lease=SHORT)
        await images.renew(image.guid, LONG)
        await wait_until_a_short_lease_is_over(images)
        assert await images.list_abandoned(limit=10) == []
        assert await images.get(image.guid) == image

    async def test_a_lease_that_is_over_can_still_be_renewed(self, images: ImagePorts) -> None:
        image = await images.add(GeneratingImageFactory.build(), lease=SHORT)
        await wait_until_a_short_lease_is_over(images)
        assert await images.list_abandoned(limit=10) == [image]
        await images.renew(image.guid, LONG)
        assert await images.list_abandoned(limit=10) == []

    async def test_nobody_else_can_renew_a_lease(self, images: ImagePorts) -> None:
        image = await images.add(GeneratingImageFactory.build(), lease=SHORT)
        unowned = await images.add(GeneratingImageFactory.build(created_at=image.created_at + SECOND))
        for owner in ("two", "One", "on", ""):
            for each in (image, unowned):
                await images.renew(each.guid, Lease(owner=owner, seconds=60.0))
        await wait_until_a_short_lease_is_over(images)
        assert await images.list_abandoned(limit=10) == [image, unowned]

    async def test_renewing_the_lease_of_one_image_leaves_the_others(self, images: ImagePorts) -> None:
        image, other = [await images.add(GeneratingImageFactory.build(), lease=SHORT) for _ in range(2)]
        await images.renew(image.guid, LONG)
        await wait_until_a_short_lease_is_over(images)
        assert await images.list_abandoned(limit=10) == [other]

    async def test_renewing_the_lease_of_an_unknown_image_does_nothing(self, images: ImagePorts) -> None:
        guid = uuid4()
        await images.renew(guid, LONG)
        image = await images.add(GeneratingImageFactory.build(guid=guid))
        assert await images.list_abandoned(limit=10) == [image]

    @pytest.mark.parametrize("is_renewed", [False, True])
    @pytest.mark.parametrize("status", [ImageStatus.READY, ImageStatus.FAILED, ImageStatus.UNKNOWN])
    async def test_a_final_state_ends_the_lease_for_good(
        self, images: ImagePorts, status: ImageStatus, *, is_renewed: bool
    ) -> None:
        image = await images.add(GeneratingImageFactory.build(), lease=LONG)
        end = {
            ImageStatus.READY: completed(image),
            ImageStatus.FAILED: image.failed(refusal(), at=NOON),
            ImageStatus.UNKNOWN: image.failed(GenerationAbandonedError("Nobody knows.", maybe_billed=True), at=NOON),
        }[status]
        await images.update(end, expected=ImageStatus.GENERATING)
        if is_renewed:
            await images.renew(image.guid, LONG)
        assert await images.get(image.guid) == end
        # No image ever goes back; only so can be seen that no lease is left.
        await images.update(image, expected=status)
        assert await images.list_abandoned(limit=10) == [msgspec.structs.replace(image, version=3)]

    @pytest.mark.parametrize("factory", FINAL_FACTORIES)
    async def test_renewing_changes_nothing_of_a_final_image(
        self, images: ImagePorts, factory: type[ImageFactory]
    ) -> None:
        image = await images.add(factory.build(), lease=LONG)
        await images.renew(image.guid, SHORT)
        assert await images.get(image.guid) == image

    async def test_an_abandoned_image_is_taken_on_only_while_nobody_has_a_lease(self, images: ImagePorts) -> None:
        image = await images.add(GeneratingImageFactory.build(), lease=LONG)
        unknown = image.failed(GenerationAbandonedError("Nobody knows.", maybe_billed=True), at=image.updated_at)
        with pytest.raises(ConstraintViolationError):
            await images.update_abandoned(unknown, expected=ImageStatus.GENERATING)
        assert await images.get(image.guid) == image

        abandoned = await images.add(GeneratingImageFactory.build(), lease=Lease(owner="one", seconds=0.0))
        unknown = abandoned.failed(GenerationAbandonedError("Nobody knows.", maybe_billed=True), at=image.updated_at)
        await images.update_abandoned(unknown, expected=ImageStatus.GENERATING)
        assert (await images.get(abandoned.guid)).status is ImageStatus.UNKNOWN

    async def test_the_images_that_became_unknown_lately_are_listed_the_latest_first(self, images: ImagePorts) -> None:
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


class TestClaims:
    """Which image an idempotency key was used for."""

    @pytest.mark.parametrize("author", [ANN, None, UserName("😀" * 64)])
    @pytest.mark.parametrize("key", [KEY, "x" * 255, "!", "\\'%s\"`;--"])
    async def test_a_key_leads_to_the_image_that_it_was_used_for(
        self, images: ImagePorts, author: UserName | None, key: str
    ) -> None:
        claim = a_claim(author, key, "0123456789abcdef" * 4)
        assert await images.find_claim(author, claim.key) is None
        image = await images.add(PendingImageFactory.build(author=author), claim=claim)
        assert await images.find_claim(author, claim.key) == ClaimedImage(
            guid=image.guid, fingerprint="0123456789abcdef" * 4
        )

    async def test_the_same_key_of_the_same_author_is_refused_and_nothing_is_stored(self, images: ImagePorts) -> None:
        first = await images.add(PendingImageFactory.build(), lease=LONG, claim=a_claim())
        second = PendingImageFactory.build(tags=("a", "b"))
        for fingerprint in ("0" * 64, "1" * 64):
            with pytest.raises(ConstraintViolationError):
                await images.add(second, claim=a_claim(fingerprint=fingerprint))
        assert await images.find_claim(ANN, KEY) == ClaimedImage(guid=first.guid, fingerprint="0" * 64)
        with pytest.raises(RecordNotFoundError):
            await images.get(second.guid)
        assert await images.count() == 1
        assert await images.list_abandoned(limit=10) == []
        added = await images.add(msgspec.structs.replace(second, tags=(Tag("c"),)))
        assert (await images.get(added.guid)).tags == ("c",)

    async def test_a_taken_guid_leaves_the_key_unused(self, images: ImagePorts) -> None:
        image = await images.add(PendingImageFactory.build())
        with pytest.raises(ConstraintViolationError):
            await images.add(PendingImageFactory.build(guid=image.guid), claim=a_claim())
        assert await images.find_claim(ANN, KEY) is None
        await images.add(PendingImageFactory.build(), claim=a_claim())

    async def test_each_author_has_keys_of_their_own_and_so_have_those_without_a_name(self, images: ImagePorts) -> None:
        authors = (ANN, BOB, None, UserName("Ann"), UserName("änn"))
        added = [await images.add(PendingImageFactory.build(), claim=a_claim(author)) for author in authors]
        for author, image in zip(authors, added, strict=True):
            claimed = await images.find_claim(author, KEY)
            assert claimed
            assert claimed.guid == image.guid
        with pytest.raises(ConstraintViolationError):
            await images.add(PendingImageFactory.build(), claim=a_claim(None))

    async def test_keys_differ_in_case(self, images: ImagePorts) -> None:
        lower = await images.add(PendingImageFactory.build(), claim=a_claim(key="key"))
        assert await images.find_claim(ANN, IdempotencyKey("KEY")) is None
        upper = await images.add(PendingImageFactory.build(), claim=a_claim(key="KEY"))
        for key, image in (("key", lower), ("KEY", upper)):
            claimed = await images.find_claim(ANN, IdempotencyKey(key))
            assert claimed
            assert claimed.guid == image.guid

    async def test_images_without_a_key_do_not_get_in_each_others_way(self, images: ImagePorts) -> None:
        for _ in range(2):
            await images.add(PendingImageFactory.build())
        assert await images.count() == 2

    async def test_a_key_is_forgotten_when_its_time_is_over_and_can_be_used_again(self, images: ImagePorts) -> None:
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

    async def test_all_keys_whose_time_is_over_are_forgotten_and_counted(self, images: ImagePorts) -> None:
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
    async def test_of_many_who_use_a_key_at_once_one_succeeds(
        self, images: ImagePorts, author: UserName | None
    ) -> None:
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

    async def test_many_may_use_different_keys_at_once_while_expired_ones_are_forgotten(
        self, images: ImagePorts
    ) -> None:
        async def add(number: int) -> Image:
            claim = a_claim(key=f"key-{number}", seconds=0.001 if number % 2 else 60.0)
            added = await images.add(PendingImageFactory.build(), claim=claim)
            await images.forget_expired_claims()
            return added

        await asyncio.gather(*map(add, range(40)))
        assert await images.count() == 40

    async def test_a_key_is_forgotten_for_the_image_it_was_used_for_and_for_no_other(self, images: ImagePorts) -> None:
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


class TestScan:
    """All images there are."""

    async def test_an_empty_repository_has_nothing_to_scan_or_count(self, images: ImagePorts) -> None:
        assert await images.scan(limit=10) == []
        assert await images.count() == 0

    @pytest.mark.parametrize("limit", [1, 2, 3, 10, 11, 100])
    async def test_pages_cover_every_image_once_in_the_order_of_the_guids(self, images: ImagePorts, limit: int) -> None:
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

    async def test_a_scan_may_begin_behind_a_guid_that_does_not_exist(self, images: ImagePorts) -> None:
        image = await images.add(FailedImageFactory.build(guid=UUID(int=5)))
        assert await images.scan(after=str(UUID(int=4)), limit=10) == [image]
        assert await images.scan(after=str(UUID(int=5)), limit=10) == []
        assert await images.scan(after=str(UUID(int=6)), limit=10) == []


class TestCheck:
    """Whether the repository can answer."""

    async def test_a_repository_that_can_answer_passes(self, images: ImagePorts) -> None:
        await images.check()


async def test_records_of_earlier_versions_are_read_as_they_are(images: ImagePorts) -> None:
    added = await images.add(
        ImageFactory.build(
            author=UserName("Zoe\u0308"),
            visibility=Visibility.PRIVATE,
            prompt="\u200b",
            tags=tuple(
                map(Tag, ("Zoe\u0308", "Zo\u00eb", "a\u202eb", "\u2060", "a\u200db", "e" + "\u0301\u0323" * 31))
            ),
        )
    )
    assert await images.get(added.guid) == added
    assert await images.list(ImageFilter(author=UserName("Zoe\u0308")), limit=10) == [added]
    assert await images.list(ImageFilter(author=UserName("Zo\u00eb")), limit=10) == []
    assert await images.list(ImageFilter(author=UserName("Zoe\u0308"), tags=(Tag("a\u202eb"),)), limit=10) == [added]
