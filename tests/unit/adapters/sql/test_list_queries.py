"""Queries of the full-text index."""

import pytest

from pixyproxy.adapters.sql.list_queries import ImageListQueries
from pixyproxy.adapters.sqlite.dialect import SQLITE
from pixyproxy.domain.listing import ImageFilter
from pixyproxy.domain.search import Search


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("fox", '"zzfox"'),
        ("fo*", '"zzfo"*'),
        ("f*", ""),
        ("ф*", ""),
        ("фо*", '"zz_00uc_00u6"*'),
        ("a* b* c*", ""),
        ("a* fox", '"zzfox"'),
        ("fox fox*", '"zzfox"'),
        ("fox* fox", '"zzfox"'),
        ('"a black cat" fox', '"zzblack" "zzcat" "zzfox"'),
        ("one three fourteen two sixteen", '"zzfourteen" "zzsixteen" "zzthree"'),
    ],
)
def test_the_index_of_words_is_asked_for_the_longest_words_and_for_no_short_prefix(text: str, match: str) -> None:
    assert ImageListQueries(SQLITE, ImageFilter(search=Search.parse(text))).match == match
