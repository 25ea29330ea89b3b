"""Prompts, tags, file names, images, and access to them."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.domain import errors
from pixyproxy.domain.content import ContentInfo, MediaType, filename_for
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    DataValidationError,
    GenerationError,
    GenerationFailedError,
    GenerationOptionError,
    GenerationRateLimitedError,
    GenerationRefusedError,
    GenerationTimedOutError,
    OperationNotAllowedError,
    RecordNotFoundError,
)
from pixyproxy.domain.failure import FAILURE_MAX_LENGTH, Failure
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageChanges, ImageScope, ImageStatus, Visibility, image_not_found
from pixyproxy.domain.tag import parse_tags
from pixyproxy.domain.user import ANONYMOUS, Principal, UserName

GUID = UUID("0b6f1c1e-5d0e-4a39-9f43-5c8d3f6f2b11")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=30)
ANN = UserName("ann")
BOB = UserName("bob")
CONTENT = ContentInfo(media_type=MediaType.PNG, byte_size=3, sha256="0" * 64, width=1, height=1)
FAILURE = Failure(kind="GenerationRefusedError", detail="no", maybe_billed=False)
REFUSAL = GenerationRefusedError("no", maybe_billed=False)
TIME_OVER = GenerationTimedOutError("too late", maybe_billed=True)
GENERATION_ERRORS: list[type[GenerationError]] = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GenerationError)
]

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

SAFE_FILENAME = re.compile(
    r"[a-z0-9]+(-[a-z0-9]+)*-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(\.(png|jpg|webp|gif|svg))?", re.ASCII
)


def an_image(**changes: Any) -> Image:
    """Build an image from a valid pending one and `changes`."""
    if "prompt" in changes:
        changes["request"] = GenerationRequest(prompt=changes.pop("prompt"))
    valid = Image.requested(
        guid=GUID,
        request=GenerationRequest(prompt="A lighthouse at dusk"),
        tags=["sea", "night"],
        visibility=Visibility.PUBLIC,
        principal=Principal(name=ANN),
        model="some-model",
        at=NOON,
    )
    return msgspec.structs.replace(valid, **changes)


def an_image_that_is(status: ImageStatus, **changes: Any) -> Image:
    """Build an image in any state."""
    content = CONTENT if status is ImageStatus.READY else None
    failure = FAILURE if status in {ImageStatus.FAILED, ImageStatus.UNKNOWN} else None
    return an_image(status=status, content=content, failure=failure, **changes)


def drawn_transitions() -> set[tuple[ImageStatus, ImageStatus]]:
    """Return the arrows of the drawing in the docstring of `ImageStatus`: each line of it goes from state to state."""
    drawing = (ImageStatus.__doc__ or "").split("::", 1)[1].split("- `pending`", 1)[0].splitlines()
    states = {
        (row, column): ImageStatus(match.group())
        for row, line in enumerate(drawing)
        for match in re.finditer(r"[a-z]+", line)
        for column in range(match.start(), match.end())
    }
    grid = {(row, column): glyph for row, line in enumerate(drawing) for column, glyph in enumerate(line)}
    arrows = set()
    for place, state in states.items():
        for step in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            neighbour = (place[0] + step[0], place[1] + step[1])
            # A line beside a state has one blank between.
            if step[0] == 0 and grid.get(neighbour) == " ":
                neighbour = (neighbour[0], neighbour[1] + step[1])
            arrows |= {(state, end) for end in ends(grid, states, neighbour, step)}
    return arrows


STEPS = {
    "─": {(0, 1), (0, -1)},
    "│": {(1, 0), (-1, 0)},
    "└": {(-1, 0), (0, 1)},
    "┘": {(-1, 0), (0, -1)},
    "┌": {(1, 0), (0, 1)},
    "┐": {(1, 0), (0, -1)},
}
HEADS = {"►": (0, 1), "◄": (0, -1), "▲": (-1, 0), "▼": (1, 0)}


def ends(
    grid: dict[tuple[int, int], str],
    states: dict[tuple[int, int], ImageStatus],
    place: tuple[int, int],
    step: tuple[int, int],
) -> set[ImageStatus]:
    """Follow a line that enters `place` by `step`, and return the state that its arrow's head points at."""
    while (glyph := grid.get(place, " ")) in STEPS:
        back = (-step[0], -step[1])
        if back not in STEPS[glyph]:
            return set()
        (step,) = STEPS[glyph] - {back}
        place = (place[0] + step[0], place[1] + step[1])
    if HEADS.get(glyph) != step:
        return set()
    place = (place[0] + step[0], place[1] + step[1])
    if step[0] == 0 and grid.get(place) == " ":
        place = (place[0], place[1] + step[1])
    return {states[place]}


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
        [
            (MediaType.PNG, ".png"),
            (MediaType.JPEG, ".jpg"),
            (MediaType.WEBP, ".webp"),
            (MediaType.GIF, ".gif"),
            (MediaType.SVG, ".svg"),
        ],
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
            msgspec.structs.replace(CONTENT, **{field: value}).ensure_valid()

    @pytest.mark.parametrize("sha256", ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "0" * 64 + "\n", "\u0660" * 64])
    def test_its_digest_is_64_hexadecimal_digits_in_lower_case(self, sha256: str) -> None:
        with pytest.raises(DataValidationError) as caught:
            msgspec.structs.replace(CONTENT, sha256=sha256).ensure_valid()
        assert caught.value.field == "sha256"


