"""Rules for all texts of the domain.

Foreign text is bounded before it is normalised, in characters and in marks in a row: putting marks in order takes time
quadratic in their number (UAX 15, section 13).
"""

import unicodedata
from typing import Final

import regex

from pixyproxy.domain.errors import DataValidationError

# The limit of the Stream-Safe Text Format (UAX 15, section 13). No orthography comes near it.
MARKS_MAX_COUNT: Final = 30

# A character has up to four in the decomposed form NFD.
DECOMPOSED_MAX_LENGTH: Final = 4

# The halfwidth sound marks are letters that become marks under NFKD.
_TOO_MANY_MARKS: Final = regex.compile(rf"[\p{{M}}\uFF9E\uFF9F]{{{MARKS_MAX_COUNT + 1}}}")

_VISIBLE: Final = regex.compile(r"[^\p{Z}\p{Cc}\p{Cs}\p{Default_Ignorable_Code_Point}\u2800\uFFF9-\uFFFB\U0001D159]")

# These reorder other characters, or separate words invisibly.
_HIDDEN: Final = regex.compile(r"[\p{Bidi_Control}\u200B\u2060\uFEFF]")

# Where UTS 51 (emoji ZWJ sequences) and UAX 31 (section 2.3: A1, A2, B) use joiners, and where the Unicode Standard
# (section 12.2) has a ZWJ before a virama, as Bengali writes ra and ya.
_STRAY_JOINER: Final = regex.compile(
    r"""
    (?<! \p{Extended_Pictographic} [\p{M}\p{Emoji_Modifier}\U000E0020-\U000E007F]*
         (?= \u200D \p{Extended_Pictographic} ) )
    (?<! [\p{Joining_Type=L}\p{Joining_Type=D}] \p{Joining_Type=T}*
         (?= \u200C \p{Joining_Type=T}* [\p{Joining_Type=R}\p{Joining_Type=D}] ) )
    (?<! \p{Canonical_Combining_Class=Virama} \p{M}* (?= \u200C \p{M}* \p{L} ) )
    (?<! \p{Canonical_Combining_Class=Virama} \p{M}* (?= \u200D ) )
    (?<! \p{L} (?= \u200D \p{Canonical_Combining_Class=Virama} ) )
    [\u200C\u200D]
    """,
    regex.VERBOSE,
)


def ensure_encodable(field: str, text: str) -> None:
    """Raise `DataValidationError` for a NUL or a lone surrogate, which no database stores faithfully."""
    if "\0" in text:
        raise DataValidationError(field, "must not contain a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise DataValidationError(field, "must not contain a lone surrogate") from exc


def ensure_length(field: str, text: str, minimum: int, maximum: int) -> None:
    """Raise `DataValidationError` unless `text` has `minimum` to `maximum` characters (code points)."""
    if not minimum <= len(text) <= maximum:
        raise DataValidationError(field, f"must have {minimum:,} to {maximum:,} characters, not {len(text):,}")


def ensure_bounded(field: str, text: str, maximum: int) -> None:
    """Raise `DataValidationError` for text that can't be `maximum` characters in NFC, or has too many marks.

    Normalising the rest takes time linear in its length.
    """
    if len(text) > DECOMPOSED_MAX_LENGTH * maximum:
        raise DataValidationError(field, f"must have at most {maximum:,} characters, not {len(text):,}")
    ensure_marks(field, text)


def ensure_marks(field: str, text: str) -> None:
    """Raise `DataValidationError` for more than 30 combining marks in a row (UAX 15, section 13)."""
    if has_many_marks(text):
        raise DataValidationError(field, f"must not have more than {MARKS_MAX_COUNT} combining marks in a row")


def has_many_marks(text: str) -> bool:
    """Whether there are more than 30 combining marks in a row."""
    return not text.isascii() and _TOO_MANY_MARKS.search(text) is not None


def ensure_label(field: str, text: str, maximum: int) -> None:
    """Check a short text of one line, such as a tag or a name, by the rules of stored text.

    Raises `DataValidationError` unless it has 1 to `maximum` characters, no control characters, and no white space
    around it.
    """
    ensure_encodable(field, text)
    ensure_length(field, text, 1, maximum)
    # Printable text has none of these, and that is much faster to find out.
    if not text.isprintable() and any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in text):
        raise DataValidationError(field, "must not contain control characters or line breaks")
    if text != text.strip():
        raise DataValidationError(field, "must not begin or end with white space")


def ensure_visible(field: str, text: str) -> None:
    """Raise `DataValidationError` for text without a visible character."""
    if not _VISIBLE.search(text):
        raise DataValidationError(field, "must have a visible character")


def ensure_new_label(field: str, text: str, maximum: int) -> None:
    """Check a new label: `ensure_label`, and nothing that deceives the eye.

    Raises `DataValidationError` also for text without a visible character, and for bidirectional controls, U+200B,
    U+2060 and U+FEFF.
    """
    ensure_label(field, text, maximum)
    ensure_visible(field, text)
    if hidden := _HIDDEN.search(text):
        raise DataValidationError(field, f"must not contain the invisible character U+{ord(hidden[0]):04X}")


def normalized_label(field: str, text: str, maximum: int) -> str:
    """Return a short text in NFC, with ZWJ and ZWNJ only where Unicode uses them (UTS 51, UAX 31).

    Raises what `ensure_bounded` raises.
    """
    ensure_bounded(field, text, maximum)
    if text.isascii():
        return text
    # Without a joiner its neighbours may become one character.
    return unicodedata.normalize("NFC", _STRAY_JOINER.sub("", unicodedata.normalize("NFC", text)))
