"""The client's address."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from litestar.types import Scope


def client_address(scope: Scope) -> str | None:
    """Return the client's IP address; None if the server knows none, as on a Unix socket.

    The server puts it into the scope: the peer's, or the one that a trusted proxy names in `X-Forwarded-For` (uvicorn's
    `FORWARDED_ALLOW_IPS`). None for a name that is no IP address. IPv4 addresses mapped into IPv6 (RFC 4291, section
    2.5.5.2) are returned as IPv4, and all addresses in their shortest form.
    """
    client = scope.get("client")
    return _normalised(client[0]) if client else None


@lru_cache(maxsize=4096)
def _normalised(host: str) -> str | None:
    try:
        # A zone names a local interface, and may contain any text.
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)