class TestInvariants:
    """`ensure_valid` refuses an image that breaks a rule, and so do the methods that return another image."""

    @pytest.mark.parametrize("prompt", ["", " ", " a", "a ", "a\0", "x" * 32_001])
    def test_the_prompt_keeps_its_rules(self, prompt: str) -> None:
        with pytest.raises(DataValidationError) as caught:
            an_image(prompt=prompt).ensure_valid()
        assert caught.value.field == "prompt"

    @pytest.mark.parametrize("tags", [("a", "a"), ("",), ("x" * 65,), tuple(str(number) for number in range(33))])
    def test_the_tags_keep_their_rules(self, tags: tuple[str, ...]) -> None:
        with pytest.raises(DataValidationError) as caught:
            an_image(tags=tags).ensure_valid()
        assert caught.value.field.startswith("tags")

    @pytest.mark.parametrize("filename", ["a.png", "x" * 255, "a-b_c.d", "0"])
    def test_a_safe_filename_is_accepted(self, filename: str) -> None:
        assert an_image(filename=filename).ensure_valid().filename == filename

    @pytest.mark.parametrize(
        "filename",
        ["", ".", "..", ".a", "-a", "../a", "a/b", "a\\b", "a\0", "a\n", "x" * 256, "\ud800", "a:b"],
    )
    def test_a_filename_that_is_not_safe_is_refused(self, filename: str) -> None:
        with pytest.raises(DataValidationError) as caught:
            an_image(filename=filename).ensure_valid()
        assert caught.value.field == "filename"

    @pytest.mark.parametrize("author", ["", "a:b", "x" * 65])
    def test_the_author_is_a_user_name(self, author: str) -> None:
        with pytest.raises(DataValidationError):
            an_image(author=author).ensure_valid()

    def test_a_private_image_without_an_author_is_not_readable(self) -> None:
        for status in ImageStatus:
            image = an_image_that_is(status, author=None, visibility=Visibility.PRIVATE)
            for principal in (Principal(), Principal(name=UserName("ann"))):
                for scope in ImageScope:
                    assert not image.is_readable_by(principal, scope)
                    with pytest.raises(RecordNotFoundError):
                        image.ensure_visible_to(principal, scope)
                with pytest.raises(RecordNotFoundError):
                    image.ensure_changeable_by(principal)

    def test_no_private_image_is_asked_for_without_an_author(self) -> None:
        with pytest.raises(DataValidationError, match="must be public for an image without an author"):
            Image.requested(
                guid=GUID,
                request=GenerationRequest(prompt="A fox"),
                tags=(),
                visibility=Visibility.PRIVATE,
                principal=Principal(),
                model="",
                at=NOON,
            )

    @pytest.mark.parametrize("status", ImageStatus)
    @pytest.mark.parametrize("content", [None, CONTENT])
    @pytest.mark.parametrize("failure", [None, FAILURE])
    def test_content_and_failure_fit_the_status(
        self, status: ImageStatus, content: ContentInfo | None, failure: Failure | None
    ) -> None:
        fitting = {
            (ImageStatus.PENDING, None, None),
            (ImageStatus.GENERATING, None, None),
            (ImageStatus.READY, CONTENT, None),
            (ImageStatus.FAILED, None, FAILURE),
            (ImageStatus.UNKNOWN, None, FAILURE),
        }
        if (status, content, failure) in fitting:
            an_image(status=status, content=content, failure=failure).ensure_valid()
        else:
            with pytest.raises(DataValidationError):
                an_image(status=status, content=content, failure=failure).ensure_valid()

    @pytest.mark.parametrize("field", ["created_at", "updated_at"])
    @pytest.mark.parametrize("zone", [None, timezone(timedelta(hours=2))])
    def test_the_times_are_in_utc(self, field: str, zone: timezone | None) -> None:
        with pytest.raises(DataValidationError, match="UTC") as caught:
            an_image(**{field: NOON.replace(tzinfo=zone)}).ensure_valid()
        assert caught.value.field == field

    def test_no_method_returns_an_invalid_image(self) -> None:
        local = NOON.replace(tzinfo=None)
        with pytest.raises(DataValidationError, match="UTC"):
            an_image_that_is(ImageStatus.READY).changed(ImageChanges(tags=["new"]), at=local)
        with pytest.raises(DataValidationError, match="UTC"):
            an_image_that_is(ImageStatus.PENDING).started(at=local)
        with pytest.raises(DataValidationError, match="empty"):
            an_image_that_is(ImageStatus.GENERATING).completed(msgspec.structs.replace(CONTENT, width=0), at=NOON)
        with pytest.raises(DataValidationError, match="UTC"):
            Image.requested(
                guid=GUID,
                request=GenerationRequest(prompt="A fox"),
                tags=(),
                visibility=Visibility.PUBLIC,
                principal=Principal(),
                model="",
                at=local,
            )

    def test_an_image_can_not_be_changed(self) -> None:
        with pytest.raises(AttributeError):
            an_image().model = "another"  # type: ignore[misc]


