"""Valid generation requests."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.generation_request import GenerationRequest


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
