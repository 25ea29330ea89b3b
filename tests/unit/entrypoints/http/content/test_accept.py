"""Media types that a client accepts, by its `Accept` header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.entrypoints.http.content.accept import parse_accept, weight_of

TOKENS = st.text("abcxyzABC019!#$%&'+.^_`|~-", min_size=1, max_size=6)
SPACES = st.text(" \t", max_size=3)
WEIGHTS = st.integers(0, 1000)


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("", {}),
        ("image/avif", {"image/avif": 1000}),
        ("IMAGE/Avif;Q=0.5", {"image/avif": 500}),
        ("image/avif ; q=0.123 , */*;q=0", {"image/avif": 123, "*/*": 0}),
        ("image/avif;q=1.000,image/webp;q=0.,image/png;q=1.", {"image/avif": 1000, "image/webp": 0, "image/png": 1000}),
        (" ,, image/avif,\t,", {"image/avif": 1000}),
        ("image/avif;;q=0.1; ", {"image/avif": 100}),
        (
            "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
            dict.fromkeys(["image/avif", "image/webp", "image/apng", "image/svg+xml", "image/*"], 1000) | {"*/*": 800},
        ),
        # These ask for something more special than a media type.
        ("image/avif;codecs=av1, image/png", {"image/png": 1000}),
        ('image/avif;x="a, image/webp;q=0, \\"";q=0.3, image/png;q=0.2', {"image/png": 200}),
        ('image/png;q=0.2;x="', {}),
    ],
)
def test_each_range_has_a_weight(text: str, weights: dict[str, int]) -> None:
    assert parse_accept(text) == weights


@pytest.mark.parametrize(
    "text",
    [
        *("image", "image/", "/png", "*", "*/png", "image/*/*", "image /png", "image/ png", "ü/png"),
        *("image/png;q", "image/png;q=", "image/png;q=2", "image/png;q=1.001", "image/png;q=-1", "image/png;q=.5"),
        *("image/png;q=0.1234", "image/png;q=nan", "image/png;q=1e-1", 'image/png;q="1"', "image/png;x=("),
        *("image/png q=1", "image/png image/webp", "image/png\n", "image/png\r\nx"),
    ],
)
def test_nothing_is_taken_from_a_malformed_header(text: str) -> None:
    assert parse_accept(f"image/webp, {text}") == {}
    assert parse_accept(f"{text}, image/webp") == {}


@given(st.text() | st.text('image/avif;q=0.5, *"\\\t'))
def test_no_header_is_an_error(text: str) -> None:
    assert all(0 <= weight <= 1000 for weight in parse_accept(text).values())


@given(st.dictionaries(st.tuples(TOKENS, TOKENS), WEIGHTS), SPACES, SPACES)
def test_headers_of_the_grammar_are_read(ranges: dict[tuple[str, str], int], before: str, after: str) -> None:
    names = {pair: f"{pair[0]}/{pair[1]}".lower() for pair in ranges}
    text = f"{after},{before}".join(
        f"{type_}/{subtype}{before};{after}q={weight / 1000:.3f}" for (type_, subtype), weight in ranges.items()
    )

    assert parse_accept(text) == {names[pair]: weight for pair, weight in ranges.items()}


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        "a/b" + "; " * 50_000 + "@",
        ("a/b;" + " " * 100) * 1000 + "@",
        "a/b" + " " * 100_000 + "x",
        "a" * 100_000,
        'a/b;x="' + "\\a" * 50_000,
        'a/b;x="' * 15_000,
        (" " * 500 + ",") * 200 + "x",
    ],
)
def test_a_hostile_header_takes_no_longer_than_others(text: str) -> None:
    assert parse_accept(text) == {}


def test_the_most_specific_range_counts() -> None:
    weights = {"image/png": 100, "image/*": 200, "*/*": 300}

    assert [weight_of(name, weights) for name in ("image/png", "image/webp", "text/html")] == [100, 200, 300]
    assert weight_of("image/png", {"image/png": 0, "*/*": 1000}) == 0
    assert weight_of("image/png", {"image/webp": 1000}) == 0


def test_by_name_a_range_for_many_types_does_not_count() -> None:
    assert weight_of("image/avif", {"image/*": 1000, "*/*": 1000}, by_name=True) == 0
    assert weight_of("image/avif", {"image/avif": 500, "*/*": 1000}, by_name=True) == 500