class TestLife:
    def test_a_requested_image_is_pending_and_belongs_to_its_author(self) -> None:
        image = Image.requested(
            guid=GUID,
            request=GenerationRequest(prompt="  A lighthouse\n"),
            tags=["sea"],
            visibility=Visibility.PRIVATE,
            principal=Principal(name=ANN),
            model="some-model",
            at=NOON,
        )
        assert image == Image(
            guid=GUID,
            filename=f"a-lighthouse-{GUID}",
            request=GenerationRequest(prompt="A lighthouse"),
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
                request=GenerationRequest(prompt=prompt),
                tags=tags,
                visibility=Visibility.PUBLIC,
                principal=ANONYMOUS,
                model="some-model",
                at=NOON,
            )

    def test_a_started_image_is_being_made(self) -> None:
        assert an_image().started(at=LATER) == an_image(status=ImageStatus.GENERATING, updated_at=LATER, version=2)

    def test_a_completed_image_is_ready_and_named_after_its_media_type(self) -> None:
        generating = an_image_that_is(ImageStatus.GENERATING)
        ready = generating.completed(CONTENT, {"total_tokens": 7}, "req_1", at=LATER)
        assert ready == msgspec.structs.replace(
            generating,
            status=ImageStatus.READY,
            filename=generating.filename + ".png",
            content=CONTENT,
            usage={"total_tokens": 7},
            generator_request_id="req_1",
            updated_at=LATER,
            version=generating.version + 1,
        )

    def test_a_failed_image_keeps_the_reason(self) -> None:
        error = GenerationRefusedError("The generator refused.", maybe_billed=True, request_id="req_1")
        for image in (an_image(), an_image_that_is(ImageStatus.GENERATING)):
            assert image.failed(error, at=LATER) == msgspec.structs.replace(
                image,
                status=ImageStatus.FAILED,
                failure=Failure(kind="GenerationRefusedError", detail="The generator refused.", maybe_billed=True),
                generator_request_id="req_1",
                updated_at=LATER,
                version=image.version + 1,
            )

    @pytest.mark.parametrize("kind", GENERATION_ERRORS)
    def test_an_image_is_unknown_exactly_if_the_generator_may_still_be_at_work_on_it(
        self, kind: type[GenerationError]
    ) -> None:
        image = an_image_that_is(ImageStatus.GENERATING).failed(kind("no", maybe_billed=True), at=LATER)
        assert image.status is (ImageStatus.FAILED if kind.is_outcome_known else ImageStatus.UNKNOWN)
        assert image.failure == Failure(kind=kind.__name__, detail="no", maybe_billed=True)

    def test_an_unknown_image_whose_content_turns_up_is_ready_and_has_failed_no_more(self) -> None:
        error = GenerationTimedOutError("too late", maybe_billed=True, request_id="req_1")
        unknown = an_image_that_is(ImageStatus.GENERATING).failed(error, at=NOON)
        ready = unknown.completed(CONTENT, at=LATER)
        assert (ready.status, ready.content, ready.failure) == (ImageStatus.READY, CONTENT, None)
        assert ready.generation_error is None
        assert ready.generator_request_id == "req_1"
        assert unknown.completed(CONTENT, None, "req_2", at=LATER).generator_request_id == "req_2"

    def test_a_failure_that_names_no_attempt_leaves_the_name_that_is_known(self) -> None:
        image = an_image(generator_request_id="req_1")
        assert image.failed(REFUSAL, at=LATER).generator_request_id == "req_1"

    def test_1000_characters_of_the_reason_are_kept(self) -> None:
        failure = an_image().failed(GenerationRefusedError("😀" * 2_000, maybe_billed=False), at=LATER).failure
        assert failure
        assert failure.detail == "😀" * FAILURE_MAX_LENGTH

    def test_why_there_is_no_content_can_be_raised_again(self) -> None:
        error = an_image().failed(REFUSAL, at=LATER).generation_error
        assert type(error) is GenerationRefusedError
        assert (error.detail, error.maybe_billed, error.guid) == ("no", False, GUID)
        for status in (ImageStatus.PENDING, ImageStatus.GENERATING, ImageStatus.READY):
            assert an_image_that_is(status).generation_error is None

    def test_the_content_key_is_the_guid(self) -> None:
        assert an_image().content_key == str(GUID)

    def test_only_a_ready_image_has_ready_content(self) -> None:
        assert an_image_that_is(ImageStatus.READY).ready_content == CONTENT
        for status in set(ImageStatus) - {ImageStatus.READY}:
            with pytest.raises(RecordNotFoundError):
                _ = an_image_that_is(status).ready_content


