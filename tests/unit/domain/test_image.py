"""Prompts, tags, file names, images, cursors."""

import re
from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pixyproxy.domain.errors import DataValidationError, RecordNotFoundError
from pixyproxy.domain.image import (
    CURSOR_PATTERN,
    FAILURE_MAX_LENGTH,
    ContentInfo,
    Image,
    ImageCursor,
    ImageScope,
    ImageStatus,
    MediaType,
    Prompt,
    Visibility,
    filename_for,
    image_not_found,
    parse_prompt,
    parse_tags,
)
from pixyproxy.domain.user import ANONYMOUS, Principal, UserName

GUID = UUID("0b6f1c1e-5d0e-4a39-9f43-5c8d3f6f2b11")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=30)
ANN = UserName("ann")
BOB = UserName("bob")
CONTENT = ContentInfo(media_type=MediaType.PNG, byte_size=3, sha256="0" * 64, width=1, height=1)

NASTY_PROMPTS = [
    "../../etc/passwd",
    "..\\..\\windows\\system32",
    "/etc/shadow",
    "a\0b",
    "\ud800",
    "😀🎨👩\u200d🎨",
    "\u202egnp.exe",
    "مرحبا بالعالم",
    "שלום עולם",
    "日本の灯台",
    "x" * 32_000,
    "ä" * 32_000,
    "😀" * 32_000,
    "CON",
    "nul",
    "LPT1",
    "aux.png",
    ".",
    "..",
    ".htaccess",
    "-rf *",
    "--help",
    "~root",
    "$(reboot)",
    "`reboot`",
    "a;b|c&d",
    'say "hi"',
    "line\nbreak\r\n",
    "%2e%2e%2f",
    "&#46;&#46;&#47;",
    "&lt;b&gt;",
    "   ",
    "",
]

# What 14 hexadecimal digits of microseconds hold: until the year 4253.
TIMES = st.integers(0, 16**14 - 1).map(lambda microseconds: EPOCH + timedelta(microseconds=microseconds))

SAFE_FILENAME = re.compile(
    r"[a-z0-9]+(-[a-z0-9]+)*-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(\.(png|jpg|webp|gif))?", re.ASCII
)


def an_image(**changes: Any) -> Image:
    """Build an image from a valid pending one and `changes`."""
    valid = Image.requested(
        guid=GUID,
        prompt="A lighthouse at dusk",
        tags=["sea", "night"],
        visibility=Visibility.PUBLIC,
        principal=Principal(name=ANN),
        model="some-model",
        at=NOON,
    )
    return msgspec.structs.replace(valid, **changes)


class TestPrompt:
    @pytest.mark.parametrize("text", ["a", "x" * 32_000, "😀" * 32_000, "line\nbreak", "a\tb", "e\u0301"])
    def test_1_to_32000_characters_are_kept_as_they_are(self, text: str) -> None:
        assert parse_prompt(text) == text

    def test_the_white_space_around_is_trimmed(self) -> None:
        assert parse_prompt(" \n\t\u3000a lighthouse \r\n") == "a lighthouse"

    def test_the_length_is_measured_after_trimming(self) -> None:
        assert len(parse_prompt(" " * 50_000 + "x" * 32_000 + "\n")) == 32_000

    @pytest.mark.parametrize("text", ["", " ", "\n\t \u3000", "x" * 32_001, "😀" * 32_001])
    def test_blank_and_too_long_ones_are_refused(self, text: str) -> None:
        with pytest.raises(DataValidationError, match="1 to 32,000 characters") as caught:
            parse_prompt(text)
        assert caught.value.field == "prompt"

    @pytest.mark.parametrize("text", ["a\0b", "\0", "\ud83d", "a \udc00 b"])
    def test_nul_and_lone_surrogates_are_refused(self, text: str) -> None:
        with pytest.raises(DataValidationError, match=r"NUL|surrogate") as caught:
            parse_prompt(text)
        assert caught.value.field == "prompt"

    @given(st.text())
    def test_a_parsed_prompt_parses_to_itself(self, text: str) -> None:
        try:
            prompt = parse_prompt(text)
        except DataValidationError:
            return
        assert parse_prompt(prompt) == prompt


