"""Pictures in data: URLs, decoded as browsers do."""

import asyncio
import base64
import re
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.entrypoints.http.openai.data_urls import data_url_chunks, is_data_url


async def _decoded(url: str) -> bytes:
    return b"".join([chunk async for chunk in data_url_chunks(url, field="image")])


def decoded(url: str) -> bytes:
    return asyncio.run(_decoded(url))


@pytest.mark.parametrize(
    "url",
    [
        "data:image/png;base64,YSBmb3g=",
        "data:image/png;base64,YSBmb3g",
        "DATA:;Base64 ,YSBmb3g=",
        "data:image/png;charset=utf-8;name=a.png;base64,YSBmb3g=",
        "data:image/png;base64, YSBm\r\n b3g\t= ",
        "data:image/png;base64,YSBmb3g%3D",
        "data:image/png;base64,YSBmb3g%3d%0A",
        "data:image/png,a%20fox",
        "data:,a fox",
        "data:image/png;base64x,a fox",
    ],
)
def test_a_picture_is_decoded_as_a_browser_does(url: str) -> None:
    assert is_data_url(url)
    assert decoded(url) == b"a fox"


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "ab=",
        "abc==",
        "ab===",
        "abcd=",
        "=",
        "a b=c",
        "ab==cd==",
        "ab=c=",
        "YSBm_3g=",
        "YSBm-3g=",
        "ä",
        "\ud800",
        "ab%3",
        "%GG",
    ],
)
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(DataValidationError, match="base64") as caught:
        decoded(f"data:image/png;base64,{text}")

    assert caught.value.field == "image"


@pytest.mark.parametrize("url", ["data:", "data:image/png;base64", f"data:{'x' * 1_000},YQ=="])
def test_a_url_without_a_comma_near_its_beginning_is_refused(url: str) -> None:
    with pytest.raises(DataValidationError, match="comma"):
        decoded(url)


@pytest.mark.parametrize("url", ["", "http://example.org/", "datum:,", "image/png;base64,YQ=="])
def test_other_urls_are_none(url: str) -> None:
    assert not is_data_url(url)


@pytest.mark.parametrize("size", [0, 1, 786_431, 786_432, 786_433, 2_500_000])
def test_large_pictures_are_decoded_in_pieces(size: int) -> None:
    content = bytes(range(251)) * (size // 251 + 1)
    text = base64.b64encode(content[:size]).decode()

    assert decoded(f"data:image/png;base64,{text}") == content[:size]
    assert decoded(f"data:image/png;base64,{text.rstrip('=')}") == content[:size]
    assert decoded(f"data:image/png;base64,{re.sub('(.{76})', chr(92) + '1' + chr(10), text)}") == content[:size]


def test_padding_may_be_in_another_piece_than_the_last_digits() -> None:
    head = "data:;base64,"
    text = "A" * (1 << 20) + "YQ"

    assert decoded(f"{head}{' ' * ((1 << 20) - 2)}{text}==").endswith(b"a")
    with pytest.raises(DataValidationError):
        decoded(f"{head}YQ=={' ' * (1 << 20)}YQ==")
    with pytest.raises(DataValidationError):
        decoded(f"{head}Y={' ' * (1 << 20)}Q=")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40), st.booleans(), st.booleans(), st.lists(st.integers(0, 60), max_size=5))
def test_any_bytes_survive(content: bytes, is_padded: bool, is_quoted: bool, spaces: list[int]) -> None:
    text = base64.b64encode(content).decode()
    text = text if is_padded else text.rstrip("=")
    for position in spaces:
        text = text[:position] + " " + text[position:]

    assert decoded(f"data:image/png;base64,{quote(text) if is_quoted else text}") == content
    assert decoded(f"data:image/png,{quote(content)}") == content


@settings(max_examples=500, deadline=None)
@given(st.text("Aa+/= \n-%\u00e4", max_size=12))
def test_exactly_the_texts_of_the_standard_are_base64(text: str) -> None:
    """https://infra.spec.whatwg.org/#forgiving-base64-decode."""
    data = re.sub("[\t\n\f\r ]", "", text)
    if len(data) % 4 == 0:
        data = re.sub("={1,2}$", "", data)
    is_valid = len(data) % 4 != 1 and re.fullmatch("[0-9A-Za-z+/]*", data) is not None
    # A per cent sign is no digit, escaped or not.
    url = f"data:;base64,{text}"
    if is_valid:
        assert decoded(url) == base64.b64decode(data + "=" * (-len(data) % 4))
    else:
        with pytest.raises(DataValidationError):
            decoded(url)