class TestLifeCycle:
    """Every pair of states: only the transitions in the docstring of `ImageStatus` are possible."""

    def test_the_drawing_has_every_state_and_its_arrows(self) -> None:
        arrows = drawn_transitions()
        assert len(arrows) == 9
        assert {state for arrow in arrows for state in arrow} == set(ImageStatus)

    @pytest.mark.parametrize(("status", "other"), list(product(ImageStatus, ImageStatus)))
    def test_only_what_is_drawn_may_follow(self, status: ImageStatus, other: ImageStatus) -> None:
        is_drawn = (status, other) in drawn_transitions()
        assert status.may_become(other) == is_drawn
        image = an_image_that_is(status)
        steps: dict[ImageStatus, Callable[[], Image]] = {
            ImageStatus.PENDING: lambda: image.requeued(at=LATER),
            ImageStatus.GENERATING: lambda: image.started(at=LATER),
            ImageStatus.READY: lambda: image.completed(CONTENT, at=LATER),
            ImageStatus.FAILED: lambda: image.failed(REFUSAL, at=LATER),
            ImageStatus.UNKNOWN: lambda: image.failed(TIME_OVER, at=LATER),
        }
        if is_drawn:
            assert (steps[other]().status, steps[other]().updated_at) == (other, LATER)
        elif other in steps:
            with pytest.raises(ConstraintViolationError, match=f"that is {status} can't become {other}"):
                steps[other]()

    @pytest.mark.parametrize("status", ImageStatus)
    def test_a_status_is_final_when_no_work_goes_on(self, status: ImageStatus) -> None:
        assert status.is_final == (status not in {ImageStatus.PENDING, ImageStatus.GENERATING})


