"""The contract of `ImageCatalogue`, `TagCatalogue` and `SearchIndex` together.

The domain gives the expected results: `ImageFilter.fits` selects the images, `ImagePosition` orders them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.mysql.image_repository import MySQLImageRepository
from pixyproxy.adapters.sql import list_queries
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.batch import BatchPlace
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageChanges, ImageStatus, Visibility
from pixyproxy.domain.listing import ImageFilter, ImageOrder, ImagePosition, TagCount, TagFilter
from pixyproxy.domain.ports import DamagedRecord, ImagePorts, RebuiltIndex
from pixyproxy.domain.reference import Reference
from pixyproxy.domain.search import Search
from pixyproxy.domain.sender import Sender
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import UserName
from tests import paging_strategies
from tests.cases import SEARCHES
from tests.factories import (
    ContentInfoFactory,
    FailedImageFactory,
    GeneratingImageFactory,
    ImageFactory,
    PendingImageFactory,
    UnknownImageFactory,
)
from tests.images import all_pages, eventually, guids, newest_first

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ANN = UserName("ann")
BOB = UserName("bob")
PUBLIC = ImageFilter(visibility=Visibility.PUBLIC)
ANNS = ImageFilter(author=ANN)
PUBLIC_TAGS = TagFilter(visibility=Visibility.PUBLIC)
START_OF_TIME = datetime(1, 1, 1, tzinfo=UTC)
END_OF_TIME = datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)

# Each example empties the repository, so that it need not be a fresh one.
thorough = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
brief = settings(thorough, max_examples=15)


def listed_by(wanted: ImageFilter, images: Sequence[Image], order: ImageOrder) -> list[Image]:
    in_order = sorted(images, key=lambda image: (image.created_at, str(image.guid)))
    found = [image for image in in_order if wanted.fits(image)]
    return found[::-1] if order is ImageOrder.NEWEST_FIRST else found


def tagged(*tags: str, **fields: Any) -> ImageFilter:
    return msgspec.structs.replace(PUBLIC, tags=tuple(Tag(tag) for tag in tags), **fields)


def with_words(text: str, **fields: Any) -> ImageFilter:
    return msgspec.structs.replace(PUBLIC, search=Search.parse(text), **fields)


async def empty(images: ImagePorts) -> None:
    for image in await images.scan(limit=1000):
        assert isinstance(image, Image)
        await images.delete(image.guid, expected_version=image.version, lease_seconds=-1.0)
    for guid in await images.claim_deletions(limit=1000, lease_seconds=60.0):
        await images.finish_deletion(guid)


class TestLists:
    """The public images, and an author's own."""

    async def test_an_empty_repository_lists_nothing(self, images: ImagePorts) -> None:
        for wanted in (PUBLIC, ANNS, tagged("a"), with_words("a"), with_words("a", tags=("a", "b"))):
            assert await images.list(wanted, limit=10) == []
            assert await images.count_listed(wanted) == 0
        assert await images.list_tags(PUBLIC_TAGS, limit=10) == []

    @pytest.mark.parametrize("wanted", [PUBLIC, tagged("a"), with_words("word"), tagged("a", "b", author=ANN)])
    async def test_no_image_is_missed_or_repeated_while_others_write(
        self, images: ImagePorts, wanted: ImageFilter
    ) -> None:
        async def add(second: int) -> Image:
            created_at = NOON + second * SECOND
            return await images.add(
                ImageFactory.build(created_at=created_at, author="ann", tags=("a", "b"), prompt="a word")
            )

        before = [await add(-2 * number) for number in range(30)]
        doomed = [await add(-2 * number - 1) for number in range(30)]

        async def write() -> None:
            for number, image in enumerate(doomed):
                await add(number - 30)
                if number % 2:
                    await images.delete(image.guid, expected_version=1, lease_seconds=60.0)
                else:
                    hidden = image.changed(ImageChanges(visibility=Visibility.PRIVATE), at=NOON)
                    await images.change(hidden, expected_version=1)
                await asyncio.sleep(0)

        writing = asyncio.create_task(write())
        await asyncio.sleep(0)
        found = await all_pages(images, wanted, limit=3)
        await writing
        assert [image for image in found if image in before] == before
        assert len({image.guid for image in found}) == len(found)

    async def test_only_ready_images_are_listed(self, images: ImagePorts) -> None:
        fields: dict[str, Any] = {"author": "ann", "tags": ("a",), "prompt": "b"}
        for factory in (PendingImageFactory, GeneratingImageFactory, FailedImageFactory, UnknownImageFactory):
            await images.add(factory.build(**fields))
        ready = await images.add(ImageFactory.build(**fields))
        for wanted in (PUBLIC, ANNS, tagged("a"), with_words("b")):
            assert await images.list(wanted, limit=10) == [ready]
            assert await images.count_listed(wanted) == 1
        assert await images.list_tags(PUBLIC_TAGS, limit=10) == [TagCount(Tag("a"), 1)]

    async def test_an_image_is_listed_once_it_is_completed(self, images: ImagePorts) -> None:
        generating = await images.add(GeneratingImageFactory.build(tags=("a", "c"), prompt="b"))
        lists = (PUBLIC, tagged("a"), with_words("b"), tagged("c", "a"))
        for wanted in lists:
            assert await images.list(wanted, limit=10) == []
        ready = generating.completed(ContentInfoFactory.build(), at=NOON)
        await images.update(ready, expected=ImageStatus.GENERATING)
        for wanted in lists:
            assert await images.list(wanted, limit=10) == [ready]
        assert await images.list_tags(PUBLIC_TAGS, limit=10) == [TagCount(Tag("a"), 1), TagCount(Tag("c"), 1)]

    async def test_an_image_changes_lists_at_once(self, images: ImagePorts) -> None:
        image = await images.add(ImageFactory.build(author="ann", tags=("a", "b"), prompt="c"))
        hidden = image.changed(ImageChanges(visibility=Visibility.PRIVATE), at=NOON)
        await images.change(hidden, expected_version=1)
        for wanted in (PUBLIC, tagged("a"), tagged("a", "b"), with_words("c"), tagged("a", search=Search.parse("c"))):
            assert await images.list(wanted, limit=10) == []
            own = msgspec.structs.replace(wanted, author=ANN, visibility=None)
            assert await images.list(own, limit=10) == [hidden]
        assert await images.list_tags(PUBLIC_TAGS, limit=10) == []
        assert await images.list_tags(TagFilter(author=ANN), limit=10) == [
            TagCount(Tag("a"), 1),
            TagCount(Tag("b"), 1),
        ]
        shown = hidden.changed(ImageChanges(visibility=Visibility.PUBLIC, tags=["b", "c"]), at=NOON)
        await images.change(shown, expected_version=2)
        for wanted in (PUBLIC, tagged("b"), tagged("c", "b"), with_words("c")):
            assert await images.list(wanted, limit=10) == [shown]
        for wanted in (tagged("a"), tagged("a", "b"), tagged("a", visibility=None, author=ANN)):
            assert await images.list(wanted, limit=10) == []
        assert await images.list_tags(PUBLIC_TAGS, limit=10) == [TagCount(Tag("b"), 1), TagCount(Tag("c"), 1)]

    # aiomysql warns of what pixyproxy.adapters.mysql has it ignore; pytest sets up filters of its own.
    @pytest.mark.filterwarnings("ignore:Row .* was cut:pymysql.err.Warning")
    async def test_a_page_of_the_longest_prompts_is_complete(self, images: ImagePorts) -> None:
        prompts = [*("\N{FOX FACE}" * 32_000 for _ in range(12)), *("x" * 32_000 for _ in range(40)), "short"]
        added = [await images.add(ImageFactory.build(prompt=prompt)) for prompt in prompts]
        listed = await images.list(PUBLIC, limit=100)
        assert listed == sorted(added, key=ImagePosition.of, reverse=True)

    async def test_usage_of_any_json_is_complete(self, images: ImagePorts) -> None:
        usages = [{"tokens": 10**40, "cost": 0.1, "\ud800": ["日本", None, {"": "\0"}]}, {}, None]
        added = [await images.add(ImageFactory.build(usage=usage)) for usage in usages]
        assert await images.list(PUBLIC, limit=9) == sorted(added, key=ImagePosition.of, reverse=True)
        assert [await images.get(image.guid) for image in added] == added

    async def test_authors_are_compared_character_by_character(self, images: ImagePorts) -> None:
        await images.add(ImageFactory.build(author="ann", tags=("a",)))
        await images.add(ImageFactory.build(author=None, tags=("a",)))
        for other in ("Ann", "ANN", "änn", "an", "annn", "ann%", "_nn", "' OR '1'='1", "None", "%", "\\"):
            for tags in ((), (Tag("a"),)):
                assert await images.list(ImageFilter(author=UserName(other), tags=tags), limit=10) == []
            assert await images.list_tags(TagFilter(author=UserName(other)), limit=10) == []