class TestTags:
    def test_there_may_be_none(self) -> None:
        assert parse_tags([]) == ()

    def test_they_keep_their_order(self) -> None:
        assert parse_tags(["sea", "art", "night"]) == ("sea", "art", "night")

    @pytest.mark.parametrize("tag", ["a", "x" * 64, "😀" * 64, "two words", "a:b,c/d"])
    def test_1_to_64_characters_are_kept_as_they_are(self, tag: str) -> None:
        assert parse_tags([tag]) == (tag,)

    @pytest.mark.parametrize("tag", ["", "x" * 65, " a", "a ", "a\nb", "a\0", "\ud800"])
    def test_the_one_that_breaks_a_rule_is_named(self, tag: str) -> None:
        with pytest.raises(DataValidationError) as caught:
            parse_tags(["fine", tag])
        assert caught.value.field == "tags[1]"

    def test_32_are_accepted_and_33_are_not(self) -> None:
        tags = [str(number) for number in range(33)]
        assert len(parse_tags(tags[:32])) == 32
        with pytest.raises(DataValidationError, match="at most 32, not 33"):
            parse_tags(tags)

    def test_duplicates_are_refused(self) -> None:
        with pytest.raises(DataValidationError, match="duplicates") as caught:
            parse_tags(["sea", "art", "sea"])
        assert caught.value.field == "tags"

    def test_tags_that_differ_in_case_are_no_duplicates(self) -> None:
        assert parse_tags(["sea", "Sea"]) == ("sea", "Sea")


class TestFilename:
    def test_it_reads_like_the_prompt(self) -> None:
        assert filename_for("A Lighthouse, at dusk!", GUID, MediaType.PNG) == f"a-lighthouse-at-dusk-{GUID}.png"

    @pytest.mark.parametrize(
        ("media_type", "extension"),
        [(MediaType.PNG, ".png"), (MediaType.JPEG, ".jpg"), (MediaType.WEBP, ".webp"), (MediaType.GIF, ".gif")],
    )
    def test_it_ends_with_the_extension_of_the_media_type(self, media_type: MediaType, extension: str) -> None:
        assert media_type.extension == extension
        assert filename_for("a", GUID, media_type) == f"a-{GUID}{extension}"

    def test_it_has_no_extension_as_long_as_the_media_type_is_unknown(self) -> None:
        assert filename_for("a", GUID) == f"a-{GUID}"

    def test_a_prompt_without_any_letter_still_gives_a_name(self) -> None:
        assert filename_for("😀 !?", GUID, MediaType.PNG) == f"image-{GUID}.png"

    def test_the_same_prompt_never_gives_the_same_name_twice(self) -> None:
        assert filename_for("a", uuid4(), MediaType.PNG) != filename_for("a", uuid4(), MediaType.PNG)

    @pytest.mark.parametrize("prompt", NASTY_PROMPTS, ids=lambda prompt: ascii(prompt[:20]))
    def test_it_is_safe_for_nasty_prompts(self, prompt: str) -> None:
        filename = filename_for(prompt, GUID, MediaType.WEBP)
        assert SAFE_FILENAME.fullmatch(filename)
        assert filename.endswith(f"-{GUID}.webp")
        assert len(filename.encode()) <= 255

    @given(prompt=st.text(), guid=st.uuids(), media_type=st.none() | st.sampled_from(MediaType))
    def test_it_is_safe_for_any_prompt(self, prompt: str, guid: UUID, media_type: MediaType | None) -> None:
        filename = filename_for(prompt, guid, media_type)
        assert SAFE_FILENAME.fullmatch(filename)
        assert filename[0] not in ".-"
        assert filename.endswith(f"-{guid}{media_type.extension if media_type else ''}")
        assert len(filename.encode()) <= 255

    @given(st.text("aä😀 -_./\\&;#x41ﬃﷺ", min_size=60, max_size=400))
    def test_it_is_safe_for_long_prompts_of_troublesome_characters(self, prompt: str) -> None:
        filename = filename_for(prompt, GUID, MediaType.JPEG)
        assert SAFE_FILENAME.fullmatch(filename)
        assert len(filename.encode()) <= 255


class TestContentInfo:
    @pytest.mark.parametrize("field", ["byte_size", "width", "height"])
    @pytest.mark.parametrize("value", [0, -1])
    def test_it_is_never_empty(self, field: str, value: int) -> None:
        with pytest.raises(DataValidationError, match="empty"):
            msgspec.structs.replace(CONTENT, **{field: value})

    @pytest.mark.parametrize("sha256", ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "0" * 64 + "\n", "\u0660" * 64])
    def test_its_digest_is_64_hexadecimal_digits_in_lower_case(self, sha256: str) -> None:
        with pytest.raises(DataValidationError) as caught:
            msgspec.structs.replace(CONTENT, sha256=sha256)
        assert caught.value.field == "sha256"


