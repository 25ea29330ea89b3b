"""When a prompt matches a search."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.latin import ASCII_FORMS
from pixyproxy.domain.search import FOLDED_MAX_LENGTH, TERM_MAX_LENGTH, Phrase, Search, folded, terms_of
from tests.cases import SEARCHES

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)

# Few letters, so that words meet; and one of every kind of character that counts.
WORDS = st.text("abcä黒🦊1", min_size=1, max_size=4)
SENTENCES = st.lists(WORDS, max_size=8).map(" ".join)
WORDS_OF_LETTERS = st.text("abcä1", min_size=1, max_size=4)


def terms(text: str) -> Sequence[str]:
    return list(terms_of(text))


def stands_in(inner: Sequence[str], outer: Sequence[str]) -> bool:
    return any(outer[start : start + len(inner)] == inner for start in range(len(outer) - len(inner) + 1))


class TestTerms:
    """The words of a text."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", []),
            ("  \t\n", []),
            ("?!.,;:-_'\"", []),
            ("A lighthouse, at dusk.", ["a", "lighthouse", "at", "dusk"]),
            ("it's state-of-the-art", ["it", "s", "state", "of", "the", "art"]),
            ("snake_case 3.14 C++", ["snake", "case", "3", "14", "c"]),
            ("x" * 100, ["x" * 80]),
            ("x" * 80 + " " + "y" * 81, ["x" * 80, "y" * 80]),
        ],
    )
    def test_words_are_runs_of_letters_and_digits_in_lower_case(self, text: str, expected: Sequence[str]) -> None:
        assert terms(text) == expected

    @pytest.mark.parametrize(
        ("one", "two"),
        [
            ("CAFÉ", "cafe"),
            ("Ünïcödé", "unicode"),
            ("Zoe\u0308", "Zo\u00eb"),
            ("STRASSE", "straße"),
            ("ﬁne", "fine"),
            ("①②", "12"),
            ("\uff21\uff22\uff23", "abc"),
            ("Ω", "ω"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("Ёлка", "елка"),
            ("가", "\u1100\u1161"),
            ("مَرْحَبًا", "مرحبا"),
        ],
    )
    def test_case_diacritics_and_compatible_forms_make_no_difference(self, one: str, two: str) -> None:
        assert terms(one) == terms(two)
        assert terms(one)

    @pytest.mark.parametrize(
        ("one", "two"),
        [("cat", "cats"), ("がぎ", "かき"), ("黒", "猫"), ("🦊", "🐱"), ("가", "각"), ("é", "è é"), ("o", "0")],
    )
    def test_other_words_are_other_terms(self, one: str, two: str) -> None:
        assert terms(one) != terms(two)

    @pytest.mark.parametrize("text", ["黒猫", "แมว", "ねこ", "🦊🐱", "𠀋𠮟"])
    def test_what_is_written_without_spaces_is_a_word_each(self, text: str) -> None:
        assert len(terms(text)) == len(text) == len(set(terms(text)))
        assert terms(text) == [term for character in text for term in terms(character)]
        assert terms(f"x{text[0]}y") == ["x", *terms(text[0]), "y"]

    @pytest.mark.parametrize("text", ["кот", "γάτα", "חתול", "قطة", "고양이", "बिल्ली"])
    def test_what_is_written_with_spaces_is_one_word(self, text: str) -> None:
        assert len(terms(text)) == 1

    @given(st.text())
    @example("\ud800a")
    @example("\U0010ffff\U000e0001")
    @example("\u1e9e" * 90)
    @example("a\u00adb")
    def test_every_term_is_1_to_80_ascii_letters_digits_and_underscores(self, text: str) -> None:
        for term in terms_of(text):
            assert re.fullmatch(r"[0-9a-z_]{1,80}", term, re.ASCII)

    @given(st.text())
    def test_terms_are_terms_of_themselves_when_they_are_ascii(self, text: str) -> None:
        plain = [term for term in terms_of(text) if "_" not in term]
        assert terms(" ".join(plain)) == plain

    @given(st.text())
    @example("ﬁ①ẞΐ")
    def test_all_normal_forms_of_a_text_have_the_same_terms(self, text: str) -> None:
        for form in ("NFC", "NFD"):
            assert terms(unicodedata.normalize(form, text)) == terms(text)

    @given(st.text())
    @example("ẞ ŉ ǰ ΐ ﬃ")
    def test_a_text_and_its_case_folding_have_the_same_terms(self, text: str) -> None:
        assert terms(text.casefold()) == terms(text)

    @given(SENTENCES, SENTENCES)
    def test_white_space_keeps_texts_apart(self, one: str, two: str) -> None:
        assert terms(f"{one} {two}") == [*terms(one), *terms(two)]

    def test_every_character_outside_ascii_has_a_term_of_its_own_length(self) -> None:
        codes = {terms(character)[0] for character in "жяגあ黒🦊𠀋"}
        assert len(codes) == 7
        assert {len(code) for code in codes} == {5}

    def test_what_has_no_room_makes_no_difference(self) -> None:
        assert terms("ж" * 16 + "я") == terms("ж" * 16)
        assert terms("ж" * 15 + "я") != terms("ж" * 16)
        assert len(terms("ж" * 40)[0]) == TERM_MAX_LENGTH


# Letters with marks, marks, joiners, forms that become several characters: of each kind one or two.
MIXED = st.text(
    st.sampled_from(
        "aéßŁǿİıſﬁﷺㅏｶﾞがか\u3099ไม่ำकि्\u093cйи\u0306ёї\u0301\u0323\u0345ᾳΣςאּلاِـ"
        "\u00ad\u200d\u034f\u200b1٣①🦊👍🏽\ufe0f\u20e3가\u1100\u1161 .-"
    ),
    max_size=30,
)


class TestFolding:
    """Differences that a search ignores."""

    @given(st.text() | MIXED)
    def test_folding_twice_is_folding_once(self, text: str) -> None:
        assert folded(folded(text)) == folded(text)
        assert terms(folded(text)) == terms(text)

    @given(st.text() | MIXED)
    @example("ﬁ①ẞΐ")
    @example("e" + "\u0301\u0323" * 40 + "が" + "\u3099\u0323" * 20)
    @example("が" + "\u3099" * 30)
    @example("か\u0345\u3099")
    def test_twins_are_folded_alike(self, text: str) -> None:
        assert folded(unicodedata.normalize("NFC", text)) == folded(unicodedata.normalize("NFD", text)) == folded(text)

    @given(st.text(st.characters(categories=["Ll", "Lu", "Lo", "Mn", "Nd"]), max_size=30) | MIXED)
    def test_every_word_of_a_prompt_finds_it(self, text: str) -> None:
        for form in ("NFC", "NFD", "NFKC"):
            twin = unicodedata.normalize(form, text)
            for word in text.split():
                if terms(word):
                    assert Search.parse(unicodedata.normalize("NFD", word)).matches(twin)
                    assert Search.parse(f'"{word}"'.replace('""', "")).matches(twin)

    def test_every_character_is_folded_to_what_stays(self) -> None:
        for number in range(0x20000):
            character = chr(number)
            once = folded(f"a{character}b")
            assert folded(once) == once, hex(number)

    def test_latin_letters_are_those_that_ascii_has_in_their_place(self) -> None:
        assert len(ASCII_FORMS) == 198
        for letter, form in ASCII_FORMS.items():
            assert folded(letter) == folded(letter.upper()) == form
            assert form.isascii()

    @pytest.mark.parametrize(
        "text",
        ["e" + "\u0301\u0323" * 16_000, "\u0323\u0301" * 16_000, "\uff9e" * 32_000, "\ufdfa" * 32_000, "가" * 32_000,
         ("e" + "\u0301\u0323" * 15) * 1_000, "\u0f73" * 32_000],
    )  # fmt: skip
    def test_a_long_text_is_normalised_in_bounded_pieces(self, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        longest = characters = 0
        normalize = unicodedata.normalize

        def watched(form: Any, piece: str) -> str:
            nonlocal longest, characters
            characters += len(piece)
            run = 0
            for character in normalize("NFD", piece) if len(piece) == 1 else piece:
                run = run + 1 if unicodedata.combining(character) else 0
                longest = max(longest, run)
            return normalize(form, piece)

        with monkeypatch.context() as patch:
            patch.setattr(unicodedata, "normalize", watched)
            terms_of(text)
        assert longest <= 60
        assert characters <= 3 * FOLDED_MAX_LENGTH

    def test_characters_after_30_marks_make_no_difference(self) -> None:
        assert terms("क" + "\u093c" * 30) == terms("क" + "\u093c" * 31) == terms("क" + "\u093c" * 5_000)

    @pytest.mark.parametrize(("prompt", "query", "wanted"), SEARCHES)
    def test_words_of_all_languages(self, prompt: str, query: str, wanted: bool) -> None:
        assert Search.parse(query).matches(prompt) == wanted

    def test_a_mark_belongs_to_the_letter_before_it(self) -> None:
        assert len(terms("ไม่")) == 2
        assert len(terms("น้ำ")) == 2
        assert Search.parse("ม*").matches("ไม่")


class TestParse:
    """The terms of a search text."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("cat", [(["cat"], False)]),
            ("Cat DOG", [(["cat"], False), (["dog"], False)]),
            ("cat cat", [(["cat"], False)]),
            ('"black cat"', [(["black", "cat"], False)]),
            ('"black cat', [(["black", "cat"], False)]),
            ('a "black cat" b', [(["a"], False), (["black", "cat"], False), (["b"], False)]),
            ("cat*", [(["cat"], True)]),
            ("cat* cat", [(["cat"], True), (["cat"], False)]),
            ('"black ca"*', [(["black", "ca"], True)]),
            ('"black ca*"', [(["black", "ca"], False)]),
            ("black-cat", [(["black", "cat"], False)]),
            ("black-ca*", [(["black", "ca"], True)]),
            ("*cat", [(["cat"], False)]),
            ("c*t", [(["c", "t"], False)]),
            ('"" cat', [(["cat"], False)]),
            ('cat "', [(["cat"], False)]),
            ('black"cat"', [(["black"], False), (["cat"], False)]),
            ("+cat -dog (bird) ~fish @4 >x<", [([word], False) for word in ("cat", "dog", "bird", "fish", "4", "x")]),
            ("NOT cat OR dog", [([word], False) for word in ("not", "cat", "or", "dog")]),
            ("words:cat", [(["words", "cat"], False)]),
        ],
    )
    def test_words_phrases_and_beginnings(self, text: str, expected: list[tuple[list[str], bool]]) -> None:
        assert Search.parse(text) == Search(tuple(Phrase(tuple(found), is_prefix) for found, is_prefix in expected))

    @pytest.mark.parametrize("text", ["", "x" * 501, "a\0", "\ud800", "e" + "\u0301" * 31])
    def test_a_text_that_is_empty_or_too_long_or_none_at_all_is_refused(self, text: str) -> None:
        with pytest.raises(DataValidationError) as caught:
            Search.parse(text)
        assert caught.value.field == "q"

    @pytest.mark.parametrize("text", [" ", '"', '""', "*", '"*"', "+-><()~*@", "…", "\u0301"])
    def test_a_text_without_words_looks_for_nothing_and_finds_nothing(self, text: str) -> None:
        search = Search.parse(text)
        assert search == Search(())
        for prompt in ("a", text, "", " "):
            assert not search.matches(prompt)

    def test_a_text_of_500_characters_is_not_too_long(self) -> None:
        assert len(Search.parse("猫 犬" * 166 + "ab").phrases) > 1

    @given(TEXTS.filter(bool) | st.text('ab "*+-><()~@', min_size=1, max_size=40))
    def test_no_text_is_a_syntax_error(self, text: str) -> None:
        search = Search.parse(text)
        assert bool(search.phrases) == bool(terms(text))
        assert len(set(search.phrases)) == len(search.phrases)
        assert all(phrase.terms for phrase in search.phrases)

    @given(TEXTS)
    def test_search_terms_equal_those_of_the_text(self, text: str) -> None:
        assume(terms(text))
        found = [term for phrase in Search.parse(text).phrases for term in phrase.terms]
        assert set(found) == set(terms(text))


class TestMatches:
    """Which prompts are found."""

    @given(TEXTS | st.text('abä黒🦊 "*-', max_size=40))
    @example('"a" "b')
    @example("a b\u0338c")
    def test_every_text_has_the_words_of_itself(self, text: str) -> None:
        assume(terms(text))
        assert Search.parse(text).matches(text)

    @given(TEXTS, st.permutations(["one", "two", "three"]))
    def test_the_order_of_words_makes_no_difference(self, text: str, words: list[str]) -> None:
        assert Search.parse(" ".join(words)).matches(f"{text} three two {text} one")

    @given(st.lists(WORDS_OF_LETTERS, min_size=1, max_size=4, unique=True), SENTENCES)
    def test_all_words_are_needed(self, words: list[str], text: str) -> None:
        expected = {term for word in words for term in terms(word)} <= set(terms(text))
        assert Search.parse(" ".join(words)).matches(text) == expected

    @given(st.lists(WORDS, min_size=1, max_size=3).map(" ".join), SENTENCES)
    @example("a b", "a b")
    @example("a b", "b a")
    @example("a b", "a c b")
    @example("a b", "ca b")
    @example("a b", "a bc")
    def test_a_phrase_is_found_where_its_terms_stand_side_by_side(self, phrase: str, text: str) -> None:
        assert Search.parse(f'"{phrase}"').matches(text) == stands_in(terms(phrase), terms(text))

    @given(WORDS_OF_LETTERS, SENTENCES)
    @example("ab", "abc")
    @example("ab", "cab")
    def test_a_beginning_is_found_where_a_word_begins_with_it(self, beginning: str, text: str) -> None:
        (term,) = terms(beginning)
        expected = any(each.startswith(term) for each in terms(text))
        assert Search.parse(f"{beginning}*").matches(text) == expected

    @given(WORDS_OF_LETTERS, WORDS_OF_LETTERS, SENTENCES)
    @example("a", "b", "a bc")
    @example("a", "b", "a c b")
    def test_a_phrase_may_end_with_a_beginning(self, word: str, beginning: str, text: str) -> None:
        found = terms(text)
        (first,), (second,) = terms(word), terms(beginning)
        expected = any(one == first and two.startswith(second) for one, two in pairwise(found))
        assert Search.parse(f'"{word} {beginning}"*').matches(text) == expected

    @given(WORDS_OF_LETTERS, st.integers(1, 4), SENTENCES)
    def test_a_shorter_prefix_finds_no_less(self, word: str, length: int, text: str) -> None:
        if Search.parse(word).matches(text):
            assert Search.parse(f"{word[:length]}*").matches(text)

    @pytest.mark.parametrize(
        ("query", "prompt"),
        [
            ("cat", "A CAT."),
            ("katze", "Kätze"),
            ("the", "The cat in the hat"),
            ("a", "a"),
            ("猫", "黒猫が走る"),
            ("黒猫", "黒猫が走る"),
            ("🦊", "a🦊b"),
            ("x" * 90, "x" * 85 + " "),
            ("x" * 70 + "*", "x" * 100),
            ("it's", "it's"),
            ("rock-n-roll", "Rock'n'Roll"),
        ],
    )
    def test_what_is_found(self, query: str, prompt: str) -> None:
        assert Search.parse(query).matches(prompt)

    @pytest.mark.parametrize(
        ("query", "prompt"),
        [
            ("cat", "cats"),
            ("cats", "cat"),
            ("at", "cat"),
            ("at*", "cat"),
            ("猫黒", "黒猫が走る"),
            ("黒猫", "黒い猫"),
            ("🐱", "🦊"),
            ("it's", "its"),
            ("its", "it's"),
            ('"cat black"', "black cat"),
            ("a", "ab"),
            ("cat", ""),
        ],
    )
    def test_what_is_not_found(self, query: str, prompt: str) -> None:
        assert not Search.parse(query).matches(prompt)
