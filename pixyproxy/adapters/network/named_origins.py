"""Which origins may be asked, and at which addresses.

A URL that comes from a client or from an upstream must not lead PixyProxy into its own network (server-side request
forgery; the rules follow OWASP's cheat sheet of that name).
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final, TypeAlias

import httpx2

from pixyproxy.adapters.network.origin import Origin

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]

# Names that no public DNS serves (RFC 6761, RFC 6762, RFC 8375, ICANN's .internal): in the settings they name a host of
# the operator's network.
_PRIVATE_SUFFIXES: Final = ("localhost", ".local", ".internal", ".home.arpa", ".lan", ".test")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
# All that was ever assigned for use in public (RFC 4291, section 2.4). The rest has forms that `is_global` lets pass,
# such as IPv4-compatible, site-local and locally translated addresses.
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")


class ForbiddenAddressError(Exception):
    """A host has an address that must not be connected to; the message is for the operator alone."""


async def resolved(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host as the system knows them; raise `OSError` if there is none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class NamedOrigins:
    """The origins that the settings name.

    Addresses that are not public are used only if one of the origins names the address itself, or if the host's name
    can't be public; a link-local address must be named itself. `own_host` counts as such a name. `resolve` returns the
    addresses of a host.

    Raises `ValueError` for a malformed origin.
    """

    def __init__(self, origins: Collection[str], *, own_host: str | None = None, resolve: Resolve = resolved) -> None:
        self._origins = {Origin.of(httpx2.URL(origin)) for origin in origins}
        self._hosts = {origin.host for origin in self._origins}
        self._own_host = own_host
        self._resolve = resolve

    def __contains__(self, origin: object) -> bool:
        return origin in self._origins

    async def addresses_of(self, origin: Origin) -> Sequence[Address]:
        """Return the current addresses of an origin's host, each once and all checked, for one request.

        Connect to these and do not resolve the name again: the next answer of DNS may be another. Raises
        `ForbiddenAddressError` if one of them must not be used, and `OSError` or `ValueError` if there is none.
        """
        found = await self._resolve(origin.host, origin.port)
        addresses = list(dict.fromkeys(map(ipaddress.ip_address, found)))
        for address in addresses:
            if not self._may_connect(origin.host, address):
                raise ForbiddenAddressError(f"its address {address} is not public")
        return addresses

    def _may_connect(self, host: str, address: Address) -> bool:
        plain = _plain(address)
        if _is_public(plain):
            return True
        is_own_name = host == self._own_host or "." not in host or host.endswith(_PRIVATE_SUFFIXES)
        return str(plain) in self._hosts or (is_own_name and not plain.is_link_local)


def _plain(address: Address) -> Address:
    """Return the IPv4 address in an IPv6 one: mapped, 6to4 (RFC 3056) or NAT64 (RFC 6052)."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast
