"""HTTP requests to addresses that were checked before."""

import ssl
from collections.abc import Mapping, Sequence

import httpx2

from pixyproxy.adapters.network.named_origins import Address
from pixyproxy.adapters.network.origin import Origin


class DirectClient:
    """Sends requests to addresses that the caller has resolved and checked.

    It resolves no name, asks no proxy, follows no redirect, and sends no cookie, no login and nothing else that it was
    not told to. `timeout` and `connect_timeout` bound each step, in seconds. Each request has a connection of its own.
    """

    def __init__(self, *, timeout: float, connect_timeout: float, tls: ssl.SSLContext) -> None:
        self._timeout = httpx2.Timeout(timeout, connect=connect_timeout).as_dict()
        # A client would keep cookies, under the address instead of the name. A kept connection would be used for other
        # names at its address, whose certificates were never checked.
        self._transport = httpx2.AsyncHTTPTransport(verify=tls, limits=httpx2.Limits(max_keepalive_connections=0))

    async def open(self, url: httpx2.URL, addresses: Sequence[Address], headers: Mapping[str, str]) -> httpx2.Response:
        """Return the response of the first address that can be connected to; close it after reading.

        `Host` and the name in TLS are those of the URL. Raises `httpx2.TransportError`.
        """
        origin = Origin.of(url)
        failure: httpx2.TransportError | None = None
        for address in addresses:
            request = httpx2.Request(
                "GET",
                url.copy_with(host=str(address)),
                headers={**headers, "Host": origin.netloc},
                extensions={"sni_hostname": origin.host, "timeout": self._timeout},
            )
            try:
                return await self._transport.handle_async_request(request)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as exc:
                failure = exc
        raise failure or httpx2.ConnectError("it has no address")

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.aclose()
