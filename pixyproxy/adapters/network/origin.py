"""Origins of URLs."""

import ipaddress
from typing import Final, NamedTuple

import httpx2

_PORTS: Final = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Scheme, host and port (RFC 6454, section 4)."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: httpx2.URL) -> "Origin":
        """Return the origin of an http(s) URL; raise `ValueError` for any other."""
        if url.scheme not in _PORTS or not url.host:
            raise ValueError("An origin begins with http:// or https:// and names a host.")
        host = url.raw_host.decode("ascii").lower()
        if ":" in host:
            host = str(ipaddress.ip_address(host))
        return cls(url.scheme, host, _PORTS[url.scheme] if url.port is None else url.port)

    @property
    def netloc(self) -> str:
        """The value of `Host`: host and port, without the scheme's default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"