AWKWARD_TAGS = [
    "cat", "Cat", "CAT", "cats", "ca", "c", "black cat", "black  cat", "black", "cat.", "cat\u200b", "100%", "100",
    "1004", "%", "a_b", "axb", "_", "\\", "\\\\", "\\%", "\\n", "'", '"', "*", "ä", "a\u0308", "a", "ß", "ss", "黒猫",
    "黒", "😀", "\ud7ff", "\ud7ffx", "\ue000", "\uffff", "\U0010ffff", "\U0010ffffx", "\U0010ffff\U0010ffff",
    "fox", "fox🦊",
]  # fmt: skip


class TestTags:
    """Lists by tag, and the tags themselves."""

    @pytest.fixture
    async def tagged_images(self, images: ImagePorts) -> Sequence[Image]:
        return [await images.add(ImageFactory.build(tags=(tag,))) for tag in AWKWARD_TAGS]

    async def test_a_tag_is_found_as_it_is_and_not_by_its_look_alikes(
        self, images: ImagePorts, tagged_images: Sequence[Image]
    ) -> None:
        for image, tag in zip(tagged_images, AWKWARD_TAGS, strict=True):
            assert await images.list(tagged(tag), limit=10) == [image]
            assert await images.count_listed(tagged(tag)) == 1

    async def test_all_tags_are_listed_in_the_order_of_their_code_points(
        self, images: ImagePorts, tagged_images: Sequence[Image]
    ) -> None:
        await images.add(ImageFactory.build(tags=("cat", "😀")))
        expected = [TagCount(Tag(tag), 1 + (tag in {"cat", "😀"})) for tag in sorted(AWKWARD_TAGS)]
        assert await images.list_tags(PUBLIC_TAGS, limit=100) == expected
        assert await images.list_tags(PUBLIC_TAGS, limit=100, descending=True) == expected[::-1]
        assert await images.list_tags(PUBLIC_TAGS, limit=3) == expected[:3]
        assert await images.list_tags(PUBLIC_TAGS, limit=3, descending=True) == expected[::-1][:3]

    async def test_tags_are_listed_by_prefix(self, images: ImagePorts, tagged_images: Sequence[Image]) -> None:
        for prefix in [*AWKWARD_TAGS, "", " ", "black ", "cat ", "x" * 64, "\x01", "C", "100%%", "\U0010ffff" * 64]:
            expected = sorted(tag for tag in AWKWARD_TAGS if tag.startswith(prefix))
            wanted = TagFilter(visibility=Visibility.PUBLIC, prefix=prefix)
            for descending in (False, True):
                found = await images.list_tags(wanted, limit=100, descending=descending)
                assert [each.tag for each in found] == (expected[::-1] if descending else expected)

    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize("prefix", ["", "c", "\ud7ff", "\U0010ffff"])
    async def test_pages_of_tags_follow_each_other(
        self, images: ImagePorts, tagged_images: Sequence[Image], prefix: str, *, descending: bool
    ) -> None:
        wanted = TagFilter(visibility=Visibility.PUBLIC, prefix=prefix)
        found: list[Tag] = []
        while page := await images.list_tags(
            wanted, limit=2, after=found[-1] if found else None, descending=descending
        ):
            assert len(page) <= 2
            found += [each.tag for each in page]
        assert found == sorted((tag for tag in AWKWARD_TAGS if tag.startswith(prefix)), reverse=descending)

    async def test_a_page_may_begin_after_a_tag_that_does_not_exist(self, images: ImagePorts) -> None:
        await images.add(ImageFactory.build(tags=("b",)))
        for after, descending in (("a", False), ("", False), ("B", False), ("c", True), ("bb", True), ("😀", True)):
            found = await images.list_tags(PUBLIC_TAGS, limit=10, after=Tag(after), descending=descending)
            assert [each.tag for each in found] == ["b"]
        for after, descending in (("c", False), ("b", False), ("b", True), ("a", True), ("bb", False)):
            assert await images.list_tags(PUBLIC_TAGS, limit=10, after=Tag(after), descending=descending) == []

    async def test_the_tags_of_public_images_and_of_ones_own_are_counted_apart(self, images: ImagePorts) -> None:
        await images.add(ImageFactory.build(author="ann", tags=("a", "b"), visibility=Visibility.PRIVATE))
        await images.add(ImageFactory.build(author="ann", tags=("b", "c")))
        await images.add(ImageFactory.build(author="bob", tags=("c", "d")))
        await images.add(ImageFactory.build(author=None, tags=("d",)))
        await images.add(FailedImageFactory.build(author="ann", tags=("a", "e")))
        expected: list[tuple[TagFilter, dict[str, int]]] = [
            (PUBLIC_TAGS, {"b": 1, "c": 2, "d": 2}),
            (TagFilter(author=ANN), {"a": 1, "b": 2, "c": 1}),
            (TagFilter(author=ANN, visibility=Visibility.PUBLIC), {"b": 1, "c": 1}),
            (TagFilter(author=ANN, visibility=Visibility.PRIVATE), {"a": 1, "b": 1}),
            (TagFilter(author=BOB), {"c": 1, "d": 1}),
        ]
        for wanted, counts in expected:
            found = await images.list_tags(wanted, limit=10)
            assert found == [TagCount(Tag(tag), number) for tag, number in counts.items()]


