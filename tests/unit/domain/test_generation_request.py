"""Valid generation requests."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.domain.content import MediaType
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.generation_request import EXTRA_MAX_DEPTH, EXTRA_MAX_SIZE, GenerationRequest, one_of, parse_size
from pixyproxy.domain.reference import Reference, Upload
from tests.factories import ContentInfoFactory

REFERENCE = Reference(guid=UUID(int=1))
UPLOAD = Reference(upload=Upload(filename="fox.png", content=ContentInfoFactory.build(media_type=MediaType.PNG)))


def prompt_of(text: str) -> str:
    return GenerationRequest(prompt=text).normalized().prompt


class TestPrompt:
    @pytest.mark.parametrize("text", ["a", "x" * 32_000, "😀" * 32_000, "line\nbreak", "a\tb", "e\u0301"])
    def test_1_to_32000_characters_are_kept_as_they_are(self, text: str) -> None:
        assert prompt_of(text) == text

    def test_the_white_space_around_is_trimmed(self) -> None:
        assert prompt_of(" \n\t\u3000a lighthouse \r\n") == "a lighthouse"

    def test_the_length_is_measured_after_trimming(self) -> None:
        assert len(prompt_of(" " * 50_000 + "x" * 32_000 + "\n")) == 32_000

    @pytest.mark.parametrize("text", ["", " ", "\n\t \u3000", "x" * 32_001, "😀" * 32_001])
    def test_blank_and_too_long_ones_are_refused(self, text: str) -> None:
        with pytest.raises(DataValidationError, match="1 to 32,000 characters") as caught:
            prompt_of(text)
        assert caught.value.field == "prompt"

    @pytest.mark.parametrize("text", ["a\0b", "\0", "\ud83d", "a \udc00 b"])
    def test_nul_and_lone_surrogates_are_refused(self, text: str) -> None:
        with pytest.raises(DataValidationError, match=r"NUL|surrogate") as caught:
            prompt_of(text)
        assert caught.value.field == "prompt"

    @given(st.text())
    def test_a_prompt_that_was_accepted_stays_as_it_is(self, text: str) -> None:
        try:
            prompt = prompt_of(text)
        except DataValidationError:
            return
        assert prompt_of(prompt) == prompt

    @pytest.mark.parametrize("text", ["\u200b", "\u2060\ufeff"])
    def test_an_invisible_one_is_refused_for_a_new_image_alone(self, text: str) -> None:
        GenerationRequest(prompt=text).ensure_valid()
        with pytest.raises(DataValidationError) as caught:
            prompt_of(text)
        assert caught.value.field == "prompt"

    @pytest.mark.parametrize("text", ["", " ", " a", "a ", "a\0", "\ud83d", "x" * 32_001])
    def test_no_image_is_stored_with_one_that_breaks_a_rule(self, text: str) -> None:
        with pytest.raises(DataValidationError) as caught:
            GenerationRequest(prompt=text).ensure_valid()
        assert caught.value.field == "prompt"

    def test_it_survives_json(self) -> None:
        request = GenerationRequest(prompt="a fox")
        assert msgspec.json.encode(request) == b'{"prompt":"a fox"}'
        assert msgspec.json.decode(msgspec.json.encode(request), type=GenerationRequest) == request


class TestOptions:
    def test_there_are_none_beside_the_prompt(self) -> None:
        assert GenerationRequest(prompt="a fox").options == {}

    def test_only_those_that_are_given_count(self) -> None:
        class SizedRequest(GenerationRequest, frozen=True, kw_only=True, omit_defaults=True):
            size: str | None = None
            quality: str | None = None

        assert SizedRequest(prompt="a fox").options == {}
        assert SizedRequest(prompt="a fox", size="1024x1024").options == {"size": "1024x1024"}

    @pytest.mark.parametrize(
        "value", [float("nan"), float("inf"), [float("-inf")], (1, 2), {1: "a"}, {"a"}, "\ud800", bytearray], ids=repr
    )
    def test_unknown_parameters_that_json_does_not_have_are_refused(self, value: object) -> None:
        with pytest.raises(DataValidationError) as caught:
            GenerationRequest(prompt="a fox", extra={"seed": value}).normalized()
        assert (caught.value.field, caught.value.detail) == ("extra", "must be JSON")

    def test_all_that_are_given_are_taken(self) -> None:
        options: dict[str, Any] = {
            "model": "gpt-image-2",
            "size": "1536x1024",
            "quality": "high",
            "background": "transparent",
            "output_format": "webp",
            "output_compression": 0,
            "moderation": "low",
            "references": (REFERENCE, UPLOAD, REFERENCE),
            "mask": UPLOAD,
            "input_fidelity": "high",
            "partial_images": 3,
            "extra": {"complexity": "high", "svg": {"model": "x"}},
        }
        assert options.keys() == set(GenerationRequest.__struct_fields__) - {"prompt"}
        request = GenerationRequest(prompt=" a fox ", **options).normalized()
        assert request == GenerationRequest(prompt="a fox", **options)
        assert request.options == msgspec.to_builtins(options)

    @pytest.mark.parametrize(
        "options",
        [
            {"model": "x"},
            {"model": "x" * 255},
            {"quality": "x" * 64},
            {"background": "plaid"},
            {"output_compression": 0},
            {"output_compression": 100},
            {"output_compression": 50, "output_format": "jpeg"},
            {"partial_images": 0},
            {"partial_images": 3},
            {"background": "transparent"},
            *({"background": "transparent", "output_format": name} for name in ("png", "webp", "gif", "svg")),
            *({"output_format": name} for name in ("png", "jpeg", "webp", "gif", "svg")),
            {"references": (REFERENCE,) * 16},
            {"references": (REFERENCE,), "mask": REFERENCE, "input_fidelity": "low"},
            {"extra": {"x" * 64: 1}},
            {"extra": {"a": "x" * (EXTRA_MAX_SIZE - 8)}},
        ],
    )
    def test_what_some_generator_may_take_is_allowed(self, options: dict[str, Any]) -> None:
        GenerationRequest(prompt="a fox", **options).normalized()

    @pytest.mark.parametrize(
        ("field", "options"),
        [
            *(("model", {"model": text}) for text in ("", " ", "a ", "x" * 256, "a\nb", "\0", "\ud800")),
            *((name, {name: "x" * 65}) for name in ("quality", "background", "moderation")),
            *((name, {name: ""}) for name in ("quality", "background", "moderation", "input_fidelity")),
            ("input_fidelity", {"input_fidelity": "x" * 65, "references": (REFERENCE,)}),
            *(("output_format", {"output_format": text}) for text in ("", "PNG", "jpg", "avif", "image/png")),
            *(("output_compression", {"output_compression": number}) for number in (-1, 101)),
            *(
                ("output_compression", {"output_compression": 50, "output_format": name})
                for name in ("png", "gif", "svg")
            ),
            *(("partial_images", {"partial_images": number}) for number in (-1, 4)),
            ("background", {"background": "transparent", "output_format": "jpeg"}),
            ("references", {"references": (REFERENCE,) * 17}),
            ("references[1]", {"references": (REFERENCE, Reference())}),
            ("mask", {"references": (REFERENCE,), "mask": Reference()}),
            ("mask", {"mask": REFERENCE}),
            ("input_fidelity", {"input_fidelity": "low"}),
            ("extra", {"extra": {"a": "x" * (EXTRA_MAX_SIZE - 7)}}),
            ("extra", {"extra": {"": 1}}),
            ("extra", {"extra": {"image[]": "x"}}),
            ("extra", {"extra": {"size[a]": "x"}}),
            ("extra", {"extra": {"x" * 65: 1}}),
            ("extra", {"extra": {"a b ": 1}}),
            *(
                ("extra", {"extra": {name: None}})
                for name in (
                    *GenerationRequest.__struct_fields__,
                    *("n", "stream", "response_format", "user", "image", "images", "tags", "visibility"),
                    *("image[]", "mask[0]", "n["),
                )
            ),
        ],
    )
    def test_what_no_generator_takes_is_refused(self, field: str, options: dict[str, Any]) -> None:
        with pytest.raises(DataValidationError) as caught:
            GenerationRequest(prompt="a fox", **options).normalized()
        assert caught.value.field == field

    def test_unknown_parameters_that_are_none_are_left_out(self) -> None:
        assert GenerationRequest(prompt="a fox", extra={}).normalized().extra is None

    @pytest.mark.parametrize(("depth", "is_fine"), [(EXTRA_MAX_DEPTH, True), (EXTRA_MAX_DEPTH + 1, False)])
    def test_unknown_parameters_are_not_nested_without_end(self, depth: int, *, is_fine: bool) -> None:
        nested: dict[str, Any] = {}
        for _ in range(depth - 1):
            nested = {"a": nested}
        request = GenerationRequest(prompt="a fox", extra=nested)
        if is_fine:
            assert request.normalized() == request
            return
        with pytest.raises(DataValidationError, match="nested more than") as caught:
            request.normalized()
        assert caught.value.field == "extra"

    def test_an_upload_makes_another_request_by_its_bytes_and_not_by_its_name(self) -> None:
        assert UPLOAD.upload is not None
        renamed = Reference(upload=msgspec.structs.replace(UPLOAD.upload, filename="other.png"))
        changed = Reference(upload=Upload(filename="fox.png", content=ContentInfoFactory.build()))

        def fingerprint(picture: Reference) -> dict[str, Any]:
            return GenerationRequest(prompt="a fox", references=(REFERENCE, picture), mask=picture).fingerprint_options

        assert fingerprint(UPLOAD) == fingerprint(renamed) != fingerprint(changed)
        assert fingerprint(UPLOAD)["references"][0] == {"guid": str(REFERENCE.guid)}

    def test_its_pictures_are_the_references_and_then_the_mask(self) -> None:
        assert GenerationRequest(prompt="a fox").pictures == ()
        assert GenerationRequest(prompt="a fox", references=(REFERENCE,), mask=UPLOAD).pictures == (REFERENCE, UPLOAD)


class TestSize:
    @pytest.mark.parametrize(
        ("size", "sides"),
        [
            ("auto", None),
            ("16x16", (16, 16)),
            ("16x8192", (16, 8192)),
            ("8192x4028", (8192, 4028)),  # 32,997,376 pixels
            ("1536x1024", (1536, 1024)),
        ],
    )
    def test_it_is_auto_or_width_and_height(self, size: str, sides: tuple[int, int] | None) -> None:
        assert parse_size(size) == sides

    @pytest.mark.parametrize(
        "size",
        [
            *("", "AUTO", " auto", "auto ", "x", "1024", "1024x", "x1024", "1024X1024", "1024*1024", "1024\xd71024"),
            *("1024 x 1024", "1024x1024\n", "+16x16", "16.0x16", "0016x0016", "016x16", "0x10", "-16x16", "1e3x16"),
            *("\u0661\u0666x16", "16x16x16", "15x16", "16x15", "8193x16", "16x8193", "8192x4029", "99999x16"),
        ],
    )
    def test_everything_else_is_refused(self, size: str) -> None:
        with pytest.raises(DataValidationError, match="must be auto, or width and height such as 1536x1024") as caught:
            GenerationRequest(prompt="a fox", size=size).normalized()
        assert caught.value.field == "size"

    @given(st.integers(-1, 20_000), st.integers(-1, 20_000))
    def test_it_is_taken_within_the_limits_alone(self, width: int, height: int) -> None:
        is_within = 16 <= min(width, height) <= max(width, height) <= 8_192 and width * height <= 33_000_000
        if is_within:
            assert parse_size(f"{width}x{height}") == (width, height)
            return
        with pytest.raises(DataValidationError):
            parse_size(f"{width}x{height}")

    @given(st.text(st.characters(categories=["Nd", "Ll", "Zs"], include_characters="x*\n"), max_size=12))
    def test_any_text_is_a_size_that_is_written_in_one_way_or_is_refused(self, text: str) -> None:
        try:
            sides = parse_size(text)
        except DataValidationError:
            return
        assert text == ("auto" if sides is None else f"{sides[0]}x{sides[1]}")


@pytest.mark.parametrize(("words", "sentence"), [(["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")])
def test_words_become_a_list_of_alternatives(words: list[str], sentence: str) -> None:
    assert one_of(words) == sentence
