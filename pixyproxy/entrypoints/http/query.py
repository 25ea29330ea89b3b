"""Parsing query parameters."""

import re
from collections.abc import Collection, Iterator
from enum import StrEnum
from typing import Protocol, TypeVar

from pixyproxy.domain.errors import DataValidationError

Word = TypeVar("Word", bound=StrEnum)


class QueryParameters(Protocol):
    """The parameters of a query, which may be repeated."""

    def getall(self, key: str, default: list[str], /) -> list[str]:
        """Return the values of a parameter, or the default."""

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the parameters."""


def ensure_known(parameters: QueryParameters, known: Collection[str]) -> None:
    """Raise `DataValidationError` for a parameter of a list that is not in `known`.

    Ignoring a misspelt filter would show the wrong records.
    """
    for name in parameters:
        if name not in known:
            raise DataValidationError(name, "is no parameter of this list")


def single(parameters: QueryParameters, name: str) -> str | None:
    """Return the value of a parameter, None without it; raise `DataValidationError` if it is given twice."""
    values = parameters.getall(name, [])
    if len(values) > 1:
        raise DataValidationError(name, "must be given once")
    return values[0] if values else None


def parse_number(name: str, text: str) -> int:
    """Return a whole number of at most five digits; raise `DataValidationError`."""
    if not re.fullmatch(r"[0-9]{1,5}", text):
        raise DataValidationError(name, "must be a whole number")
    return int(text)


def parse_flag(name: str, text: str) -> bool:
    """Return whether a parameter is `true`; raise `DataValidationError` unless it is `true` or `false`."""
    if text not in {"true", "false"}:
        raise DataValidationError(name, "must be true or false")
    return text == "true"


def parse_word(name: str, text: str, words: type[Word]) -> Word:
    """Return one of the allowed words; raise `DataValidationError`."""
    try:
        return words(text)
    except ValueError:
        raise DataValidationError(name, f"must be one of {', '.join(words)}") from None