class TestSearch:
    """Lists by words; how a text becomes words is the domain's."""

    PROMPTS = (
        "The cat in the hat",
        "A black cat, and a dog",
        "cats",
        "catfish in it",
        "concatenate",
        "a",
        "it's Ünïcödé: straße, Ёлка",
        "黒猫が走る",
        "🦊 beside 🐱",
        "x" * 79 + "yz",
        "x" * 85,
        "zz zzcat",
        '"quoted" words',
        "100% C++ a_b",
        "?!",
    )

    FOUND: ClassVar = {
        "cat": [0, 1],
        "CAT": [0, 1],
        "cat*": [0, 1, 2, 3],
        "the": [0],
        "in": [0, 3],
        "a": [1, 5, 13],
        '"a b"': [13],
        "b*": [1, 8, 13],
        "it": [3, 6],
        "s": [6],
        "unicode": [6],
        "STRASSE": [6],
        "ёлка": [6],
        "猫": [7],
        "黒猫": [7],
        "猫黒": [],
        "黒 走": [7],
        "🦊": [8],
        "🐱 🦊": [8],
        "🦊🐱": [],
        "x" * 79 + "y": [9],
        "x" * 79 + "yq": [9],
        "x" * 90: [10],
        "x*": [9, 10],
        "x" * 79 + "*": [9, 10],
        "zz": [11],
        "zzcat": [11],
        "zzc*": [11],
        "quoted": [12],
        "100": [13],
        "c": [13],
        '"the cat"': [0],
        '"cat the"': [],
        '"in the h"*': [0],
        '"black cat" dog': [1],
        "+cat -dog": [1],
        "cat OR dog": [],
        "cat AND dog": [1],
        "NOT cat": [],
        "?!": [],
        "*": [],
        '""': [],
        "words:cat": [],
        "c" * 500: [],
    }

    async def test_words_are_found(self, images: ImagePorts) -> None:
        added = [
            await images.add(ImageFactory.build(prompt=prompt, created_at=NOON - number * SECOND))
            for number, prompt in enumerate(self.PROMPTS)
        ]
        for text, numbers in self.FOUND.items():
            expected = [added[number].guid for number in numbers]
            for limit in (20, max(1, len(expected))):
                assert await guids(images, with_words(text), limit=limit) == expected, text
            assert await images.count_listed(with_words(text)) == len(expected), text

    @pytest.mark.parametrize(
        "text",
        [
            " ".join(f"{number:x}" for number in range(150)),
            "".join(chr(0x4E00 + number) for number in range(500)),
            " ".join(chr(0x4E00 + number) for number in range(250)),
            " ".join(f"{chr(ord('a') + number // 26)}{chr(ord('a') + number % 26)}*" for number in range(125)),
            " ".join(["x" * 248] * 2),
            "ж" * 500,
        ],
        ids=["numbers", "one phrase", "many words", "many beginnings", "long words", "one long word"],
    )
    async def test_the_longest_texts_are_found(self, images: ImagePorts, text: str) -> None:
        added = await images.add(ImageFactory.build(prompt=text))
        await images.add(ImageFactory.build(prompt=text[: len(text) // 3].strip()))
        wanted = with_words(text[:500])

        async def are_counted() -> bool:
            return len(await images.list(wanted, limit=10)) == await images.count_listed(wanted)

        # A server that is just writing its full-text index to the disk may not find what is on the way.
        await eventually(are_counted)
        assert added in await images.list(wanted, limit=10)

    async def test_a_prompt_of_32_000_characters_is_found_by_its_last_word(self, images: ImagePorts) -> None:
        for prompt in ("word " * 6_398 + "last", "😀" * 31_995 + " last", "ж" * 31_995 + " last"):
            added = await images.add(ImageFactory.build(prompt=prompt))
            assert await images.list(with_words("last"), limit=1) == [added]
            await images.delete(added.guid, expected_version=1, lease_seconds=0.0)

    async def test_a_sender_is_found_only_where_senders_are_searched(
        self, images: ImagePorts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sender = Sender(client="OpenAI/Python 3.57.0", user="ann@example.org")
        found = await images.add(ImageFactory.build(author=ANN, prompt="a red fox", sender=sender, created_at=NOON))
        for number in range(4):
            await images.add(
                ImageFactory.build(author=ANN, prompt="a red hen", sender=None, created_at=NOON + timedelta(number))
            )
        # With 2, all but the first search use the full-text index.
        for sample in (list_queries.SAMPLE_SIZE, 2):
            monkeypatch.setattr(list_queries, "SAMPLE_SIZE", sample)
            monkeypatch.setattr(list_queries, "SEARCH_SCAN_SIZE", sample)
            for text in ("python", "fox openai", '"ann example"', "examp*", "fox red", "openai ann"):
                own = ImageFilter(author=ANN, search=Search.parse(text), searches_senders=True)
                assert await images.list(own, limit=10) == [found], text
                assert await images.count_listed(own) == 1
            for text in ('"fox openai"', '"red ann"', "fox hen", "zypython", "zy*"):
                own = ImageFilter(author=ANN, search=Search.parse(text), searches_senders=True)
                assert await images.list(own, limit=10) == [], text
            for text in ("python", "ann", "examp*", "zypython"):
                assert await images.list(with_words(text), limit=10) == [], text

    async def test_words_of_an_image_that_was_never_committed_or_is_deleted_are_not_found(
        self, images: ImagePorts
    ) -> None:
        first = await images.add(ImageFactory.build(prompt="a word"))
        with pytest.raises(Exception, match="stored already"):
            await images.add(ImageFactory.build(guid=first.guid, prompt="another word"))
        assert await images.list(with_words("another"), limit=10) == []
        await images.delete(first.guid, expected_version=1, lease_seconds=0.0)
        assert await images.list(with_words("word"), limit=10) == []
        assert await images.count_listed(with_words("word")) == 0


TAGS = [Tag(tag) for tag in ("cat", "Cat", "cats", "black cat", "100%", "\\", "ä", "黒猫")]
WORDS = [
    "a",
    "in",
    "the",
    "cat",
    "cats",
    "catfish",
    "Ünï",
    "黒猫",
    "🦊",
    "it's",
    "x" * 85,
    "x" * 79 + "é",
    '"cat',
    "zz",
]
TEXTS = (
    st.lists(st.sampled_from([*WORDS, "ca*", '"the cat"', '"in a"*', "猫", "x*", "+cat", "-", "un*"]), min_size=1).map(
        " ".join
    )
    | st.text('ab "*+-><()~@', min_size=1)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
).map(lambda text: text[:500])
GUIDS = st.integers(0, 15).map(lambda number: UUID(int=number << 124 | 7)) | st.uuids()
TIMES = st.integers(0, 6).map(lambda number: NOON + number * timedelta(microseconds=1))
ANY_TIMES = TIMES | st.sampled_from([START_OF_TIME, END_OF_TIME, datetime(1969, 1, 1, tzinfo=UTC)])
MODELS = ["m", "M", "m "]
MEDIA_TYPES = [MediaType.PNG, MediaType.JPEG]
BATCHES = [UUID(int=number << 96) for number in range(2)]
# Few, so that images refer to each other, to themselves, twice, and to images that never were.
PARENTS = [UUID(int=number << 124 | 7) for number in range(3)]
REFERENCES = st.sampled_from([Reference.to_image(guid) for guid in PARENTS])


SENDERS = st.tuples(st.sampled_from(WORDS), TEXTS).map(lambda texts: Sender.of(client=texts[0], user=texts[1]))


@st.composite
def stored_images(draw: st.DrawFn) -> Image:
    author = draw(st.sampled_from(["ann", "ann", "bob", None]))
    factory = draw(st.sampled_from([ImageFactory] * 5 + [PendingImageFactory, FailedImageFactory] * 2))
    prompt = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join) | TEXTS).strip() or "?"
    fields: dict[str, Any] = {
        "guid": draw(GUIDS),
        "created_at": draw(TIMES),
        "author": author,
        "visibility": draw(st.sampled_from(Visibility)) if author else Visibility.PUBLIC,
        "tags": tuple(draw(st.lists(st.sampled_from(TAGS), unique=True, max_size=4))),
        "model": draw(st.sampled_from(MODELS)),
        "request": GenerationRequest(
            prompt=prompt,
            references=tuple(draw(st.just([]) | st.lists(REFERENCES, max_size=3))),
            mask=draw(st.none() | REFERENCES),
        ),
        "batch": draw(
            st.none() | st.builds(BatchPlace, guid=st.sampled_from(BATCHES), position=st.just(0), size=st.just(2))
        ),
        "sender": draw(st.none() | SENDERS),
    }
    if factory is ImageFactory:
        fields["content"] = ContentInfoFactory.build(media_type=draw(st.sampled_from(MEDIA_TYPES)))
    return factory.build(**fields)


IMAGES = st.lists(stored_images(), max_size=8, unique_by=lambda image: image.guid)
FILTERS = st.builds(
    ImageFilter,
    status=st.sampled_from([ImageStatus.READY] * 4 + [ImageStatus.PENDING, ImageStatus.FAILED]),
    visibility=st.sampled_from([None, *Visibility]),
    author=st.sampled_from([None, ANN]),
    tags=st.just(()) | st.lists(st.sampled_from(TAGS), unique=True, max_size=3).map(tuple),
    model=st.sampled_from([None, None, *MODELS]),
    media_type=st.sampled_from([None, None, *MEDIA_TYPES]),
    created_after=st.none() | ANY_TIMES,
    created_before=st.none() | ANY_TIMES,
    search=st.none() | TEXTS.map(Search.parse),
    batch=st.sampled_from([None, None, None, *BATCHES]),
    derived_from=st.sampled_from([None, None, None, *PARENTS]),
    searches_senders=st.booleans(),
).filter(lambda wanted: wanted.visibility is not None or wanted.author is not None)
QUESTIONS = st.tuples(
    FILTERS, st.sampled_from(ImageOrder), st.none() | st.builds(ImagePosition, ANY_TIMES, GUIDS), st.integers(1, 9)
)


class TestLanguages:
    """Words of all languages, found by every repository alike."""

    async def test_words_of_all_languages(self, images: ImagePorts) -> None:
        guids = {
            prompt: (await images.add(ImageFactory.build(visibility=Visibility.PUBLIC, prompt=prompt))).guid
            for prompt in {prompt for prompt, _, _ in SEARCHES}
        }
        for prompt, query, wanted in SEARCHES:
            found = {image.guid for image in await images.list(with_words(query), limit=1_000)}
            assert (guids[prompt] in found) == wanted, (prompt, query)
            assert await images.count_listed(with_words(query)) == len(found)


class TestEquality:
    """All repositories find the same."""

    @thorough
    @given(
        sample=st.sampled_from([2, list_queries.SAMPLE_SIZE]),
        stored=IMAGES,
        questions=st.lists(QUESTIONS, min_size=3, max_size=8),
    )
    async def test_any_list_has_the_images_that_fit_in_their_order(
        self,
        images: ImagePorts,
        monkeypatch: pytest.MonkeyPatch,
        sample: int,
        stored: Sequence[Image],
        questions: Sequence[tuple[ImageFilter, ImageOrder, ImagePosition | None, int]],
    ) -> None:
        monkeypatch.setattr(list_queries, "SAMPLE_SIZE", sample)
        monkeypatch.setattr(list_queries, "SEARCH_SCAN_SIZE", sample)
        await empty(images)
        added = [await images.add(image) for image in stored]
        for wanted, order, after, limit in questions:
            everything = listed_by(wanted, added, order)
            following = [
                image
                for image in everything
                if after is None
                or (
                    ImagePosition.of(image) < after
                    if order is ImageOrder.NEWEST_FIRST
                    else ImagePosition.of(image) > after
                )
            ]
            assert await images.list(wanted, limit=limit, order=order, after=after) == following[:limit]
            assert await images.count_listed(wanted) == len(everything)

    @settings(thorough, max_examples=60)
    @given(prompts=st.lists(TEXTS, min_size=1, max_size=5), texts=st.lists(TEXTS, min_size=1, max_size=6))
    @example(prompts=["a\u0345\u0301", "ŉ ǰ ΐ"], texts=["ά", "ŉ", "*", "\x1f"])
    @example(prompts=["' OR 1=1 --", "\\", "%s %(match)s :match ?"], texts=["' OR 1=1 --", "\\", "%s", ":match", "'"])
    async def test_any_words_are_found_where_they_are(
        self, images: ImagePorts, prompts: Sequence[str], texts: Sequence[str]
    ) -> None:
        await empty(images)
        added = [
            await images.add(ImageFactory.build(prompt=prompt.strip() or "?", created_at=NOON)) for prompt in prompts
        ]
        for text in [*texts, *prompts]:
            wanted = with_words(text)
            expected = listed_by(wanted, added, ImageOrder.NEWEST_FIRST)
            assert await images.list(wanted, limit=10) == expected
            assert await images.count_listed(wanted) == len(expected)

    @settings(thorough, max_examples=40)
    @given(
        stored=st.lists(
            st.tuples(
                st.lists(
                    st.sampled_from(AWKWARD_TAGS)
                    | st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=4)
                    .map(str.strip)
                    .filter(bool),
                    unique=True,
                    max_size=5,
                ),
                st.sampled_from(Visibility),
                st.sampled_from([ANN, BOB]),
            ),
            max_size=6,
        ),
        questions=st.lists(
            st.tuples(
                st.sampled_from(
                    [
                        PUBLIC_TAGS,
                        TagFilter(author=ANN),
                        TagFilter(author=ANN, visibility=Visibility.PRIVATE),
                    ]
                ),
                st.sampled_from(["", *AWKWARD_TAGS])
                | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3),
                st.none() | st.sampled_from(AWKWARD_TAGS),
                st.booleans(),
                st.integers(1, 9),
            ),
            min_size=1,
            max_size=8,
        ),
    )
    async def test_any_list_of_tags_has_those_that_fit_in_their_order(
        self,
        images: ImagePorts,
        stored: Sequence[tuple[Sequence[str], Visibility, UserName]],
        questions: Sequence[tuple[TagFilter, str, Tag | None, bool, int]],
    ) -> None:
        await empty(images)
        added = [
            await images.add(ImageFactory.build(tags=tuple(tags), visibility=visibility, author=author))
            for tags, visibility, author in stored
        ]
        for base, prefix, after, descending, limit in questions:
            within = ImageFilter(visibility=base.visibility, author=base.author)
            of_images = [image.tags for image in added if within.fits(image)]
            tags = sorted({tag for each in of_images for tag in each if tag.startswith(prefix)}, reverse=descending)
            following = [tag for tag in tags if after is None or (tag < after if descending else tag > after)]
            expected = [TagCount(tag, sum(tag in each for each in of_images)) for tag in following[:limit]]
            wanted = msgspec.structs.replace(base, prefix=prefix)
            assert await images.list_tags(wanted, limit=limit, after=after, descending=descending) == expected


