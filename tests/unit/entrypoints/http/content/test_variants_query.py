"""The query of a picture, and the format of the answer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.datastructures import MultiDict
from multidict import MultiDict as PlainMultiDict

from pixyproxy.domain.content import MediaType
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.variant import Fit, Variant, VariantFormat
from pixyproxy.entrypoints.http.content.variants import ORIGINAL, FormatChoice, VariantQuery

CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
FIREFOX = "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
AUTO = VariantQuery(format=FormatChoice.AUTO)
QUERIES = st.builds(
    VariantQuery,
    width=st.none() | st.integers(1, 4096),
    height=st.none() | st.integers(1, 4096),
    fit=st.none() | st.sampled_from(Fit),
    format=st.none() | st.sampled_from(FormatChoice),
    quality=st.none() | st.integers(1, 100),
)
MEDIA_TYPES = st.sampled_from(MediaType)


def parsed(query: str) -> VariantQuery:
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    return VariantQuery.parse(MultiDict([(name, value) for name, _, value in pairs]))


def kept(media_type: MediaType) -> VariantFormat:
    return {MediaType.JPEG: VariantFormat.JPEG, MediaType.WEBP: VariantFormat.WEBP}.get(media_type, VariantFormat.PNG)


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("width=1", {"width": 1}),
        ("width=4096", {"width": 4096}),
        ("width=0256", {"width": 256}),
        ("height=256", {"height": 256}),
        ("fit=contain", {"fit": Fit.CONTAIN}),
        ("fit=cover", {"fit": Fit.COVER}),
        ("format=png", {"format": FormatChoice.PNG}),
        ("format=jpeg", {"format": FormatChoice.JPEG}),
        ("format=webp", {"format": FormatChoice.WEBP}),
        ("format=avif", {"format": FormatChoice.AVIF}),
        ("format=auto", {"format": FormatChoice.AUTO}),
        ("quality=1", {"quality": 1}),
        ("quality=100", {"quality": 100}),
    ],
)
def test_each_parameter_asks_for_something_else_than_the_original(query: str, fields: dict[str, Any]) -> None:
    assert parsed(query) == VariantQuery(**fields)
    assert not parsed(query).is_original
    assert parsed(query).follows_accept == (query == "format=auto")


@pytest.mark.parametrize("query", ["", "download=true", "v=3", "Width=256", "expires=1&signature=x&signature=y"])
def test_without_any_of_them_it_is_the_original(query: str) -> None:
    assert parsed(query) == ORIGINAL
    assert parsed(query).is_original
    assert parsed(query).canonical == ""


@pytest.mark.parametrize("name", ["width", "height"])
@pytest.mark.parametrize(
    "text", ["", "0", "4097", "-1", "+1", "1.0", "1e2", " 1", "1_0", "0x10", "ten", "٢", "²", "\0", "99999", "9" * 5000]
)
def test_a_side_that_is_no_number_of_pixels_is_refused(name: str, text: str) -> None:
    with pytest.raises(DataValidationError) as caught:
        parsed(f"{name}={text}")
    assert caught.value.field == name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("quality", text) for text in ("0", "101", "best", "")),
        *(("fit", text) for text in ("fill", "COVER", "")),
        *(("format", text) for text in ("gif", "image/png", "")),
    ],
)
def test_an_unknown_word_is_refused(name: str, text: str) -> None:
    with pytest.raises(DataValidationError) as caught:
        parsed(f"{name}={text}")
    assert caught.value.field == name


@pytest.mark.parametrize("name", ["width", "height", "fit", "format", "quality"])
def test_no_parameter_may_be_given_twice(name: str) -> None:
    value = {"fit": "cover", "format": "png"}.get(name, "64")
    with pytest.raises(DataValidationError, match=r"^must be given once$") as caught:
        parsed(f"{name}={value}&{name}={value}")
    assert caught.value.field == name


@pytest.mark.parametrize("field", ["width", "height", "quality"])
@pytest.mark.parametrize("number", [0, -1, 4097])
def test_nothing_out_of_bounds_can_be_built(field: str, number: int) -> None:
    fields: dict[str, Any] = {field: number}
    with pytest.raises(DataValidationError) as caught:
        VariantQuery(**fields)
    assert caught.value.field == field


@given(st.lists(st.tuples(st.sampled_from(["width", "height", "fit", "format", "quality", "x"]), st.text())))
def test_whatever_is_sent_is_understood_or_refused(pairs: list[tuple[str, str]]) -> None:
    names = {name for name, _ in pairs}
    try:
        query = VariantQuery.parse(PlainMultiDict(pairs))
    except DataValidationError as exc:
        refused = exc.field
        assert refused in names
    else:
        assert query.is_original == (not names - {"x"})


def test_the_canonical_text_has_a_fixed_order() -> None:
    query = parsed("quality=70&format=webp&fit=cover&height=064&width=256")

    assert query.canonical == "width=256&height=64&fit=cover&format=webp&quality=70"


@given(QUERIES)
def test_the_canonical_text_asks_for_the_same(query: VariantQuery) -> None:
    assert parsed(query.canonical) == query
    assert parsed("&".join(reversed(query.canonical.split("&")))).canonical == query.canonical


@given(QUERIES.filter(lambda query: not query.follows_accept), MEDIA_TYPES, st.none() | st.text())
def test_a_variant_has_the_requested_size_and_format(
    query: VariantQuery, media_type: MediaType, accept: str | None
) -> None:
    chosen = VariantFormat(query.format) if query.format else kept(media_type)

    assert query.variant_for(media_type, accept) == Variant(
        format=chosen,
        width=query.width,
        height=query.height,
        fit=query.fit or Fit.CONTAIN,
        quality=query.quality or 80,
    )


@pytest.mark.parametrize(
    ("accept", "media_type", "chosen"),
    [
        (CHROME, MediaType.PNG, VariantFormat.AVIF),
        (FIREFOX, MediaType.JPEG, VariantFormat.AVIF),
        ("image/webp,image/png;q=0.9,*/*;q=0.5", MediaType.PNG, VariantFormat.WEBP),
        ("image/webp;q=0.9,image/avif;q=0.8,*/*;q=0.1", MediaType.PNG, VariantFormat.WEBP),
        ("image/avif;q=0,image/webp,*/*", MediaType.PNG, VariantFormat.WEBP),
        ("image/avif;q=0,image/webp;q=0,*/*", MediaType.PNG, VariantFormat.PNG),
        ("image/webp;q=0.5,*/*", MediaType.JPEG, VariantFormat.JPEG),
        ("image/webp;q=0.5,image/*;q=0.4,*/*", MediaType.JPEG, VariantFormat.WEBP),
        ("image/webp;q=0.5,image/jpeg;q=0.4,image/*", MediaType.JPEG, VariantFormat.WEBP),
        ("image/webp;q=0.5,image/jpeg;q=0.4,image/*", MediaType.PNG, VariantFormat.PNG),
        ("image/webp", MediaType.GIF, VariantFormat.WEBP),
        ("image/png", MediaType.WEBP, VariantFormat.PNG),
        ("image/png,image/*;q=0.5", MediaType.WEBP, VariantFormat.PNG),
        ("image/webp;q=0,*/*", MediaType.WEBP, VariantFormat.PNG),
        ("image/avif,*/*", MediaType.WEBP, VariantFormat.AVIF),
    ],
)
def test_auto_is_the_format_with_the_greatest_weight(accept: str, media_type: MediaType, chosen: VariantFormat) -> None:
    assert AUTO.variant_for(media_type, accept).format is chosen


@pytest.mark.parametrize(
    "accept",
    [None, "", "*/*", "image/*", "image/*,*/*;q=0.8", "text/html", "image/svg+xml", "image/avif;q=2", "image/avif x"],
)
@pytest.mark.parametrize("media_type", MediaType)
def test_without_a_format_the_variant_has_that_of_the_original(accept: str | None, media_type: MediaType) -> None:
    assert AUTO.variant_for(media_type, accept).format is kept(media_type)


@given(
    st.dictionaries(
        st.sampled_from(["image/avif", "image/webp", "image/png", "image/jpeg", "image/*", "*/*"]), st.integers(0, 1000)
    ),
    MEDIA_TYPES,
)
def test_auto_sends_nothing_that_is_liked_less_than_another(weights: dict[str, int], media_type: MediaType) -> None:
    accept = ", ".join(f"{name};q={weight / 1000:.3f}" for name, weight in weights.items())
    chosen = AUTO.variant_for(media_type, accept).format

    named = {format_: weights.get(format_.media_type, 0) for format_ in (VariantFormat.AVIF, VariantFormat.WEBP)}
    if chosen in named and chosen is not kept(media_type):
        assert named[chosen] == max(named.values()) > 0
    for format_, weight in named.items():
        if chosen is not format_:
            fallback = weights.get(f"image/{chosen}", weights.get("image/*", weights.get("*/*", 0)))
            assert weight <= fallback
