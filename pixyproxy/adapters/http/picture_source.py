"""Pictures at URLs, from servers that the operator names."""

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing, asynccontextmanager
from typing import Final

import httpx2

from pixyproxy.adapters.network.direct_client import DirectClient
from pixyproxy.adapters.network.named_origins import ForbiddenAddressError, NamedOrigins, Resolve, resolved
from pixyproxy.adapters.network.origin import Origin
from pixyproxy.domain.errors import PictureUnavailableError
from pixyproxy.domain.ports import PictureSource

_REDIRECTS_MAX_COUNT: Final = 3
_HEADERS: Final = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "PixyProxy"}
# One sentence for all that a client could learn from about the network: where a name leads, and whether it answers.
_UNREACHABLE: Final = "Its server can't be reached."
_UNENCODED: Final = frozenset({"", "identity"})

_log = logging.getLogger("pixyproxy.references")


class HTTPPictureSource(PictureSource):
    """Fetches pictures from `origins` only, such as `https://images.example.com`.

    Each host is resolved once, by `resolve`, and each of its addresses is checked by the rules of `NamedOrigins`. The
    connection goes to a checked address, never through a proxy. Up to three redirects are followed, and each target is
    checked like the first URL. No login and no cookie is sent.

    `timeout` bounds the seconds from the first URL to the last byte, and `connect_timeout` those of a connection. `tls`
    says whom to trust. Raises `ValueError` for a malformed origin.
    """

    def __init__(
        self,
        origins: Collection[str] = (),
        *,
        timeout: float = 20.0,
        connect_timeout: float = 5.0,
        resolve: Resolve = resolved,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._origins = NamedOrigins(origins, resolve=resolve)
        self._timeout = timeout
        if tls is None:
            # Reading the certificates takes 40 ms, and without an origin there is no connection.
            tls = httpx2.create_ssl_context() if origins else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._client = DirectClient(timeout=timeout, connect_timeout=connect_timeout, tls=tls)

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[AsyncIterator[bytes]]:
        fetch = _Fetch(self._origins, self._client, self._timeout)
        try:
            async with fetch.answer_of(url) as answer, aclosing(fetch.pieces_of(answer)) as pieces:
                yield pieces
        except PictureUnavailableError as exc:
            cause = exc.__cause__ or exc
            _log.warning(
                "the picture at a URL was not fetched",
                extra={"host": fetch.host, "cause": f"{type(cause).__name__}: {cause}"[:500]},
            )
            raise


class _Fetch:
    """One picture on its way in; `host` is the one that was asked last, with its port."""

    def __init__(self, origins: NamedOrigins, client: DirectClient, timeout: float) -> None:
        self.host: str | None = None
        self._origins = origins
        self._client = client
        self._timeout = timeout
        self._ends_at = asyncio.get_running_loop().time() + timeout

    @asynccontextmanager
    async def answer_of(self, url: str) -> AsyncIterator[httpx2.Response]:
        """Return a context with the answer that has the picture, after all redirects."""
        target = _joined(None, url)
        for _ in range(_REDIRECTS_MAX_COUNT + 1):
            answer = await self._ask(target)
            try:
                if not answer.has_redirect_location:
                    _ensure_usable(answer)
                    yield answer
                    return
                target = _joined(target, answer.headers["location"])
            finally:
                await answer.aclose()
        raise PictureUnavailableError(f"It redirects more than {_REDIRECTS_MAX_COUNT} times.")

    async def pieces_of(self, answer: httpx2.Response) -> AsyncGenerator[bytes]:
        """Yield the body as it comes in."""
        async with aclosing(answer.aiter_raw()) as pieces:
            while True:
                async with self._bounded():
                    piece = await anext(pieces, None)
                if piece is None:
                    return
                yield piece

    async def _ask(self, url: httpx2.URL) -> httpx2.Response:
        origin = Origin.of(url)
        self.host = f"{origin.host}:{origin.port}"
        if url.userinfo:
            raise PictureUnavailableError("URLs with a user name or password are not fetched.")
        if origin not in self._origins:
            raise PictureUnavailableError("It leads to an origin that PIXYPROXY_REFERENCE_ORIGINS does not list.")
        async with self._bounded():
            return await self._client.open(url, await self._origins.addresses_of(origin), _HEADERS)

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        """Bound the time of a step, and translate its errors."""
        try:
            async with asyncio.timeout_at(self._ends_at):
                yield
        except (ForbiddenAddressError, httpx2.ConnectError, httpx2.ConnectTimeout) as exc:
            raise PictureUnavailableError(_UNREACHABLE) from exc
        except (TimeoutError, httpx2.TimeoutException) as exc:
            raise PictureUnavailableError(f"It takes more than {self._timeout:g} seconds.") from exc
        except httpx2.TransportError as exc:
            raise PictureUnavailableError("The connection to its server broke off.") from exc
        except (OSError, ValueError) as exc:
            # The host has no address, or a name that DNS does not allow.
            raise PictureUnavailableError(_UNREACHABLE) from exc


def _joined(base: httpx2.URL | None, text: str) -> httpx2.URL:
    """Return the absolute URL of a text, relative to `base`."""
    try:
        url = httpx2.URL(text) if base is None else base.join(text)
        Origin.of(url)
    except (httpx2.InvalidURL, ValueError) as exc:
        raise PictureUnavailableError("Only valid http and https URLs are fetched.") from exc
    return url


def _ensure_usable(answer: httpx2.Response) -> None:
    if answer.status_code != httpx2.codes.OK:
        raise PictureUnavailableError(f"Its server answers with status {answer.status_code}.")
    if answer.headers.get("content-encoding", "").strip().lower() not in _UNENCODED:
        raise PictureUnavailableError("Its server compresses it (Content-Encoding), though asked not to.")
