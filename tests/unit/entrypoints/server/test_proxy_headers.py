"""Forwarded headers of trusted proxies."""

from collections.abc import Sequence
from typing import Any

import pytest

from pixyproxy.entrypoints.server.proxy_headers import ProxyHeaders

PROXY = "192.0.2.1"
CLIENT = "203.0.113.7"

Header = tuple[bytes, bytes]


async def seen_by_the_application(*headers: Header, peer: str | None = PROXY, path: str = "/image") -> dict[str, Any]:
    seen: list[dict[str, Any]] = []

    async def app(scope: dict[str, Any], receive: object, send: object) -> None:
        seen.append(scope)

    scope: dict[str, Any] = {
        "type": "http",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "client": (peer, 1234) if peer else None,
        "headers": list(headers),
        "extensions": {},
        "state": {},
    }
    await ProxyHeaders(app, f"{PROXY},10.0.0.0/8")(scope, None, None)
    (inner,) = seen
    return inner


@pytest.mark.parametrize(
    ("values", "scheme"),
    [
        ([b"https"], "https"),
        ([b"HTTPS"], "https"),
        ([b" https , http"], "https"),
        ([b"https", b"http"], "https"),
        ([b"http,https"], "http"),
        ([b"wss"], "http"),
        ([b"javascript"], "http"),
        ([b""], "http"),
        ([b",https"], "http"),
    ],
)
async def test_the_scheme_is_the_first_of_a_list(values: Sequence[bytes], scheme: str) -> None:
    seen = await seen_by_the_application(*((b"x-forwarded-proto", value) for value in values))
    assert seen["scheme"] == scheme


async def test_the_client_is_the_one_that_the_proxies_tell() -> None:
    seen = await seen_by_the_application(
        (b"x-forwarded-for", f"198.51.100.9, {CLIENT}, 10.1.2.3".encode()), (b"x-forwarded-proto", b"https")
    )
    assert seen["client"][0] == CLIENT
    assert seen["scheme"] == "https"


@pytest.mark.parametrize(
    ("values", "client"),
    [
        ([CLIENT], CLIENT),
        ([f"{CLIENT}:4711"], CLIENT),
        (["[2001:db8::1]:4711"], "2001:db8::1"),
        (["198.51.100.9", CLIENT], CLIENT),
        ([f"198.51.100.9, {CLIENT}, {PROXY}"], CLIENT),
        (["10.1.2.3"], "10.1.2.3"),
        (["unknown"], PROXY),
        ([f"{CLIENT}, unknown"], PROXY),
        ([f"{CLIENT}, _hidden"], PROXY),
        ([""], PROXY),
        ([], PROXY),
    ],
)
async def test_a_client_that_proxies_tell_no_address_of_is_the_proxy(values: Sequence[str], client: str) -> None:
    seen = await seen_by_the_application(*((b"x-forwarded-for", value.encode()) for value in values))
    assert seen["client"][0] == client


@pytest.mark.parametrize(
    ("header", "path", "root_path", "whole"),
    [
        (b"/pixy", "/image", "/pixy", "/pixy/image"),
        (b"/pixy/", "/", "/pixy", "/pixy/"),
        (b"/pixy", "/pixy/image", "/pixy", "/pixy/image"),
        (b"/a/b, /c", "/image", "/a/b", "/a/b/image"),
        (b"/image", "/image/x", "/image", "/image/image/x"),
        (b"/", "/image", "", "/image"),
        (b"pixy", "/image", "", "/image"),
        (b"//evil.example", "/image", "", "/image"),
        (b"/a/../b", "/image", "", "/image"),
        (b'/a"><script>', "/image", "", "/image"),
        (b"/" + b"a" * 300, "/image", "", "/image"),
    ],
)
async def test_a_prefix_becomes_the_root_path(header: bytes, path: str, root_path: str, whole: str) -> None:
    seen = await seen_by_the_application((b"x-forwarded-prefix", header), path=path)
    assert (seen["root_path"], seen["path"], seen["raw_path"]) == (root_path, whole, whole.encode())


@pytest.mark.parametrize("peer", [CLIENT, None])
async def test_other_peers_are_not_trusted(peer: str | None) -> None:
    seen = await seen_by_the_application(
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-for", b"198.51.100.9"),
        (b"x-forwarded-prefix", b"/pixy"),
        peer=peer,
    )
    assert (seen["scheme"], seen["root_path"], seen["path"]) == ("http", "", "/image")
    assert seen["client"] == ((peer, 1234) if peer else None)
