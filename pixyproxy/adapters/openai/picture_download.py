"""Download of pictures that an answer links to, as servers compatible with OpenAI's API send.

The address comes from the upstream and not from the operator, so the rules of `adapters.network` apply.
"""

import asyncio
import logging
import ssl
from collections.abc import Collection, Sequence
from typing import Final

import httpx2

from pixyproxy.adapters.network.direct_client import DirectClient
from pixyproxy.adapters.network.named_origins import Address, ForbiddenAddressError, NamedOrigins
from pixyproxy.adapters.network.origin import Origin
from pixyproxy.adapters.openai.compression import inflated

_ATTEMPTS: Final = 3
_PAUSE: Final = 0.5
# A picture may appear a little later than the answer with its link.
_PASSING_STATUSES: Final = frozenset({404, 408, 425, 429, 500, 502, 503, 504})
_HEADERS: Final = {"Accept": "image/*", "Accept-Encoding": "identity"}

_log = logging.getLogger("pixyproxy.openai")


class PictureDownloadError(Exception):
    """The picture was not downloaded; the message says why."""


class _PassingError(PictureDownloadError):
    pass


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
        self._origins = NamedOrigins(origins, own_host=self._base.host)
        self._timeout = timeout
        self._max_size = max_size
        self._direct = DirectClient(timeout=timeout, connect_timeout=connect_timeout, tls=tls)

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
        except (
            PictureDownloadError,
            ForbiddenAddressError,
            httpx2.HTTPError,
            httpx2.InvalidURL,
            ValueError,
            OSError,
            TimeoutError,
        ) as exc:
            reason = str(exc) or type(exc).__name__
            _log.warning("the picture was not fetched", extra={"host": host, "cause": reason[:500]})
            raise PictureDownloadError(reason) from exc

    async def close(self) -> None:
        """Close the connections."""
        await self._direct.close()

    def _ensure_allowed(self, url: httpx2.URL, origin: Origin) -> None:
        if url.userinfo:
            raise PictureDownloadError("its address has a user name or password")
        if origin != self._base and origin not in self._origins:
            raise PictureDownloadError("PIXYPROXY_OPENAI_ANSWER_ORIGINS does not name its origin")

    async def _fetch(self, url: httpx2.URL, origin: Origin) -> bytes:
        addresses = [] if origin == self._base else await self._origins.addresses_of(origin)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._fetch_once(url, origin, addresses)
            except (_PassingError, httpx2.TransportError):
                if attempt == _ATTEMPTS:
                    raise
            await asyncio.sleep(_PAUSE * attempt)
        raise AssertionError

    async def _fetch_once(self, url: httpx2.URL, origin: Origin, addresses: Sequence[Address]) -> bytes:
        if origin != self._base:
            return await self._read(await self._direct.open(url, addresses, _HEADERS))
        headers = {**_HEADERS, "Authorization": f"Bearer {self._api_key}"}
        request = self._http.build_request("GET", url, headers=headers)
        return await self._read(await self._http.send(request, stream=True))

    async def _read(self, answer: httpx2.Response) -> bytes:
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
