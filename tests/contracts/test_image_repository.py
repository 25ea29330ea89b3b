"""The contract of `ImageRepository`."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixyproxy.domain.errors import (
    ConstraintViolationError,
    ContentNotKeptError,
    GenerationError,
    GenerationOptionError,
    GenerationRateLimitedError,
    GenerationRefusedError,
    GenerationTimedOutError,
    RecordNotFoundError,
)
from pixyproxy.domain.failure import Failure
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageChanges, ImageStatus, Visibility
from pixyproxy.domain.listing import ImageFilter
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import UserName
from tests.factories import (
    ContentInfoFactory,
    GeneratingImageFactory,
    ImageFactory,
    PendingImageFactory,
)
from tests.images import (
    AWKWARD_TEXTS,
    FACTORIES,
    FINAL_FACTORIES,
    NOON,
    PUBLIC,
    SECOND,
    HostImages,
    completed,
    newest_first,
    refusal,
)


@pytest.fixture(params=["memory", "sqlite", "mysql", "host"])
def images(request: pytest.FixtureRequest) -> HostImages:
    """An empty repository of each kind, the one in docs/embedding.md included."""
    repository: HostImages = request.getfixturevalue(f"{request.param}_images")
    return repository


class TestAdd:
    """A new image."""

    async def test_an_added_image_comes_back_with_an_id_and_all_its_fields(self, images: HostImages) -> None:
        for image in (*(factory.build() for factory in FACTORIES), PendingImageFactory.build(author=None)):
            added = await images.add(image)
            assert added.id is not None
            assert added == msgspec.structs.replace(image, id=added.id)
            assert await images.get(image.guid) == added

    async def test_extra_parameters_come_back_as_they_were_given(self, images: HostImages) -> None:
        extra = {
            "integers": [0, -(2**63), 2**64, 10**30, 10**4000],
            "numbers": [0.5, 1e300, -1.0, 2.5e-8],
            "texts": ["", *AWKWARD_TEXTS.values()],
            "nested": {"a": {"b": [{}, [], None, True]}, **dict.fromkeys(AWKWARD_TEXTS.values(), 1)},
        }
        request = GenerationRequest(prompt="a fox", output_compression=0, partial_images=3, extra=extra)
        added = await images.add(ImageFactory.build(request=request))

        for found in (await images.get(added.guid), *await images.list(PUBLIC, limit=10)):
            assert found.request == request
            assert repr(found.request.extra) == repr(extra)

    async def test_each_image_has_an_id_of_its_own(self, images: HostImages) -> None:
        added = [await images.add(image) for image in ImageFactory.batch(3)]
        assert len({image.id for image in added}) == 3

    async def test_a_taken_guid_is_refused_and_the_first_image_stays(self, images: HostImages) -> None:
        first = await images.add(ImageFactory.build(tags=("first",)))
        with pytest.raises(ConstraintViolationError, match="image with this guid is stored already"):
            await images.add(ImageFactory.build(guid=first.guid, tags=("second", "third")))
        assert await images.get(first.guid) == first
        assert await images.list(PUBLIC, limit=10) == [first]

    async def test_of_many_who_add_the_same_guid_at_once_one_succeeds(self, images: HostImages) -> None:
        guid = uuid4()
        results = await asyncio.gather(
            *(images.add(PendingImageFactory.build(guid=guid)) for _ in range(50)), return_exceptions=True
        )
        (winner,) = [result for result in results if isinstance(result, Image)]
        assert sum(isinstance(result, ConstraintViolationError) for result in results) == 49
        assert await images.get(guid) == winner

    async def test_fifty_can_be_added_at_once(self, images: HostImages) -> None:
        added = await asyncio.gather(*(images.add(image) for image in ImageFactory.batch(50)))
        assert len({image.id for image in added}) == 50
        assert await images.list(PUBLIC, limit=100) == newest_first(added)

    async def test_an_image_is_never_seen_without_its_tags(self, images: HostImages) -> None:
        image = ImageFactory.build(tags=tuple(Tag(f"tag {number}") for number in range(32)))
        adding = asyncio.create_task(images.add(image))
        seen: list[Image] = []
        while not seen:
            await asyncio.sleep(0)
            seen = list(await images.list(PUBLIC, limit=1))
        assert seen == [await adding]

    async def test_an_image_whose_adding_is_cancelled_is_there_as_a_whole_or_not_at_all(
        self, images: HostImages
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
    """Stored images come back unchanged."""

    @pytest.mark.parametrize("text", AWKWARD_TEXTS.values(), ids=AWKWARD_TEXTS.keys())
    async def test_a_prompt_is_kept_whatever_is_in_it(self, images: HostImages, text: str) -> None:
        added = await images.add(ImageFactory.build(prompt=text))
        assert (await images.get(added.guid)).prompt == text

    async def test_a_prompt_of_32_000_emoji_is_kept(self, images: HostImages) -> None:
        added = await images.add(ImageFactory.build(prompt="😀" * 32_000))
        assert (await images.get(added.guid)).prompt == "😀" * 32_000

    async def test_tags_keep_their_order_case_and_characters(self, images: HostImages) -> None:
        tags = ("b", "a", "B", "A", "ä", "é", "e\u0301", "it's", '"', "100%s", "\\", "\\n", ",", "ﬁ", "fi", "ß", "ss")
        added = await images.add(ImageFactory.build(tags=tags))
        assert (await images.get(added.guid)).tags == tags
        assert [image.tags for image in await images.list(PUBLIC, limit=1)] == [tags]

    async def test_32_tags_of_64_emoji_are_kept(self, images: HostImages) -> None:
        tags = tuple("😀" * 63 + chr(ord("a") + number) for number in range(26)) + tuple(
            "😀" * 62 + f"{number:02}" for number in range(6)
        )
        added = await images.add(ImageFactory.build(tags=tags))
        assert (await images.get(added.guid)).tags == tags

    async def test_an_image_has_its_own_tags_only(self, images: HostImages) -> None:
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
        self, images: HostImages, time: datetime, microsecond: int
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
    async def test_usage_is_kept_as_it_is(self, images: HostImages, usage: dict[str, Any] | None) -> None:
        added = await images.add(ImageFactory.build(usage=usage))
        found = (await images.get(added.guid)).usage
        assert repr(found) == repr(usage)

    async def test_the_longest_values_are_kept(self, images: HostImages) -> None:
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
    async def test_any_image_survives_the_round_trip(self, images: HostImages, tags: list[str], **fields: Any) -> None:
        added = await images.add(ImageFactory.build(tags=tuple(tags), **fields))
        assert await images.get(added.guid) == added


class TestGet:
    """One image."""

    async def test_unknown_guid_is_not_found(self, images: HostImages) -> None:
        await images.add(ImageFactory.build())
        guid = uuid4()
        with pytest.raises(RecordNotFoundError, match=f"There is no image {guid}."):
            await images.get(guid)

    async def test_an_image_is_found_in_whatever_state_it_is(self, images: HostImages) -> None:
        added = [await images.add(factory.build()) for factory in FACTORIES]
        added.append(await images.add(ImageFactory.build(visibility=Visibility.PRIVATE)))
        for image in added:
            assert await images.get(image.guid) == image

    async def test_fifty_can_be_fetched_at_once(self, images: HostImages) -> None:
        added = [await images.add(image) for image in ImageFactory.batch(10)]
        found = await asyncio.gather(*(images.get(image.guid) for image in added * 5))
        assert list(found) == added * 5

    async def test_of_many_asked_for_at_once_each_gets_its_own_answer(self, images: HostImages) -> None:
        added = await asyncio.gather(*(images.add(image) for image in ImageFactory.batch(100)))
        asked = [guid for image in added for guid in (image.guid, uuid4())]
        found = await asyncio.gather(*(images.get(guid) for guid in asked), return_exceptions=True)
        assert found[::2] == list(added)
        assert [str(missing) for missing in found[1::2]] == [f"There is no image {guid}." for guid in asked[1::2]]
        assert {type(missing) for missing in found[1::2]} == {RecordNotFoundError}

    @pytest.mark.parametrize("turns", range(3))
    async def test_a_cancelled_reader_takes_no_image_from_the_others(self, images: HostImages, turns: int) -> None:
        added = [await images.add(image) for image in ImageFactory.batch(3)]
        asking = [asyncio.create_task(images.get(image.guid)) for image in (*added, *added)]
        for _ in range(turns):
            await asyncio.sleep(0)
        asking[0].cancel()
        asking[1].cancel()
        found = await asyncio.gather(*asking, return_exceptions=True)
        assert found[2:] == [added[2], *added]

    async def test_an_earlier_change_is_seen_even_with_concurrent_readers(self, images: HostImages) -> None:
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

    async def test_a_completed_image_is_stored_as_a_whole(self, images: HostImages) -> None:
        generating = await images.add(GeneratingImageFactory.build())
        ready = completed(generating, {"total_tokens": 7})
        await images.update(ready, expected=ImageStatus.GENERATING)
        assert await images.get(generating.guid) == ready

    async def test_a_failed_image_is_stored_with_the_reason(self, images: HostImages) -> None:
        generating = await images.add(GeneratingImageFactory.build())
        failed = generating.failed(refusal("it's 100% 😀 refused"), at=generating.updated_at + SECOND)
        await images.update(failed, expected=ImageStatus.GENERATING)
        assert await images.get(generating.guid) == failed

    async def test_nothing_but_the_state_is_stored(self, images: HostImages) -> None:
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

    async def test_no_other_image_is_touched(self, images: HostImages) -> None:
        image, other = [await images.add(generating) for generating in GeneratingImageFactory.batch(2)]
        await images.update(completed(image), expected=ImageStatus.GENERATING)
        assert await images.get(other.guid) == other

    async def test_an_image_in_another_state_than_expected_is_refused_and_stays(self, images: HostImages) -> None:
        generating = await images.add(GeneratingImageFactory.build())
        ready = completed(generating)
        await images.update(ready, expected=ImageStatus.GENERATING)
        with pytest.raises(ConstraintViolationError, match="changed by another request"):
            await images.update(generating.failed(refusal("too late"), at=NOON), expected=ImageStatus.GENERATING)
        assert await images.get(generating.guid) == ready

    async def test_an_unknown_image_is_not_found(self, images: HostImages) -> None:
        await images.add(GeneratingImageFactory.build())
        with pytest.raises(RecordNotFoundError):
            await images.update(completed(GeneratingImageFactory.build()), expected=ImageStatus.GENERATING)

    async def test_an_update_that_changes_nothing_is_no_error(self, images: HostImages) -> None:
        generating = await images.add(GeneratingImageFactory.build())
        await images.update(generating, expected=ImageStatus.GENERATING)
        assert await images.get(generating.guid) == msgspec.structs.replace(generating, version=2)

    async def test_of_many_who_complete_an_image_at_once_one_succeeds(self, images: HostImages) -> None:
        generating = await images.add(GeneratingImageFactory.build())
        candidates = [completed(generating, {"candidate": number}) for number in range(50)]
        results = await asyncio.gather(
            *(images.update(candidate, expected=ImageStatus.GENERATING) for candidate in candidates),
            return_exceptions=True,
        )
        (winner,) = [number for number, result in enumerate(results) if result is None]
        assert sum(isinstance(result, ConstraintViolationError) for result in results) == 49
        assert await images.get(generating.guid) == candidates[winner]

    async def test_of_one_who_completes_and_one_who_gives_up_at_once_one_succeeds(self, images: HostImages) -> None:
        for _ in range(10):
            generating = await images.add(GeneratingImageFactory.build())
            ends = [completed(generating), generating.failed(refusal(), at=generating.updated_at + SECOND)]
            results = await asyncio.gather(
                *(images.update(end, expected=ImageStatus.GENERATING) for end in ends), return_exceptions=True
            )
            (winner,) = [end for end, result in zip(ends, results, strict=True) if result is None]
            assert [type(result) for result in results if result is not None] == [ConstraintViolationError]
            assert await images.get(generating.guid) == winner

    async def test_an_image_goes_through_its_whole_life(self, images: HostImages) -> None:
        pending = await images.add(PendingImageFactory.build())
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
    async def test_a_failure_keeps_its_kind_whether_it_was_billed_and_the_generators_name_for_it(
        self, images: HostImages, kind: type[GenerationError], request_id: str | None, *, maybe_billed: bool
    ) -> None:
        generating = await images.add(GeneratingImageFactory.build())
        error = kind("It went wrong.", maybe_billed=maybe_billed, request_id=request_id)
        await images.update(generating.failed(error, at=NOON), expected=ImageStatus.GENERATING)
        found = await images.get(generating.guid)
        assert found.failure == Failure(kind=kind.__name__, detail="It went wrong.", maybe_billed=maybe_billed)
        assert found.failure.maybe_billed is maybe_billed
        assert found.generator_request_id == request_id
        assert type(found.generation_error) is kind

    @pytest.mark.parametrize("field", ["size", 'a"\\b', "x" * 64])
    async def test_a_failure_keeps_the_field_to_blame(self, images: HostImages, field: str) -> None:
        generating = await images.add(GeneratingImageFactory.build())
        error = GenerationOptionError("It is not taken.", maybe_billed=False, field=field)
        await images.update(generating.failed(error, at=NOON), expected=ImageStatus.GENERATING)
        found = await images.get(generating.guid)
        assert found.failure == Failure.of(error)
        assert found.generation_error is not None
        assert found.generation_error.field == field
        await images.update(completed(found), expected=ImageStatus.FAILED)
        assert (await images.get(generating.guid)).failure is None


class TestChange:
    """Changes by the author."""

    @pytest.mark.parametrize("factory", FINAL_FACTORIES)
    async def test_a_changed_image_is_stored_as_a_whole(self, images: HostImages, factory: type[ImageFactory]) -> None:
        image = await images.add(factory.build(tags=("a", "b"), author="ann"))
        changes = ImageChanges(tags=["c", "b", "ä"], visibility=Visibility.PRIVATE)
        changed = image.changed(changes, at=image.updated_at + SECOND)
        await images.change(changed, expected_version=image.version)
        assert await images.get(image.guid) == changed
        assert changed.version == 2

    async def test_a_file_name_is_stored(self, images: HostImages) -> None:
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
        self, images: HostImages, before: tuple[str, ...], after: tuple[str, ...]
    ) -> None:
        image = await images.add(ImageFactory.build(tags=before))
        changed = image.changed(ImageChanges(tags=after), at=NOON)
        await images.change(changed, expected_version=1)
        assert (await images.get(image.guid)).tags == after
        assert [found.tags for found in await images.list(PUBLIC, limit=10)] == [after]

    async def test_nothing_but_what_may_be_changed_is_stored(self, images: HostImages) -> None:
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

    async def test_no_other_image_is_touched(self, images: HostImages) -> None:
        image, other = [await images.add(each) for each in ImageFactory.batch(2, author="ann", tags=("a", "b"))]
        changed = image.changed(ImageChanges(tags=["c"], visibility=Visibility.PRIVATE), at=NOON)
        await images.change(changed, expected_version=1)
        assert await images.get(other.guid) == other

    async def test_another_version_than_expected_is_refused_and_the_image_stays(self, images: HostImages) -> None:
        image = await images.add(ImageFactory.build(tags=("a",)))
        changed = image.changed(ImageChanges(tags=["b"]), at=image.updated_at + SECOND)
        await images.change(changed, expected_version=1)
        for late in (image, changed):
            with pytest.raises(ConstraintViolationError, match="changed by another request"):
                await images.change(late.changed(ImageChanges(tags=["c", "d"]), at=NOON), expected_version=1)
        with pytest.raises(ConstraintViolationError):
            await images.change(changed, expected_version=3)
        assert await images.get(image.guid) == changed

    async def test_an_unknown_image_is_not_found(self, images: HostImages) -> None:
        await images.add(ImageFactory.build())
        with pytest.raises(RecordNotFoundError):
            await images.change(ImageFactory.build(), expected_version=1)

    async def test_of_ten_who_change_a_version_at_once_one_succeeds(self, images: HostImages) -> None:
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

    async def test_a_change_that_is_cancelled_is_there_as_a_whole_or_not_at_all(self, images: HostImages) -> None:
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

    @pytest.mark.parametrize("first", [(), ("a",), ("a", "b", "c")])
    async def test_neighbours_may_be_tagged_at_once(self, images: HostImages, first: tuple[str, ...]) -> None:
        added = [await images.add(ImageFactory.build(tags=first)) for _ in range(20)]

        async def tag(image: Image) -> None:
            changed = image.changed(ImageChanges(tags=["d", "e", "f", "g"]), at=image.updated_at)
            await images.change(changed, expected_version=1)
            again = changed.changed(ImageChanges(tags=[]), at=image.updated_at)
            await images.change(again, expected_version=2)

        await asyncio.gather(*map(tag, added))
        for image in added:
            assert (await images.get(image.guid)).tags == ()


async def test_records_of_earlier_versions_are_read_as_they_are(images: HostImages) -> None:
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