class HostsOwnError(GenerationRateLimitedError):
    """An error of a host's own generator."""


class HostsOtherError(GenerationError):
    """The same without a known parent but the first."""


class TestFailure:
    """Why an image has no content, as far as it is kept."""

    @pytest.mark.parametrize("kind", GENERATION_ERRORS)
    @pytest.mark.parametrize("maybe_billed", [True, False])
    def test_each_error_comes_back_as_it_was(self, kind: type[GenerationError], *, maybe_billed: bool) -> None:
        failure = Failure.of(kind("It went wrong.", maybe_billed=maybe_billed, retry_after=3, request_id="req_1"))
        assert failure == Failure(kind=kind.__name__, detail="It went wrong.", maybe_billed=maybe_billed)
        error = failure.to_error()
        assert type(error) is kind
        assert (error.detail, error.maybe_billed) == ("It went wrong.", maybe_billed)

    @pytest.mark.parametrize("field", ["size", "references[15]", "x" * 64])
    def test_the_field_to_blame_is_kept(self, field: str) -> None:
        failure = Failure.of(GenerationOptionError("It is not taken.", maybe_billed=False, field=field))
        assert failure.field == field
        assert failure.to_error().field == field

    @pytest.mark.parametrize("field", [None, "", "x" * 65, "gr\xf6\xdfe", "a b", "a\n"])
    def test_a_field_of_a_hosts_that_can_not_be_stored_is_left_out(self, field: str | None) -> None:
        failure = Failure.of(HostsOwnError("It is not taken.", maybe_billed=False, field=field))
        assert failure.field is None

    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (HostsOwnError("Slower.", maybe_billed=False), GenerationRateLimitedError),
            (HostsOtherError("Another.", maybe_billed=False), GenerationError),
        ],
    )
    def test_of_a_hosts_own_error_the_known_parent_is_kept(
        self, error: GenerationError, kind: type[GenerationError]
    ) -> None:
        failure = Failure.of(error)
        assert failure == Failure(kind=kind.__name__, detail=error.detail, maybe_billed=False)
        assert type(failure.to_error()) is kind

    @pytest.mark.parametrize("kind", ["", "GenerationOfTomorrowError", "DBConnectionError", "str"])
    def test_an_unknown_kind_is_read_as_a_plain_failure(self, kind: str) -> None:
        error = Failure(kind=kind, detail="no", maybe_billed=True).to_error()
        assert type(error) is GenerationFailedError
        assert (error.detail, error.maybe_billed) == ("no", True)


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


