"""The rules of every text."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.text import (
    ensure_encodable,
    ensure_label,
    ensure_length,
    ensure_marks,
    ensure_new_label,
    ensure_visible,
    normalized_label,
)


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


@pytest.mark.parametrize("mark", ["\u0301", "\u0e49", "\u093f", "\ufe0f", "\u20dd", "\uff9e"])
def test_thirty_marks_in_a_row_are_not_too_many(mark: str) -> None:
    ensure_marks("tag", "e" + mark * 30 + "e" + mark * 30)
    with pytest.raises(DataValidationError, match="more than 30 combining marks in a row"):
        ensure_marks("tag", "e" + mark * 31)


def test_marks_of_several_kinds_count_together() -> None:
    with pytest.raises(DataValidationError, match="30 combining marks"):
        ensure_marks("tag", "e" + "\u0301\u0323" * 15 + "\u034f")


@pytest.mark.parametrize("text", ["e" + "\u0301" * 64_000, "\u0301\u0323" * 32_000, "x" * 257, "\ufdfa" * 10_000])
def test_text_is_refused_before_it_is_normalised(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(unicodedata, "normalize", lambda *_: pytest.fail("normalised"))
        with pytest.raises(DataValidationError):
            normalized_label("tag", text, 64)


# The uses of joiners in UTS 51 and UAX 31.
JOINED = [
    "\U0001f469\u200d\U0001f3a8",
    "\U0001f3f3\ufe0f\u200d\U0001f308",
    "\U0001f469\U0001f3fd\u200d\u2764\ufe0f\u200d\U0001f48b\u200d\U0001f468\U0001f3ff",
    "\U0001f642\u200d\u2194\ufe0f",
    "می\u200cخواهم",
    "क्\u200dष",
    "क्\u200cष",
    "ක්\u200dෂ",
    "ന്\u200d",
    "র\u200d্যাব",
]


@pytest.mark.parametrize("text", JOINED)
def test_joiners_stay_where_unicode_uses_them(text: str) -> None:
    assert normalized_label("tag", text, 64) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\u200db", "ab"),
        ("\u200da", "a"),
        ("a\u200c", "a"),
        ("e\u200d\u0301", "é"),
        ("\U0001f469\u200d", "\U0001f469"),
        ("\U0001f469\u200da", "\U0001f469a"),
        ("رو\u200cبه", "روبه"),
        ("क\u200cष", "कष"),
        ("1\u200d2", "12"),
        ("\u200d\u200d\u200c", ""),
    ],
)
def test_other_joiners_are_dropped(text: str, expected: str) -> None:
    assert normalized_label("tag", text, 64) == expected


@given(st.text(st.sampled_from("aeé\u0301\u0323\u200c\u200d\U0001f469\U0001f3fd❤\ufe0fकष्ميرو\u064e"), max_size=20))
def test_a_normalised_label_stays_as_it_is(text: str) -> None:
    once = normalized_label("tag", text, 64)
    assert normalized_label("tag", once, 64) == once
    assert unicodedata.is_normalized("NFC", once)
    for form in ("NFC", "NFD"):
        assert normalized_label("tag", unicodedata.normalize(form, text), 64) == once


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\u200b",
        "\u00ad",
        "\u3164",
        "\u115f\u1160",
        "\u2800",
        "\ufe0f",
        "\u034f",
        "\u200d\n\t",
        "\U000e0041",
        "\u2060",
    ],
)
def test_invisible_characters_are_not_visible(text: str) -> None:
    with pytest.raises(DataValidationError, match="visible character"):
        ensure_visible("prompt", text)


@pytest.mark.parametrize("text", ["a", ".", "字", "\u200ba", "🦊", "\ue000", "\u0600", "ก", "\u0301"])
def test_one_visible_character_is_enough(text: str) -> None:
    ensure_visible("prompt", text)


@pytest.mark.parametrize(
    "character",
    ["\u200b", "\u2060", "\ufeff", *"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"],
)
def test_a_new_label_has_no_hidden_characters(character: str) -> None:
    ensure_label("tag", f"a{character}b", 64)
    with pytest.raises(DataValidationError, match=f"U\\+{ord(character):04X}"):
        ensure_new_label("tag", f"a{character}b", 64)


@pytest.mark.parametrize("text", JOINED)
def test_a_new_label_may_be_joined(text: str) -> None:
    ensure_new_label("tag", text, 64)
