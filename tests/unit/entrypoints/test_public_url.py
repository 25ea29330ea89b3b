"""The address that clients know the service by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.entrypoints.public_url import PublicURL, is_prefix, parse_public_url


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("https://example.org", PublicURL("https://example.org", "example.org", "")),
        ("https://example.org/", PublicURL("https://example.org", "example.org", "")),
        ("HTTP://Example.ORG:8080", PublicURL("http://example.org:8080", "example.org:8080", "")),
        ("https://example.org/pixy/", PublicURL("https://example.org", "example.org", "/pixy")),
        (
            "https://[2001:db8::1]:8443/a/B_c.d~e-f",
            PublicURL("https://[2001:db8::1]:8443", "[2001:db8::1]:8443", "/a/B_c.d~e-f"),
        ),
        ("https://example.org:443", PublicURL("https://example.org", "example.org", "")),
        ("http://example.org:443", PublicURL("http://example.org:443", "example.org:443", "")),
        ("https://example.org/images", PublicURL("https://example.org", "example.org", "/images")),
    ],
)
def test_a_url_has_an_origin_a_host_and_a_prefix(text: str, parts: PublicURL) -> None:
    assert parse_public_url(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.org",
        "ftp://example.org",
        "https://",
        "https:///pixy",
        "https://ann:secret@example.org",
        "https://exa mple.org",
        "https://example.org:0",
        "https://example.org:99999",
        "https://example.org:x",
        "https://[::1",
        "https://example.org/pixy?",
        "https://example.org/pixy?a=b",
        "https://example.org/#top",
        "https://example.org//pixy",
        "https://example.org/a/../b",
        "https://example.org/a/.",
        "https://example.org/ä",
        "https://example.org/%70ixy",
        "https://example.org/image",
        "https://example.org/private/pixy",
        "https://example.org/schema",
        "https://example.org/" + "a" * 300,
    ],
)
def test_anything_else_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(It|Its|After) .*\.$") as caught:
        parse_public_url(text)
    assert "secret" not in str(caught.value)


@given(st.text(alphabet="/.aA%~\\?#\n", max_size=20))
def test_a_prefix_can_stand_before_any_path(text: str) -> None:
    if is_prefix(text) and text:
        assert text.startswith("/")
        assert not text.endswith("/")
        assert not {"", ".", ".."} & set(text.split("/")[1:])
        assert not set(text) & set("%\\?#\n")
