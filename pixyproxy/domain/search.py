"""What it means that an image's prompt has the words that somebody looks for.

A text is a sequence of terms, and so is what is looked for; databases only store and compare what this module makes.
Thus every database finds the same images.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, Self

import msgspec

from pixyproxy.domain.text import ensure_encodable, ensure_length

SEARCH_MAX_LENGTH = 500
TERM_MAX_LENGTH = 80

# Scripts that are written without spaces: Thai, Lao, Tibetan, Burmese, Khmer, kana and Han.
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_PIECE: Final = re.compile(r'"(?P<quoted>[^"]*)(?:"(?P<star>\*?)|$)|(?P<plain>[^\s"]+)')
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def terms_of(text: str) -> Sequence[str]:
    """Return the words of `text` as terms: ASCII letters, digits and `_`, at most 80 of them each.

    Case and diacritics make no difference. A word is a run of letters and digits; a character of a script that is
    written without spaces, or an emoji, is a word of its own. Each character outside ASCII takes five characters of
    its term, and what of a word has no room in 80 makes no difference.
    """
    return tuple(_terms(text))


def _terms(text: str) -> Iterator[str]:
    word: list[str] = []
    for character in _folded(text):
        code, stands_alone = _coded(character)
        if word and (stands_alone or not code):
            yield "".join(word)[:TERM_MAX_LENGTH]
            word.clear()
        if stands_alone:
            yield code
        elif code:
            word.append(code)
    if word:
        yield "".join(word)[:TERM_MAX_LENGTH]


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(character for character in apart if unicodedata.category(character) != "Mn")
    # What was taken apart and has lost nothing, such as a syllable of Hangul, is one character again.
    return unicodedata.normalize("NFKC", bare).casefold()


@lru_cache(maxsize=4096)
def _coded(character: str) -> tuple[str, bool]:
    """Return the code of a character, empty if it belongs to no word, and whether it is a word of its own."""
    if character.isascii():
        return (character if character.isalnum() else ""), False
    category = unicodedata.category(character)
    if category[0] not in "LNM" and category != "So":
        return "", False
    number, code = ord(character), ""
    while number:
        number, digit = divmod(number, len(_DIGITS))
        code = _DIGITS[digit] + code
    return f"_{code:0>4}", category == "So" or _UNSPACED.match(character) is not None


class Phrase(msgspec.Struct, frozen=True):
    """Terms that stand side by side; with `is_prefix` the last of them is the beginning of one."""

    terms: tuple[str, ...]
    is_prefix: bool = False


class Search(msgspec.Struct, frozen=True):
    """What somebody looks for: images whose prompts have all the phrases; without any, nothing."""

    phrases: tuple[Phrase, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what `text` looks for.

        White space separates words, double quotes hold a phrase together, and a `*` behind either stands for any end
        of its last word. Whatever else is no letter or digit is passed over, so that nothing is a syntax error.
        Raises `DataValidationError` unless `text` has 1 to 500 characters.
        """
        ensure_encodable("q", text)
        ensure_length("q", text, 1, SEARCH_MAX_LENGTH)
        phrases: dict[Phrase, None] = {}
        for piece in _PIECE.finditer(text):
            is_prefix = bool(piece["star"]) or (piece["plain"] or "").endswith("*")
            if terms := terms_of(piece["plain"] or piece["quoted"] or ""):
                phrases[Phrase(tuple(terms), is_prefix)] = None
        return cls(tuple(phrases))

    def matches(self, text: str) -> bool:
        """Whether `text` has all the phrases."""
        terms = f" {' '.join(terms_of(text))} "
        needles = [f" {' '.join(phrase.terms)}{'' if phrase.is_prefix else ' '}" for phrase in self.phrases]
        return bool(needles) and all(needle in terms for needle in needles)
