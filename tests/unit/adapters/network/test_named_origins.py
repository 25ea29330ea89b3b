"""Which addresses the host of a named origin may have."""

from collections.abc import Sequence

import httpx2
import pytest

from pixyproxy.adapters.network.named_origins import ForbiddenAddressError, NamedOrigins
from pixyproxy.adapters.network.origin import Origin


async def addresses_of(host: str, answer: Sequence[str], *origins: str, own_host: str | None = None) -> Sequence[str]:
    """Return the addresses of a host that has these in DNS."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return answer

    named = NamedOrigins(origins, own_host=own_host, resolve=resolve)
    return [str(address) for address in await named.addresses_of(Origin("https", host, 443))]


def test_only_the_very_origin_is_named() -> None:
    named = NamedOrigins(["https://images.example.com", "http://[0:0::1]:9"])

    assert Origin.of(httpx2.URL("HTTPS://Images.Example.com:443/a.png")) in named
    assert Origin.of(httpx2.URL("http://[::1]:9/a.png")) in named
    for other in (
        "http://images.example.com",
        "https://images.example.com:8443",
        "https://images.example.com.",
        "https://example.com",
        "https://a.images.example.com",
        "http://[::1]",
    ):
        assert Origin.of(httpx2.URL(other)) not in named


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d822"])
async def test_any_host_may_have_public_addresses(address: str) -> None:
    assert await addresses_of("images.example.com", [address]) == [address]


async def test_each_address_is_told_once() -> None:
    addresses = ["93.184.216.34", "93.184.216.35", "93.184.216.34"]
    assert await addresses_of("images.example.com", addresses) == addresses[:2]


NOT_PUBLIC = [
    "127.0.0.1",
    "10.0.0.5",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",  # noqa: S104 -- nothing is bound to it
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "fd00::1",
    "ff02::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2001:db8::1",
    "2001:0:7f00:1::",
    "5f00::1",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
async def test_a_public_name_may_have_none_that_is_not_public(address: str) -> None:
    with pytest.raises(ForbiddenAddressError, match="not public"):
        await addresses_of("images.example.com", [address], "https://images.example.com")


@pytest.mark.parametrize("addresses", [["93.184.216.34", "10.0.0.5"], ["10.0.0.5", "93.184.216.34"]])
async def test_one_address_that_is_not_public_forbids_the_others_too(addresses: list[str]) -> None:
    with pytest.raises(ForbiddenAddressError, match=r"10\.0\.0\.5"):
        await addresses_of("images.example.com", addresses)


@pytest.mark.parametrize("host", ["localhost", "minio", "a.localhost", "a.local", "a.internal", "a.lan", "a.home.arpa"])
@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.5", "fd00::1", "::ffff:10.0.0.5"])
async def test_a_name_that_can_not_be_public_may_have_a_private_address(host: str, address: str) -> None:
    assert len(await addresses_of(host, [address])) == 1


@pytest.mark.parametrize("host", ["localhost.", "a.internal.", "internal.example.com", "local.example"])
async def test_a_name_that_only_resembles_a_private_one_may_not(host: str) -> None:
    with pytest.raises(ForbiddenAddressError):
        await addresses_of(host, ["10.0.0.5"])


async def test_the_hosts_own_name_may_have_a_private_address() -> None:
    assert await addresses_of("api.example.com", ["10.0.0.5"], own_host="api.example.com") == ["10.0.0.5"]


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1"])
async def test_a_link_local_address_must_be_named_itself(address: str) -> None:
    with pytest.raises(ForbiddenAddressError):
        await addresses_of("metadata", [address])
    named = "http://[fe80::1]" if address == "fe80::1" else "http://169.254.169.254"
    assert await addresses_of("metadata", [address], named)


async def test_an_address_that_is_named_may_be_that_of_any_host() -> None:
    assert await addresses_of("images.example.com", ["10.0.0.5"], "http://10.0.0.5:9000") == ["10.0.0.5"]
