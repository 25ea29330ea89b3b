"""Pages of lists."""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

import msgspec

from pixyproxy.domain.errors import DataValidationError

T = TypeVar("T")

LIMIT_DEFAULT = 100
LIMIT_MAX = 1000

# A thousand of the longest prompts would take 128 MB, for as long as a slow client takes to read them.
PAGE_MAX_BYTES = 4 << 20


class CutPage(msgspec.Struct, Generic[T], frozen=True):
    """The entries of a page in the order of the list, and whether there are more before and after them."""

    entries: Sequence[T]
    has_next: bool
    has_previous: bool


def ensure_limit(limit: int) -> None:
    """Raise `DataValidationError` unless a page may have this many entries."""
    if not 1 <= limit <= LIMIT_MAX:
        raise DataValidationError("limit", f"must be 1 to {LIMIT_MAX}, not {limit}")


def count_fitting(sizes: Iterable[int], most: int) -> int:
    """Return how many entries fit into `most` bytes together; the first one always fits."""
    totals = enumerate(accumulate(sizes))
    return next((max(1, number) for number, total in totals if total > most), LIMIT_MAX)


def cut_page(found: Sequence[T], limit: int, *, is_first: bool, is_backward: bool) -> CutPage[T]:
    """Return the page of up to `limit` entries of `found`, which has one more if there are more.

    The entries of a page that leads back are in reverse order.
    """
    has_more = len(found) > limit
    entries = found[:limit]
    return CutPage(
        entries=entries[::-1] if is_backward else entries,
        has_next=bool(entries) and (has_more or is_backward),
        has_previous=bool(entries) and not is_first and (has_more or not is_backward),
    )
