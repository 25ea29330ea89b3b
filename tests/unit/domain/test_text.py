"""The rules of every text."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.text import ensure_encodable, ensure_label, ensure_length


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_text_that_utf8_can_carry_is_encodable(text: str) -> None:
    ensure_encodable("prompt", text)


@pytest.mark.parametrize("text", ["\0", "a\0", "\0b", "\ud800", "a\udfff", "\ud83d a \ude00"])
def test_nul_and_lone_surrogates_are_not_encodable(text: str) -> None:
    with pytest.raises(DataValidationError, match=r"NUL|surrogate") as caught:
        ensure_encodable("prompt", text)
    assert caught.value.field == "prompt"


@pytest.mark.parametrize("length", [2, 3, 4])
def test_a_length_within_the_bounds_is_accepted(length: int) -> None:
    ensure_length("name", "x" * length, 2, 4)


@pytest.mark.parametrize("length", [0, 1, 5, 1000])
def test_a_length_outside_the_bounds_is_refused(length: int) -> None:
    with pytest.raises(DataValidationError, match=f"2 to 4 characters, not {length:,}$"):
        ensure_length("name", "x" * length, 2, 4)


def test_a_length_counts_characters_and_not_bytes() -> None:
    ensure_length("name", "😀😀", 1, 2)


@pytest.mark.parametrize("text", ["a", "a b", "ä", "e\u0301", "日本語", "👩\u200d🎨", "אבג", "a\u202eb", "x" * 64])
def test_a_single_line_is_a_label(text: str) -> None:
    ensure_label("tag", text, 64)


@pytest.mark.parametrize("text", ["", "x" * 65, "\0", "\ud800"])
def test_a_label_has_a_bounded_length_and_is_encodable(text: str) -> None:
    with pytest.raises(DataValidationError):
        ensure_label("tag", text, 64)


@pytest.mark.parametrize("character", ["\n", "\r", "\t", "\x1b", "\x7f", "\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize("frame", ["{}", "{}a", "a{}", "a{}b"])
def test_control_characters_and_line_breaks_make_no_label(frame: str, character: str) -> None:
    with pytest.raises(DataValidationError, match="control characters"):
        ensure_label("tag", frame.format(character), 64)


@pytest.mark.parametrize("text", [" a", "a ", " ", "\u00a0a", "a\u3000"])
def test_white_space_around_a_label_is_refused(text: str) -> None:
    with pytest.raises(DataValidationError, match="white space"):
        ensure_label("tag", text, 64)


@given(st.text(max_size=70))
def test_whatever_is_accepted_as_a_label_keeps_every_rule(text: str) -> None:
    try:
        ensure_label("tag", text, 64)
    except DataValidationError:
        return
    assert 1 <= len(text) <= 64
    assert text == text.strip()
    assert len(text.splitlines()) == 1
    assert not any(unicodedata.category(character) == "Cc" for character in text)
    text.encode()