class TestPaging:
    """Paging by the use cases during writes; the unit tests page through many more lists in memory."""

    @brief
    @given(paging_strategies.pagings())
    async def test_each_image_is_shown_once_while_others_write(
        self, images: ImagePorts, paging: paging_strategies.Paging
    ) -> None:
        await empty(images)
        await paging_strategies.follow_images(images, paging)

    @brief
    @given(paging_strategies.pagings(), st.sampled_from(["", "se"]))
    async def test_each_tag_is_shown_once_while_others_write(
        self, images: ImagePorts, paging: paging_strategies.Paging, prefix: str
    ) -> None:
        await empty(images)
        await paging_strategies.follow_tags(images, paging, prefix)


class Tables(msgspec.Struct, frozen=True):
    """A repository in tables, and a way to run a plain statement following its back."""

    images: ImagePorts
    run: Callable[[str], Awaitable[Sequence[Sequence[Any]]]]


@pytest.fixture
def sqlite_tables(sqlite_images: ImagePorts, sqlite_database: SQLiteDatabase) -> Tables:
    async def run(sql: str) -> Sequence[Sequence[Any]]:
        async with sqlite_database.transaction() as connection:
            return list(await connection.execute_fetchall(sql))

    return Tables(sqlite_images, run)


@pytest.fixture
def mysql_tables(mysql_images: ImagePorts, mysql_database: MySQLDatabase) -> Tables:
    async def run(sql: str) -> Sequence[Sequence[Any]]:
        async with mysql_database.autocommit() as cursor:
            await cursor.execute(sql)
            rows: Sequence[Sequence[Any]] = await cursor.fetchall()
            return rows

    return Tables(mysql_images, run)