# Only its author sees an image that is not ready; without an author, the guid is enough.
KNOWN_BEFORE_IT_IS_READY = {
    (Visibility.PUBLIC, None, None, ImageScope.PUBLIC),
    (Visibility.PUBLIC, None, ANN, ImageScope.PUBLIC),
    (Visibility.PUBLIC, None, BOB, ImageScope.PUBLIC),
    (Visibility.PUBLIC, ANN, ANN, ImageScope.PUBLIC),
    (Visibility.PUBLIC, ANN, ANN, ImageScope.OWN),
    (Visibility.PRIVATE, ANN, ANN, ImageScope.OWN),
}

every_case = pytest.mark.parametrize(
    ("status", "visibility", "author", "name", "scope"),
    [
        case
        for case in product(ImageStatus, Visibility, [None, ANN], [None, ANN, BOB], ImageScope)
        if case[1:3] != (Visibility.PRIVATE, None)
    ],
)


@every_case
def test_who_may_read_what(
    status: ImageStatus, visibility: Visibility, author: UserName | None, name: UserName | None, scope: ImageScope
) -> None:
    image = an_image_that_is(status, visibility=visibility, author=author)
    principal = Principal(name=name)
    if (status, visibility, author, name, scope) in READABLE:
        assert image.is_readable_by(principal, scope)
        image.ensure_readable_by(principal, scope)
    else:
        assert not image.is_readable_by(principal, scope)
        with pytest.raises(RecordNotFoundError) as caught:
            image.ensure_readable_by(principal, scope)
        assert caught.value.detail == image_not_found(GUID).detail


@pytest.mark.parametrize("status", ImageStatus)
@pytest.mark.parametrize(
    ("visibility", "author"), [(Visibility.PUBLIC, ANN), (Visibility.PRIVATE, ANN), (Visibility.PUBLIC, None)]
)
def test_an_administrator_has_all_images_as_their_own_and_public_ones_as_others_have(
    status: ImageStatus, visibility: Visibility, author: UserName | None
) -> None:
    image = an_image_that_is(status, visibility=visibility, author=author)
    root, bob = Principal(name=UserName("root"), is_admin=True), Principal(name=BOB)
    image.ensure_visible_to(root, ImageScope.OWN)
    image.ensure_changeable_by(root)
    assert image.is_readable_by(root, ImageScope.OWN) == (status is ImageStatus.READY)
    assert image.is_visible_to(root, ImageScope.PUBLIC) == image.is_visible_to(bob, ImageScope.PUBLIC)
    assert image.is_readable_by(root, ImageScope.PUBLIC) == image.is_readable_by(bob, ImageScope.PUBLIC)


@every_case
def test_who_may_know_of_what(
    status: ImageStatus, visibility: Visibility, author: UserName | None, name: UserName | None, scope: ImageScope
) -> None:
    image = an_image_that_is(status, visibility=visibility, author=author)
    principal = Principal(name=name)
    is_known = (
        (status, visibility, author, name, scope) in READABLE
        if status is ImageStatus.READY
        else (visibility, author, name, scope) in KNOWN_BEFORE_IT_IS_READY
    )
    if is_known:
        image.ensure_visible_to(principal, scope)
    else:
        with pytest.raises(RecordNotFoundError) as caught:
            image.ensure_visible_to(principal, scope)
        assert caught.value.detail == image_not_found(GUID).detail


