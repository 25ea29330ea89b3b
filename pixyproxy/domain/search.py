"""Search: how a prompt matches a query.

Texts and queries are sequences of terms; databases only store and compare the terms that this module makes, so every
database finds the same images.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, Self

import msgspec
import regex

from pixyproxy.domain.latin import ASCII_FORMS
from pixyproxy.domain.text import MARKS_MAX_COUNT, ensure_encodable, ensure_length, ensure_marks, has_many_marks

SEARCH_MAX_LENGTH = 500
TERM_MAX_LENGTH = 80

# The most characters of a decomposed prompt. Some compatibility forms stand for a sentence, and don't fit.
FOLDED_MAX_LENGTH: Final = 4 * 32_000

# Scripts in which marks are accents: elsewhere they make other letters, or vowels.
_ACCENTED: Final = regex.compile(r"[\p{Latin}\p{Greek}\p{Cyrillic}\p{Hebrew}\p{Arabic}]")
# Letters without case come after those scripts.
_NO_MORE_ACCENTS: Final = "\u0900"
# A letter of every alphabet that has it, as in Unicode's collation (UTS 10).
_SHORT_I: Final = "\u0439"
# It spreads out Arabic letters.
_TATWEEL: Final = "\u0640"
# Letters of scripts that are written without spaces: Thai, Lao, Tibetan, Burmese, Khmer, kana, Han and others.
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_IGNORABLE: Final = regex.compile(r"\p{Default_Ignorable_Code_Point}")
_PICTURE: Final = regex.compile(r"[\p{So}\p{Extended_Pictographic}--\p{ASCII}]", regex.V1)
_PIECE: Final = re.compile(r'"(?P<quoted>[^"]*)(?:"(?P<star>\*?)|$)|(?P<plain>[^\s"]+)')
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_PAIRS: Final = [first + second for first in _DIGITS for second in _DIGITS]


def terms_of(text: str) -> Sequence[str]:
    """Return the words of `text` as terms: ASCII letters, digits and `_`, at most 80 of them each.

    Terms ignore case, compatibility forms, invisible characters, and the accents of Latin, Greek, Cyrillic, Hebrew and
    Arabic letters; Latin letters such as `ł` become their ASCII spellings, and digits are the same in all scripts. In
    other scripts marks are letters. A word is a run of letters and digits; an emoji, or a letter of a script without
    spaces with its marks, is a word of its own. Each character outside ASCII takes five characters of its term; the
    rest of a word beyond 80, and of a letter beyond 30 marks, is ignored. Takes time linear in the length of `text`.
    """
    return tuple(_terms(text))


def _terms(text: str) -> Iterator[str]:
    word: list[str] = []
    is_closed = False
    for character in folded(text):
        code, stands_alone, is_mark = _coded(character)
        if word and (not code or stands_alone or (is_closed and not is_mark)):
            yield "".join(word)[:TERM_MAX_LENGTH]
            word.clear()
        if code:
            is_closed = stands_alone or (is_closed and bool(word))
            word.append(code)
    if word:
        yield "".join(word)[:TERM_MAX_LENGTH]


def folded(text: str) -> str:
    """Return `text` without what a search ignores; applying it twice changes nothing more."""
    if text.isascii():
        return text.lower()
    composed = unicodedata.normalize("NFKC", _decomposed(_IGNORABLE.sub("", text)).casefold())
    return "".join(_bare(unicodedata.normalize("NFC", composed.casefold())))


def _decomposed(text: str) -> str:
    """Return the beginning of `text` in NFKD with at most 30 marks in a row, in time linear in its length."""
    if has_many_marks(text):
        # Single characters need no reordering.
        text = "".join(unicodedata.normalize("NFKD", character) for character in text)
    else:
        text = unicodedata.normalize("NFKD", text)
    text = text[:FOLDED_MAX_LENGTH]
    return "".join(_in_order(text)) if has_many_marks(text) else text


def _in_order(text: str) -> Iterator[str]:
    """Yield `text` in canonical order, with at most 30 marks in a row."""
    marks: list[str] = []
    for character in text:
        if unicodedata.combining(character):
            marks.append(character)
            continue
        if marks:
            yield from sorted(marks, key=unicodedata.combining)[:MARKS_MAX_COUNT]
            marks.clear()
        yield character
    yield from sorted(marks, key=unicodedata.combining)[:MARKS_MAX_COUNT]


def _bare(text: str) -> Iterator[str]:
    """Yield `text` with bare letters in place of those whose marks are accents."""
    keeps_marks = False
    for character in text:
        bare, is_letter, is_mark = _bared(character)
        if not is_mark:
            keeps_marks = is_letter
            yield bare
        elif keeps_marks:
            yield bare


@lru_cache(maxsize=8192)
def _bared(character: str) -> tuple[str, bool, bool]:
    """Return a character without its accents, whether marks after it are letters, and whether it is a mark."""
    category = unicodedata.category(character)
    if category[0] == "M":
        return character, True, True
    if category == "Lo" and character >= _NO_MORE_ACCENTS:
        return character, True, False
    if category == "Nd":
        return str(unicodedata.decimal(character)), False, False
    if character in {_SHORT_I, _TATWEEL}:
        return character.replace(_TATWEEL, ""), False, False
    if _ACCENTED.match(character):
        base = unicodedata.normalize("NFD", character)[0]
        return ASCII_FORMS.get(base, base), False, False
    return character, category[0] == "L", False


@lru_cache(maxsize=8192)
def _coded(character: str) -> tuple[str, bool, bool]:
    """Return a character's code (empty outside words), whether it stands alone, and whether it is a mark."""
    if character.isascii():
        return (character if character.isalnum() else ""), False, False
    category = unicodedata.category(character)
    is_picture = category[0] not in "LNM" and _PICTURE.match(character) is not None
    if category[0] not in "LNM" and not is_picture:
        return "", False, False
    first, second = divmod(ord(character), len(_PAIRS))
    is_mark = category[0] == "M"
    stands_alone = is_picture or (not is_mark and _UNSPACED.match(character) is not None)
    return f"_{_PAIRS[first]}{_PAIRS[second]}", stands_alone, is_mark


