"""Download of pictures that an answer links to, as servers compatible with OpenAI's API send.

The address comes from the upstream and not from the operator: it must not lead PixyProxy into its own network
(server-side request forgery; the rules here follow OWASP's cheat sheet of that name).
"""

import asyncio
import ipaddress
import logging
import ssl
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import httpx2

from pixyproxy.adapters.openai.compression import inflated

_PORTS: Final = {"http": 80, "https": 443}
# Names that no public DNS serves (RFC 6761, RFC 6762, RFC 8375, ICANN's .internal): in the settings they name a host of
# the operator's network.
_PRIVATE_SUFFIXES: Final = ("localhost", ".local", ".internal", ".home.arpa", ".lan", ".test")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_ATTEMPTS: Final = 3
_PAUSE: Final = 0.5
# A picture may appear a little later than the answer with its link.
_PASSING_STATUSES: Final = frozenset({404, 408, 425, 429, 500, 502, 503, 504})

_log = logging.getLogger("pixyproxy.openai")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class PictureDownloadError(Exception):
    """The picture was not downloaded; the message says why."""


class _PassingError(PictureDownloadError):
    pass


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
        return cls(url.scheme, url.raw_host.decode("ascii").lower(), url.port or _PORTS[url.scheme])


class PictureDownload:
    """Downloads pictures from the base URL's origin and from `origins` only.

    `http` is the client of the base URL, with its proxies; only it sends the `api_key`, and only to that origin. Hosts
    of other origins are resolved once, each address is checked, and the connection goes to the checked address, never
    through a proxy, so that no later DNS answer can redirect it. Addresses that are not public are used only if
    `origins` name them, or if the host is the base URL's own. No redirect is followed, and at most `max_size` bytes are
    read. `timeout` bounds the download, in seconds.
    """

    def __init__(
        self,
        http: httpx2.AsyncClient,
        *,
        base_url: httpx2.URL,
        api_key: str,
        origins: Collection[str],
        timeout: float,
        connect_timeout: float,
        max_size: int,
        tls: ssl.SSLContext,
    ) -> None:
        self._http = http
        self._base_url = base_url
        self._base = Origin.of(base_url)
        self._api_key = api_key
        self._origins = {Origin.of(httpx2.URL(origin)) for origin in origins}
        self._named_hosts = {origin.host for origin in self._origins}
        self._timeout = timeout
        self._max_size = max_size
        self._direct = httpx2.AsyncClient(
            transport=httpx2.AsyncHTTPTransport(verify=tls, limits=httpx2.Limits(max_keepalive_connections=0)),
            timeout=httpx2.Timeout(timeout, connect=connect_timeout),
            follow_redirects=False,
        )

    async def __call__(self, address: str) -> bytes:
        """Return the content of an address, relative to the base URL; raise `PictureDownloadError`."""
        host = None
        try:
            url = self._base_url.join(address)
            origin = Origin.of(url)
            host = f"{origin.host}:{origin.port}"
            self._ensure_allowed(url, origin)
            async with asyncio.timeout(self._timeout):
                return await self._fetch(url, origin)
        except (PictureDownloadError, httpx2.HTTPError, httpx2.InvalidURL, ValueError, OSError, TimeoutError) as exc:
            reason = str(exc) or type(exc).__name__
            _log.warning("the picture was not fetched", extra={"host": host, "cause": reason[:500]})
            raise PictureDownloadError(reason) from exc

    async def close(self) -> None:
        """Close the connections."""
        await self._direct.aclose()

    def _ensure_allowed(self, url: httpx2.URL, origin: Origin) -> None:
        if url.userinfo:
            raise PictureDownloadError("its address has a user name or password")
        if origin != self._base and origin not in self._origins:
            raise PictureDownloadError("PIXYPROXY_OPENAI_ANSWER_ORIGINS does not name its origin")

    async def _fetch(self, url: httpx2.URL, origin: Origin) -> bytes:
        addresses = [] if origin == self._base else await self._checked(origin)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._fetch_once(url, origin, addresses)
            except (_PassingError, httpx2.TransportError):
                if attempt == _ATTEMPTS:
                    raise
            await asyncio.sleep(_PAUSE * attempt)
        raise AssertionError

    async def _fetch_once(self, url: httpx2.URL, origin: Origin, addresses: Sequence[_Address]) -> bytes:
        headers = {"Accept": "image/*", "Accept-Encoding": "identity"}
        if origin == self._base:
            request = self._http.build_request(
                "GET", url, headers={**headers, "Authorization": f"Bearer {self._api_key}"}
            )
            return await self._read(self._http, request)
        failure: httpx2.TransportError | None = None
        for address in addresses:
            request = self._direct.build_request(
                "GET",
                url.copy_with(host=str(address)),
                headers={**headers, "Host": url.netloc.decode("ascii")},
                extensions={"sni_hostname": url.raw_host.decode("ascii")},
            )
            try:
                return await self._read(self._direct, request)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as exc:
                failure = exc
        raise failure or PictureDownloadError("it has no address")

    async def _read(self, http: httpx2.AsyncClient, request: httpx2.Request) -> bytes:
        answer = await http.send(request, stream=True)
        try:
            if answer.status_code != httpx2.codes.OK:
                kind = _PassingError if answer.status_code in _PASSING_STATUSES else PictureDownloadError
                raise kind(f"status {answer.status_code}")
            encoding = answer.headers.get("content-encoding", "")
            body = bytearray()
            async for piece in answer.aiter_raw():
                body += piece
                if len(body) > self._max_size:
                    raise PictureDownloadError(f"it is larger than {self._max_size:,} bytes")
        finally:
            await answer.aclose()
        if encoding:
            return bytes((await asyncio.to_thread(inflated, body, encoding, self._max_size)).data)
        return bytes(body)

    async def _checked(self, origin: Origin) -> list[_Address]:
        """Return the current addresses of a host; raise `PictureDownloadError` for a forbidden one."""
        found = await asyncio.get_running_loop().getaddrinfo(origin.host, origin.port, type=1)
        addresses = list(dict.fromkeys(ipaddress.ip_address(entry[4][0]) for entry in found))
        for address in addresses:
            if not self._may_connect(origin.host, address):
                raise PictureDownloadError(f"its address {address} is not public")
        return addresses

    def _may_connect(self, host: str, address: _Address) -> bool:
        plain = _plain(address)
        if plain.is_global and not plain.is_multicast:
            return True
        is_own_name = host == self._base.host or "." not in host or host.endswith(_PRIVATE_SUFFIXES)
        return str(plain) in self._named_hosts or (is_own_name and not plain.is_link_local)


def _plain(address: _Address) -> _Address:
    """Return the IPv4 address in an IPv6 one: mapped, 6to4 (RFC 3056) or NAT64 (RFC 6052)."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