class TestLinked:
    """A link's holder may read one image, as its author may."""

    HOLDER = Principal(linked=GUID)

    @pytest.mark.parametrize("status", ImageStatus)
    @pytest.mark.parametrize("visibility", Visibility)
    def test_a_link_opens_an_image_that_is_ready_whatever_its_visibility(
        self, status: ImageStatus, visibility: Visibility
    ) -> None:
        image = an_image_that_is(status, visibility=visibility, author=ANN)
        assert image.is_readable_by(self.HOLDER, ImageScope.OWN) == (status is ImageStatus.READY)

    def test_a_link_opens_no_other_image(self) -> None:
        image = an_image_that_is(ImageStatus.READY, visibility=Visibility.PRIVATE, author=ANN)
        assert not image.is_readable_by(Principal(linked=uuid4()), ImageScope.OWN)

    def test_a_link_opens_no_image_without_an_author(self) -> None:
        image = an_image_that_is(ImageStatus.READY, visibility=Visibility.PUBLIC, author=None)
        assert not image.is_readable_by(self.HOLDER, ImageScope.OWN)

    def test_a_link_makes_nothing_public(self) -> None:
        image = an_image_that_is(ImageStatus.READY, visibility=Visibility.PRIVATE, author=ANN)
        assert not image.is_readable_by(self.HOLDER, ImageScope.PUBLIC)

    @pytest.mark.parametrize("status", [status for status in ImageStatus if status is not ImageStatus.READY])
    @pytest.mark.parametrize("scope", ImageScope)
    def test_an_image_that_is_not_ready_is_unknown_to_the_holder(self, status: ImageStatus, scope: ImageScope) -> None:
        image = an_image_that_is(status, visibility=Visibility.PRIVATE, author=ANN)
        with pytest.raises(RecordNotFoundError):
            image.ensure_visible_to(self.HOLDER, scope)

    @pytest.mark.parametrize(
        ("visibility", "error"),
        [(Visibility.PRIVATE, RecordNotFoundError), (Visibility.PUBLIC, OperationNotAllowedError)],
    )
    def test_the_holder_changes_nothing(self, visibility: Visibility, error: type[Exception]) -> None:
        image = an_image_that_is(ImageStatus.READY, visibility=visibility, author=ANN)
        with pytest.raises(error):
            image.ensure_changeable_by(self.HOLDER)


@pytest.mark.parametrize("request_id", ["", "x" * 256, "req_\ud800", "req\n1", "é"])
def test_a_name_of_an_attempt_that_can_not_be_kept_is_left_out(request_id: str) -> None:
    image = an_image().started(at=NOON)
    assert image.completed(CONTENT, None, request_id, at=LATER).generator_request_id is None


class TestVersion:
    """The version of an image."""

    def test_a_new_image_is_the_first_version(self) -> None:
        assert an_image().version == 1

    def test_each_step_of_its_life_is_a_version(self) -> None:
        started = an_image().started(at=NOON)
        assert started.version == 2
        assert started.completed(CONTENT, at=LATER).version == 3
        unknown = started.failed(TIME_OVER, at=LATER)
        assert unknown.version == 3
        assert unknown.completed(CONTENT, at=LATER).version == 4


FINAL = [status for status in ImageStatus if status.is_final]