def character_count(term: str) -> int:
    """Return how many characters of a text a term represents."""
    return len(term) - 4 * term.count("_")


class Phrase(msgspec.Struct, frozen=True):
    """Adjacent terms; with `is_prefix` the last one is the beginning of a term."""

    terms: tuple[str, ...]
    is_prefix: bool = False


class Search(msgspec.Struct, frozen=True):
    """A query: matches prompts that have all its phrases; without any, none."""

    phrases: tuple[Phrase, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the search for `text`.

        White space separates words, double quotes enclose a phrase, and a `*` after either makes its last word a
        prefix. All else that is no letter or digit is ignored, so that nothing is a syntax error. Raises
        `DataValidationError` unless `text` has 1 to 500 characters and at most 30 combining marks in a row.
        """
        ensure_encodable("q", text)
        ensure_length("q", text, 1, SEARCH_MAX_LENGTH)
        ensure_marks("q", text)
        phrases: dict[Phrase, None] = {}
        for piece in _PIECE.finditer(text):
            is_prefix = bool(piece["star"]) or (piece["plain"] or "").endswith("*")
            if terms := terms_of(piece["plain"] or piece["quoted"] or ""):
                phrases[Phrase(tuple(terms), is_prefix)] = None
        return cls(tuple(phrases))

    def matches(self, *texts: str) -> bool:
        """Whether each phrase is in one of the texts."""
        found = [f" {' '.join(terms_of(text))} " for text in texts]
        needles = [f" {' '.join(phrase.terms)}{'' if phrase.is_prefix else ' '}" for phrase in self.phrases]
        return bool(needles) and all(any(needle in terms for terms in found) for needle in needles)
