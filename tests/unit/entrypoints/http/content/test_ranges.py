"""Which bytes a `Range` header asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.exceptions import HTTPException

from pixyproxy.entrypoints.http.content.ranges import ByteRange, parse_range


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=10-19", 10, 20),
        ("bytes=99-", 99, 100),
        ("bytes=0-", 0, 100),
        ("bytes=90-1000", 90, 100),
        ("bytes=-1", 99, 100),
        ("bytes=-100", 0, 100),
        ("bytes=-1000", 0, 100),
        ("BYTES=1-2", 1, 3),
        ("bytes= 1-2", 1, 3),
        ("bytes=,1-2 ,", 1, 3),
        ("bytes=0000000000000000000000001-2", 1, 3),
        (f"bytes=5-{'9' * 5000}", 5, 100),
        (f"bytes=-{'9' * 5000}", 0, 100),
    ],
)
def test_one_range_is_the_bytes_that_it_names(text: str, start: int, end: int) -> None:
    assert parse_range(text, 100) == ByteRange(start, end)


@pytest.mark.parametrize("text", ["bytes=100-", "bytes=100-200", "bytes=-0", f"bytes={'9' * 5000}-", "bytes=-000"])
def test_a_range_without_any_bytes_is_refused_with_the_size(text: str) -> None:
    with pytest.raises(HTTPException) as caught:
        parse_range(text, 100)
    assert caught.value.status_code == 416
    assert caught.value.headers == {"Content-Range": "bytes */100"}


@pytest.mark.parametrize(
    "text",
    [
        None, "", "bytes", "bytes=", "bytes=-", "bytes=5", "bytes=5-4", "bytes=a-b", "bytes=1-2-3", "bytes=--1",
        "bytes=1 - 2", "bytes=+1-2", "bytes=٣-٤", "items=0-1", "bytes:0-1", "0-1", "bytes=0-1;", "bytes=0-1,5-6",
        "bytes=0-1, -1", "bytes=200-300,0-1",
    ],
)  # fmt: skip
def test_a_malformed_or_multiple_range_gets_the_whole(text: str | None) -> None:
    assert parse_range(text, 100) is None


@given(st.integers(1, 10_000), st.integers(0, 10_000), st.one_of(st.none(), st.integers(0, 10_000)))
def test_the_bytes_are_those_of_the_definition(byte_size: int, first: int, last: int | None) -> None:
    numbers = [number for number in range(byte_size) if first <= number and (last is None or number <= last)]
    text = f"bytes={first}-{'' if last is None else last}"
    try:
        found = parse_range(text, byte_size)
    except HTTPException:
        assert not numbers
    else:
        if last is not None and last < first:
            assert found is None
        else:
            assert found == ByteRange(numbers[0], numbers[-1] + 1)
            assert found.byte_size == len(numbers)


@given(st.one_of(st.text(), st.from_regex(r"bytes=[0-9, \t-]*", fullmatch=True)), st.integers(1, 100))
def test_no_header_gives_anything_but_bytes_that_are_there(text: str, byte_size: int) -> None:
    try:
        found = parse_range(text, byte_size)
    except HTTPException:
        return
    assert found is None or 0 <= found.start < found.end <= byte_size
