"""Rules that every text of the domain obeys."""

import unicodedata

from pixyproxy.domain.errors import DataValidationError


def ensure_encodable(field: str, text: str) -> None:
    """Refuse text that no database keeps faithfully; raise `DataValidationError` for a NUL or a lone surrogate."""
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


def ensure_label(field: str, text: str, maximum: int) -> None:
    """Check a short text of one line, such as a tag or a name.

    Raises `DataValidationError` unless it has 1 to `maximum` characters, no control characters, and no white space
    around it.
    """
    ensure_encodable(field, text)
    ensure_length(field, text, 1, maximum)
    # What is printable has none of these, and that is found out much faster.
    if not text.isprintable() and any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in text):
        raise DataValidationError(field, "must not contain control characters or line breaks")
    if text != text.strip():
        raise DataValidationError(field, "must not begin or end with white space")
