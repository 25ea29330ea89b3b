"""Origins of URLs."""

import httpx2
import pytest

from pixyproxy.adapters.network.origin import Origin


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Example.COM/a", ("https", "example.com", 443)),
        ("https://example.com:443/a", ("https", "example.com", 443)),
        ("HTTP://example.com:80", ("http", "example.com", 80)),
        ("http://example.com:443", ("http", "example.com", 443)),
        ("http://example.com.", ("http", "example.com.", 80)),
        ("https://exämple.com", ("https", "xn--exmple-cua.com", 443)),
        ("http://[::1]:9/", ("http", "::1", 9)),
        ("http://[0:0:0:0:0:0:0:1]:9/", ("http", "::1", 9)),
        ("http://example.com:0/", ("http", "example.com", 0)),
        ("http://2130706433/", ("http", "2130706433", 80)),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, expected: tuple[str, str, int]) -> None:
    assert Origin.of(httpx2.URL(url)) == expected


@pytest.mark.parametrize("url", ["ftp://example.com", "file:///etc/passwd", "data:,a", "//example.com", "http:///a"])
def test_only_the_web_has_origins(url: str) -> None:
    with pytest.raises(ValueError, match="http"):
        Origin.of(httpx2.URL(url))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Example.com:443/a", "example.com"),
        ("HTTP://example.com:80/a", "example.com"),
        ("https://example.com:80/a", "example.com:80"),
        ("http://[::1]/", "[::1]"),
        ("http://[::1]:9/", "[::1]:9"),
    ],
)
def test_the_host_field_names_a_port_only_if_it_is_not_the_default(url: str, expected: str) -> None:
    assert Origin.of(httpx2.URL(url)).netloc == expected
