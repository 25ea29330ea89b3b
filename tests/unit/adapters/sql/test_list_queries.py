"""Queries of the full-text index."""

import pytest

from pixyproxy.adapters.mysql.dialect import MYSQL
from pixyproxy.adapters.sql.dialect import Dialect
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
        ('"a black cat" fox', '"zzblack" AND "zzcat" AND "zzfox"'),
        ("one three fourteen two sixteen", '"zzfourteen" AND "zzsixteen" AND "zzthree"'),
    ],
)
def test_the_index_of_words_is_asked_for_the_longest_words_and_for_no_short_prefix(text: str, match: str) -> None:
    assert ImageListQueries(SQLITE, ImageFilter(search=Search.parse(text))).match == match


@pytest.mark.parametrize(
    ("dialect", "match"),
    [(SQLITE, '("zzfox" OR "zyfox") AND ("zzann"* OR "zyann"*)'), (MYSQL, "+(zzfox zyfox) +(zzann* zyann*)")],
)
def test_the_index_of_words_is_asked_for_words_of_prompts_and_of_senders(dialect: Dialect, match: str) -> None:
    wanted = ImageFilter(search=Search.parse("fox ann*"), searches_senders=True)
    assert ImageListQueries(dialect, wanted).match == match
