"""Conditional requests."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.entrypoints.http.content.conditional import Validators, Verdict, parse_http_date

TAG = '"abc"'
MODIFIED = datetime(2026, 11, 21, 12, 30, 15, 999_999, tzinfo=UTC)
SAME = "Sat, 21 Nov 2026 12:30:15 GMT"
BEFORE = "Sat, 21 Nov 2026 12:30:14 GMT"
AFTER = "Sat, 21 Nov 2026 12:30:16 GMT"
VALIDATORS = Validators(TAG, MODIFIED)

PROCEED, NOT_MODIFIED, FAILED = Verdict.PROCEED, Verdict.NOT_MODIFIED, Verdict.FAILED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TAG, PROCEED),
        ("*", PROCEED),
        (f'"x", {TAG}', PROCEED),
        ('"x"', FAILED),
        (f"W/{TAG}", FAILED),
        ("abc", FAILED),
        ("", FAILED),
        (f"{TAG}, *", FAILED),
        ('"ABC"', FAILED),
    ],
)
def test_if_match_wants_the_very_entity_tag(text: str, expected: Verdict) -> None:
    assert VALIDATORS.judge({"if-match": text}) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TAG, NOT_MODIFIED),
        ("*", NOT_MODIFIED),
        (f'"x" ,{TAG}', NOT_MODIFIED),
        (f"W/{TAG}", NOT_MODIFIED),
        (f'W/"x", W/{TAG},', NOT_MODIFIED),
        ('"x"', PROCEED),
        ("abc", PROCEED),
        ("", PROCEED),
    ],
)
def test_if_none_match_does_with_a_weak_entity_tag(text: str, expected: Verdict) -> None:
    assert VALIDATORS.judge({"if-none-match": text}) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [(SAME, NOT_MODIFIED), (AFTER, NOT_MODIFIED), (BEFORE, PROCEED), ("yesterday", PROCEED), ("", PROCEED)],
)
def test_if_modified_since_compares_seconds(text: str, expected: Verdict) -> None:
    assert VALIDATORS.judge({"if-modified-since": text}) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [(SAME, PROCEED), (AFTER, PROCEED), (BEFORE, FAILED), ("yesterday", PROCEED), ("", PROCEED)],
)
def test_if_unmodified_since_compares_seconds(text: str, expected: Verdict) -> None:
    assert VALIDATORS.judge({"if-unmodified-since": text}) is expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        # Entity tags come before times, and preconditions before revalidation.
        ({"if-match": TAG, "if-unmodified-since": BEFORE}, PROCEED),
        ({"if-match": '"x"', "if-unmodified-since": AFTER}, FAILED),
        ({"if-none-match": TAG, "if-modified-since": BEFORE}, NOT_MODIFIED),
        ({"if-none-match": '"x"', "if-modified-since": AFTER}, PROCEED),
        ({"if-match": '"x"', "if-none-match": TAG}, FAILED),
        ({"if-match": TAG, "if-none-match": TAG}, NOT_MODIFIED),
        ({"if-unmodified-since": BEFORE, "if-none-match": TAG}, FAILED),
        ({"if-unmodified-since": BEFORE, "if-modified-since": AFTER}, FAILED),
        ({"if-unmodified-since": AFTER, "if-modified-since": AFTER}, NOT_MODIFIED),
        ({}, PROCEED),
    ],
)
def test_the_conditions_are_judged_in_the_order_of_the_rfc(headers: dict[str, str], expected: Verdict) -> None:
    assert VALIDATORS.judge(headers) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, True), (TAG, True), (SAME, True), (f"W/{TAG}", False), ('"x"', False), (AFTER, False), (BEFORE, False)],
)
def test_a_range_is_sent_only_if_the_client_has_the_same_representation(text: str | None, expected: bool) -> None:
    assert VALIDATORS.allow_range(text) is expected


@pytest.mark.parametrize("text", [SAME, "Saturday, 21-Nov-26 12:30:15 GMT", "Sat Nov 21 12:30:15 2026"])
def test_all_three_forms_of_a_date_are_understood(text: str) -> None:
    assert parse_http_date(text) == MODIFIED.replace(microsecond=0)


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001 -- the zone is the other argument
def test_a_date_is_read_as_it_is_written(time: datetime) -> None:
    assert parse_http_date(Validators(TAG, time).http_date) == time.replace(microsecond=0)


@pytest.mark.parametrize(
    "text",
    [
        SAME.replace("GMT", "+0200"), SAME.replace("GMT", "PST"), SAME.replace("GMT", "gmt"), f"{SAME}, {SAME}",
        f" {SAME}", SAME.replace("Nov", "nov"), SAME.removesuffix(" GMT"), "Sat, 31 Feb 2026 12:30:15 GMT",
        "Sat, 21 Nov 2026 25:30:15 GMT", "21 Nov 2026 12:30:15 GMT", "06 nov 2099 08.49 x",
    ],
)  # fmt: skip
def test_anything_else_is_no_date(text: str) -> None:
    assert parse_http_date(text) is None


def test_where_there_is_no_time_nothing_depends_on_one() -> None:
    validators = Validators(TAG, None)
    assert validators.http_date is None
    for name in ("if-modified-since", "if-unmodified-since"):
        for text in (BEFORE, AFTER):
            assert validators.judge({name: text}) is PROCEED
    assert not validators.allow_range(SAME)
    assert validators.allow_range(TAG)


def test_any_name_of_utc_is_utc() -> None:
    assert Validators(TAG, MODIFIED.astimezone(timezone(timedelta(0), "Zulu"))).http_date == SAME


@given(st.text())
def test_no_header_is_a_fault(text: str) -> None:
    time = parse_http_date(text)
    assert time is None or time.utcoffset() == timedelta(0)
    for name in ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since"):
        assert VALIDATORS.judge({name: text}) in Verdict
    assert VALIDATORS.allow_range(text) in {True, False}