@pytest.fixture(params=["sqlite", "mysql"])
def tables(request: pytest.FixtureRequest) -> Tables:
    tables: Tables = request.getfixturevalue(f"{request.param}_tables")
    return tables


class TestTables:
    """Changes by plain SQL to the copies that lists use, and the repair of missing copies."""

    async def add(self, tables: Tables, count: int) -> list[Image]:
        fields: dict[str, Any] = {"author": "ann", "tags": ("a", "b"), "prompt": "some words"}
        return newest_first([await tables.images.add(ImageFactory.build(**fields)) for _ in range(count)])

    async def test_visibility_changed_by_plain_sql_holds_in_every_list(self, tables: Tables) -> None:
        image, other = await self.add(tables, 2)
        await tables.run(f"UPDATE images SET visibility = 'private' WHERE guid = '{image.guid}'")  # noqa: S608
        for wanted in (PUBLIC, tagged("a"), tagged("a", "b"), with_words("words")):
            assert await tables.images.list(wanted, limit=10) == [other]
        assert await tables.images.list_tags(PUBLIC_TAGS, limit=10) == [
            TagCount(Tag("a"), 1),
            TagCount(Tag("b"), 1),
        ]
        assert len(await tables.images.list(tagged("a", author=ANN, visibility=Visibility.PRIVATE), limit=10)) == 1
        await tables.run("UPDATE images SET status = 'pending'")
        assert await tables.images.list(tagged("a"), limit=10) == []
        assert await tables.images.list_tags(TagFilter(author=ANN), limit=10) == []

    async def test_an_image_deleted_by_plain_sql_leaves_no_tags_and_no_words(self, tables: Tables) -> None:
        image, other = await self.add(tables, 2)
        await tables.run(f"DELETE FROM images WHERE guid = '{image.guid}'")  # noqa: S608
        for wanted in (PUBLIC, tagged("a"), with_words("words")):
            assert await tables.images.list(wanted, limit=10) == [other]
            assert await tables.images.count_listed(wanted) == 1
        await tables.run("DELETE FROM images")
        for table in ("image_tags", "image_words"):
            ((number,),) = await tables.run(f"SELECT COUNT(*) FROM {table}")  # noqa: S608
            assert number == 0

    async def test_words_that_are_missing_are_made_again(self, tables: Tables) -> None:
        added = await self.add(tables, 5)
        assert await tables.images.make_searchable(limit=10) == []
        await tables.run("DELETE FROM image_words")
        assert await tables.images.list(with_words("words"), limit=10) == []
        ids = [image.id for image in sorted(added, key=lambda image: image.id or 0)]
        assert await tables.images.make_searchable(limit=2) == ids[:2]
        assert await tables.images.make_searchable(after=ids[2], limit=2) == ids[3:]
        assert await tables.images.make_searchable(limit=2) == ids[2:3]
        assert await tables.images.make_searchable(limit=2) == []
        assert await tables.images.list(with_words("words"), limit=10) == added
        assert await tables.images.count_listed(with_words('"some words"')) == 5

    async def test_words_of_senders_are_made_again(self, tables: Tables) -> None:
        image = await tables.images.add(ImageFactory.build(author=ANN, sender=Sender(key="studio")))
        wanted = ImageFilter(author=ANN, search=Search.parse("studio"), searches_senders=True)
        await tables.run("DELETE FROM image_words")
        assert await tables.images.list(wanted, limit=10) == []
        assert await tables.images.make_searchable(limit=10) == [image.id]
        assert await tables.images.list(wanted, limit=10) == [image]
        await tables.run("UPDATE image_words SET words = ' zzold '")
        assert image.id is not None
        assert await tables.images.rebuild_words(limit=10) == RebuiltIndex(image.id, 1)
        assert await tables.images.list(wanted, limit=10) == [image]

    async def test_words_of_an_older_version_are_rebuilt(self, tables: Tables) -> None:
        added = await self.add(tables, 5)
        ids = sorted(image.id for image in added if image.id is not None)
        assert await tables.images.rebuild_words(limit=10) == RebuiltIndex(ids[-1], 0)
        key = "image_id" if isinstance(tables.images, MySQLImageRepository) else "rowid"
        await tables.run(f"UPDATE image_words SET words = ' zzold ' WHERE {key} > {ids[0]} AND {key} < {ids[4]}")  # noqa: S608
        await tables.run(f"DELETE FROM image_words WHERE {key} = {ids[4]}")  # noqa: S608
        assert len(await tables.images.list(with_words("old"), limit=10)) == 3
        assert await tables.images.rebuild_words(limit=2) == RebuiltIndex(ids[1], 1)
        assert len(await tables.images.list(with_words("words"), limit=10)) == 2
        assert await tables.images.rebuild_words(after=ids[1], limit=2) == RebuiltIndex(ids[3], 2)
        assert await tables.images.rebuild_words(after=ids[3], limit=2) == RebuiltIndex(ids[4], 1)
        assert await tables.images.rebuild_words(after=ids[4], limit=2) is None
        assert await tables.images.list(with_words("words"), limit=10) == added
        assert await tables.images.list(with_words("old"), limit=10) == []

    async def test_several_may_rebuild_words_at_once_while_others_search_and_write(self, tables: Tables) -> None:
        added = await self.add(tables, 12)
        await tables.run("UPDATE image_words SET words = ' zzold '")

        async def rebuild() -> None:
            last = None
            while rebuilt := await tables.images.rebuild_words(after=last, limit=3):
                last = rebuilt.last
                assert len(await tables.images.list(with_words("some"), limit=20)) <= 15

        async def delete(image: Image) -> None:
            await tables.images.delete(image.guid, expected_version=1, lease_seconds=60.0)

        await asyncio.gather(rebuild(), rebuild(), rebuild(), self.add(tables, 3), *map(delete, added[::4]))
        assert await tables.images.count_listed(with_words("some")) == 12
        assert await tables.images.count_listed(with_words("old")) == 0

    async def test_several_may_make_words_at_once_while_others_write(self, tables: Tables) -> None:
        added = await self.add(tables, 12)
        await tables.run("DELETE FROM image_words")

        async def make() -> None:
            while await tables.images.make_searchable(limit=3):
                pass

        async def delete(image: Image) -> None:
            await tables.images.delete(image.guid, expected_version=1, lease_seconds=60.0)

        await asyncio.gather(make(), make(), make(), self.add(tables, 3), *map(delete, added[::4]))
        assert await tables.images.count_listed(with_words("some")) == 12
        ((number,),) = await tables.run("SELECT COUNT(*) FROM image_words")
        assert number == 12

    async def test_a_damaged_record_is_named_in_its_place_by_a_scan_and_found_by_nothing_else(
        self, tables: Tables
    ) -> None:
        added = sorted(await self.add(tables, 3), key=lambda image: str(image.guid))
        guid = added[1].guid
        await tables.run(f"UPDATE images SET filename = '../x' WHERE guid = '{guid}'")  # noqa: S608
        expected = [added[0], DamagedRecord(guid=str(guid)), added[2]]
        assert await tables.images.scan(limit=10) == expected
        assert await tables.images.scan(after=str(added[0].guid), limit=1) == expected[1:2]
        assert await tables.images.scan(after=str(guid), limit=10) == expected[2:]
        await tables.run(f"UPDATE images SET guid = 'no guid' WHERE guid = '{guid}'")  # noqa: S608
        assert await tables.images.scan(limit=10) == [added[0], added[2], DamagedRecord(guid="no guid")]