class TestInvariants:
    """Nothing invalid can be built, whoever builds it."""

    @pytest.mark.parametrize("prompt", ["", " ", " a", "a ", "a\0", "x" * 32_001])
    def test_the_prompt_keeps_its_rules(self, prompt: str) -> None:
        with pytest.raises(DataValidationError) as caught:
            an_image(prompt=prompt)
        assert caught.value.field == "prompt"

    @pytest.mark.parametrize("tags", [("a", "a"), ("",), ("x" * 65,), tuple(str(number) for number in range(33))])
    def test_the_tags_keep_their_rules(self, tags: tuple[str, ...]) -> None:
        with pytest.raises(DataValidationError) as caught:
            an_image(tags=tags)
        assert caught.value.field.startswith("tags")

    @pytest.mark.parametrize("filename", ["a.png", "x" * 255, "a-b_c.d", "0"])
    def test_a_safe_filename_is_accepted(self, filename: str) -> None:
        assert an_image(filename=filename).filename == filename

    @pytest.mark.parametrize(
        "filename",
        ["", ".", "..", ".a", "-a", "../a", "a/b", "a\\b", "a b", "a\0", "a\n", "x" * 256, "ä", "\ud800", "a:b"],
    )
    def test_a_filename_that_is_not_safe_is_refused(self, filename: str) -> None:
        with pytest.raises(DataValidationError) as caught:
            an_image(filename=filename)
        assert caught.value.field == "filename"

    @pytest.mark.parametrize("author", ["", "a:b", "x" * 65, "Zoe\u0308"])
    def test_the_author_is_a_user_name(self, author: str) -> None:
        with pytest.raises(DataValidationError):
            an_image(author=author)

    def test_a_private_image_has_an_author(self) -> None:
        with pytest.raises(DataValidationError) as caught:
            an_image(visibility=Visibility.PRIVATE, author=None)
        assert caught.value.field == "visibility"
        assert an_image(visibility=Visibility.PUBLIC, author=None).author is None

    @pytest.mark.parametrize("status", ImageStatus)
    @pytest.mark.parametrize("content", [None, CONTENT])
    @pytest.mark.parametrize("failure", [None, "no reason"])
    def test_content_and_failure_fit_the_status(
        self, status: ImageStatus, content: ContentInfo | None, failure: str | None
    ) -> None:
        fitting = {
            (ImageStatus.PENDING, None, None),
            (ImageStatus.READY, CONTENT, None),
            (ImageStatus.FAILED, None, "no reason"),
        }
        if (status, content, failure) in fitting:
            an_image(status=status, content=content, failure=failure)
        else:
            with pytest.raises(DataValidationError):
                an_image(status=status, content=content, failure=failure)

    @pytest.mark.parametrize("field", ["created_at", "updated_at"])
    @pytest.mark.parametrize("zone", [None, timezone(timedelta(hours=2))])
    def test_the_times_are_in_utc(self, field: str, zone: timezone | None) -> None:
        with pytest.raises(DataValidationError, match="UTC") as caught:
            an_image(**{field: NOON.replace(tzinfo=zone)})
        assert caught.value.field == field

    def test_an_image_can_not_be_changed(self) -> None:
        with pytest.raises(AttributeError):
            an_image().prompt = Prompt("another")  # type: ignore[misc]


class TestLife:
    def test_a_requested_image_is_pending_and_belongs_to_who_asked(self) -> None:
        image = Image.requested(
            guid=GUID,
            prompt="  A lighthouse\n",
            tags=["sea"],
            visibility=Visibility.PRIVATE,
            principal=Principal(name=ANN),
            model="some-model",
            at=NOON,
        )
        assert image == Image(
            guid=GUID,
            filename=f"a-lighthouse-{GUID}",
            prompt=Prompt("A lighthouse"),
            tags=parse_tags(["sea"]),
            author=ANN,
            visibility=Visibility.PRIVATE,
            status=ImageStatus.PENDING,
            model="some-model",
            created_at=NOON,
            updated_at=NOON,
        )

    @pytest.mark.parametrize(("prompt", "tags"), [("", []), ("a", ["", "b"]), ("a\0", []), ("a", ["b", "b"])])
    def test_bad_input_is_refused_before_anything_is_requested(self, prompt: str, tags: list[str]) -> None:
        with pytest.raises(DataValidationError):
            Image.requested(
                guid=GUID,
                prompt=prompt,
                tags=tags,
                visibility=Visibility.PUBLIC,
                principal=ANONYMOUS,
                model="some-model",
                at=NOON,
            )

    def test_a_completed_image_is_ready_and_named_after_its_media_type(self) -> None:
        pending = an_image()
        ready = pending.completed(CONTENT, {"total_tokens": 7}, at=LATER)
        assert ready == msgspec.structs.replace(
            pending,
            status=ImageStatus.READY,
            filename=pending.filename + ".png",
            content=CONTENT,
            usage={"total_tokens": 7},
            updated_at=LATER,
        )

    def test_a_failed_image_keeps_the_reason(self) -> None:
        pending = an_image()
        assert pending.failed("The generator refused.", at=LATER) == msgspec.structs.replace(
            pending, status=ImageStatus.FAILED, failure="The generator refused.", updated_at=LATER
        )

    def test_1000_characters_of_the_reason_are_kept(self) -> None:
        assert an_image().failed("😀" * 2_000, at=LATER).failure == "😀" * FAILURE_MAX_LENGTH

    def test_a_ready_image_can_not_fail_and_a_failed_one_can_not_become_ready(self) -> None:
        with pytest.raises(DataValidationError):
            an_image().completed(CONTENT, None, at=LATER).failed("too late", at=LATER)
        with pytest.raises(DataValidationError):
            an_image().failed("no", at=LATER).completed(CONTENT, None, at=LATER)

    def test_the_content_key_is_the_guid(self) -> None:
        assert an_image().content_key == str(GUID)

    def test_only_a_ready_image_has_ready_content(self) -> None:
        assert an_image().completed(CONTENT, None, at=LATER).ready_content == CONTENT
        for image in (an_image(), an_image().failed("no", at=LATER)):
            with pytest.raises(RecordNotFoundError):
                _ = image.ready_content