class TestChanged:
    """Changes by the author."""

    @pytest.mark.parametrize("status", FINAL)
    @pytest.mark.parametrize(
        "changes",
        [
            {"tags": ("a", "b")},
            {"tags": ()},
            {"visibility": Visibility.PRIVATE},
            {"tags": ("night", "sea"), "visibility": Visibility.PRIVATE},
        ],
    )
    def test_only_the_given_fields_are_changed(self, status: ImageStatus, changes: dict[str, Any]) -> None:
        image = an_image_that_is(status)
        expected = msgspec.structs.replace(image, **changes, updated_at=LATER, version=image.version + 1)
        assert image.changed(ImageChanges(**changes), at=LATER) == expected

    def test_tags_are_a_tuple_whatever_they_were_given_as(self) -> None:
        changed = an_image_that_is(ImageStatus.READY).changed(ImageChanges(tags=["b", "a"]), at=LATER)
        assert changed.tags == ("b", "a")

    def test_the_order_of_tags_is_worth_a_change(self) -> None:
        image = an_image_that_is(ImageStatus.READY)
        assert image.changed(ImageChanges(tags=image.tags[::-1]), at=LATER).version == image.version + 1

    def test_a_file_name_is_taken_as_it_is_and_none_is_the_automatic_one(self) -> None:
        image = an_image_that_is(ImageStatus.READY)
        named = image.changed(ImageChanges(filename="My_Lighthouse.PNG"), at=LATER)
        assert named == msgspec.structs.replace(
            image, filename="My_Lighthouse.PNG", updated_at=LATER, version=image.version + 1
        )
        again = named.changed(ImageChanges(filename=None), at=LATER)
        assert again.filename == filename_for(image.prompt, image.guid, MediaType.PNG)
        assert again.version == image.version + 2

    @pytest.mark.parametrize("status", FINAL)
    def test_changes_that_change_nothing_are_none(self, status: ImageStatus) -> None:
        image = an_image_that_is(status)
        for changes in (ImageChanges(), ImageChanges(tags=list(image.tags), visibility=image.visibility)):
            assert image.changed(changes, at=LATER) is image

    def test_the_name_that_a_file_has_already_is_no_change(self) -> None:
        image = an_image_that_is(ImageStatus.READY)
        assert image.changed(ImageChanges(filename=image.filename), at=LATER) is image

    @pytest.mark.parametrize("status", [status for status in ImageStatus if not status.is_final])
    @pytest.mark.parametrize("changes", [ImageChanges(), ImageChanges(tags=["a"])])
    def test_an_image_that_is_being_made_stays(self, status: ImageStatus, changes: ImageChanges) -> None:
        with pytest.raises(ConstraintViolationError, match="still being made"):
            an_image_that_is(status).changed(changes, at=LATER)

    @pytest.mark.parametrize("status", [ImageStatus.FAILED, ImageStatus.UNKNOWN])
    @pytest.mark.parametrize("filename", ["a.png", None])
    def test_a_file_that_is_not_there_has_no_name(self, status: ImageStatus, filename: str | None) -> None:
        with pytest.raises(ConstraintViolationError, match="no file to be named"):
            an_image_that_is(status).changed(ImageChanges(filename=filename), at=LATER)

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            (ImageChanges(tags=["a", "a"]), "tags"),
            (ImageChanges(tags=[" a"]), "tags[0]"),
            (ImageChanges(tags=["x" * 65]), "tags[0]"),
            (ImageChanges(tags=[str(number) for number in range(33)]), "tags"),
            (ImageChanges(filename=""), "filename"),
            (ImageChanges(filename="../a.png"), "filename"),
            (ImageChanges(filename="-rf"), "filename"),
            (ImageChanges(filename=".htaccess"), "filename"),
            (ImageChanges(filename="a\n"), "filename"),
            (ImageChanges(filename="x" * 256), "filename"),
        ],
    )
    def test_what_breaks_a_rule_is_refused(self, changes: ImageChanges, field: str) -> None:
        with pytest.raises(DataValidationError) as caught:
            an_image_that_is(ImageStatus.READY).changed(changes, at=LATER)
        assert caught.value.field == field

    def test_an_image_without_an_author_can_not_become_private(self) -> None:
        with pytest.raises(DataValidationError, match="must be public for an image without an author"):
            an_image_that_is(ImageStatus.READY, author=None).changed(
                ImageChanges(visibility=Visibility.PRIVATE), at=LATER
            )


@pytest.mark.parametrize(
    ("status", "visibility", "author", "name"),
    [
        case
        for case in product(ImageStatus, Visibility, [None, ANN], [None, ANN, BOB])
        if case[1:3] != (Visibility.PRIVATE, None)
    ],
)
def test_the_author_may_change_an_image_and_others_learn_of_public_ones_only(
    status: ImageStatus, visibility: Visibility, author: UserName | None, name: UserName | None
) -> None:
    image = an_image_that_is(status, visibility=visibility, author=author)
    principal = Principal(name=name)
    if name is not None and name == author:
        image.ensure_changeable_by(principal)
    elif status is ImageStatus.READY and visibility is Visibility.PUBLIC:
        with pytest.raises(OperationNotAllowedError):
            image.ensure_changeable_by(principal)
    else:
        with pytest.raises(RecordNotFoundError) as caught:
            image.ensure_changeable_by(principal)
        assert caught.value.detail == image_not_found(GUID).detail
