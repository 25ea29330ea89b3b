"""The address of the client of a request."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from litestar.types import Scope


def client_address(scope: Scope) -> str | None:
    """Return the IP address of the client; None where the server knows none, as on a Unix socket.

    The server has put it into the scope: the peer's, or the one that a trusted proxy has named in `X-Forwarded-For`
    (uvicorn's `FORWARDED_ALLOW_IPS`). A name that is no IP address is None, too. An IPv4 address that is mapped into
    IPv6 (RFC 4291, section 2.5.5.2) is returned as IPv4, and every address in its shortest form.
    """
    client = scope.get("client")
    return _normalised(client[0]) if client else None


@lru_cache(maxsize=4096)
def _normalised(host: str) -> str | None:
    try:
        # A zone names an interface of this machine, and could hold any text.
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)