# Every combination that is not here is not readable.
READABLE = {
    (ImageStatus.READY, Visibility.PUBLIC, None, None, ImageScope.PUBLIC),
    (ImageStatus.READY, Visibility.PUBLIC, None, ANN, ImageScope.PUBLIC),
    (ImageStatus.READY, Visibility.PUBLIC, None, BOB, ImageScope.PUBLIC),
    (ImageStatus.READY, Visibility.PUBLIC, ANN, None, ImageScope.PUBLIC),
    (ImageStatus.READY, Visibility.PUBLIC, ANN, ANN, ImageScope.PUBLIC),
    (ImageStatus.READY, Visibility.PUBLIC, ANN, BOB, ImageScope.PUBLIC),
    (ImageStatus.READY, Visibility.PUBLIC, ANN, ANN, ImageScope.OWN),
    (ImageStatus.READY, Visibility.PRIVATE, ANN, ANN, ImageScope.OWN),
}


@pytest.mark.parametrize(
    ("status", "visibility", "author", "name", "scope"),
    [
        case
        for case in product(ImageStatus, Visibility, [None, ANN], [None, ANN, BOB], ImageScope)
        if case[1:3] != (Visibility.PRIVATE, None)
    ],
)
def test_who_may_read_what(
    status: ImageStatus, visibility: Visibility, author: UserName | None, name: UserName | None, scope: ImageScope
) -> None:
    image = an_image(
        status=status,
        visibility=visibility,
        author=author,
        content=CONTENT if status is ImageStatus.READY else None,
        failure="no" if status is ImageStatus.FAILED else None,
    )
    principal = Principal(name=name)
    if (status, visibility, author, name, scope) in READABLE:
        assert image.is_readable_by(principal, scope)
        image.ensure_readable_by(principal, scope)
    else:
        assert not image.is_readable_by(principal, scope)
        with pytest.raises(RecordNotFoundError) as caught:
            image.ensure_readable_by(principal, scope)
        assert caught.value.detail == image_not_found(GUID).detail


class TestCursor:
    @given(created_at=TIMES, guid=st.uuids())
    def test_what_is_written_is_read_back(self, created_at: datetime, guid: UUID) -> None:
        cursor = ImageCursor(created_at, guid)
        assert re.fullmatch(CURSOR_PATTERN, str(cursor))
        assert ImageCursor.parse(str(cursor)) == cursor

    @given(st.text("0123456789abcdef", min_size=46, max_size=46))
    @example("f" * 46)
    @example("0" * 46)
    def test_every_text_of_the_pattern_is_a_cursor(self, text: str) -> None:
        assert re.fullmatch(CURSOR_PATTERN, text)
        cursor = ImageCursor.parse(text)
        assert cursor.created_at.utcoffset() == timedelta(0)
        assert str(cursor) == text

    @given(st.text() | st.text("0123456789abcdef", min_size=40, max_size=50))
    @example("0" * 45)
    @example("0" * 47)
    @example("0" * 46 + "\n")
    @example("0" * 45 + "G")
    @example("0" * 45 + "A")
    @example("\u0660" * 46)
    @example(" " + "0" * 45)
    @example("0x" + "0" * 44)
    @example("-" + "0" * 45)
    @example("0_" * 23)
    def test_every_other_text_is_refused(self, text: str) -> None:
        if len(text) == 46 and set(text) <= set("0123456789abcdef"):
            return
        with pytest.raises(DataValidationError) as caught:
            ImageCursor.parse(text)
        assert caught.value.field == "cursor"

    def test_it_stands_behind_its_image(self) -> None:
        assert ImageCursor.behind(an_image()) == ImageCursor(NOON, GUID)

    @given(st.lists(st.tuples(TIMES, st.uuids()), min_size=2))
    def test_cursors_sort_as_their_texts_do(self, places: list[tuple[datetime, UUID]]) -> None:
        texts = [str(ImageCursor(created_at, guid)) for created_at, guid in sorted(places)]
        assert texts == sorted(texts)
