"""Requests that a browser sends for another site's page: DNS rebinding and cross-site request forgery."""

import ipaddress
import re
from collections.abc import Collection
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from litestar import Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from pixyproxy.domain.errors import BadRequestError, OperationNotAllowedError
from pixyproxy.entrypoints.http.credentials import credentials_of, sends_key
from pixyproxy.entrypoints.http.errors import handle_error
from pixyproxy.entrypoints.http.headers import header_of
from pixyproxy.entrypoints.http.paths import is_below_gallery
from pixyproxy.entrypoints.http.session_cookie import token_of
from pixyproxy.entrypoints.public_url import PublicURL

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES: Final = frozenset({b"same-origin", b"none"})
_EXEMPT: Final = "/health/"
_DEFAULT_PORT: Final = re.compile(r":(?:80|443)$")


class ForeignRequests:
    """Refuses requests for hosts other than `allowed_hosts`, and unsafe requests from other sites' pages.

    `allowed_hosts` are names, or `*.example.org` for the names below `example.org`; None or `*` allows all. IP
    addresses are always allowed, since DNS rebinding needs a name, and so is any host for `/health/`. Pages of
    `origins`, of the request's own host and of `public_url` may send unsafe requests. Browsers name a page's site in
    `Sec-Fetch-Site` (Fetch Metadata) or `Origin` (RFC 6454); a client that sends neither is not a browser, and passes.
    So does a request with an API key, which no page can make a browser add without leave (Fetch, section 3.3).

    With `takes_sessions`, an unsafe request with the cookie of a session, or for the gallery, is refused unless one of
    these headers names the service's own site: pages of `origins` may not use sessions.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        allowed_hosts: Collection[str] | None,
        origins: Collection[str],
        public_url: PublicURL | None,
        takes_sessions: bool,
    ) -> None:
        self._app = app
        self._is_allowed_host = lru_cache(maxsize=1024)(_Hosts(allowed_hosts)) if allowed_hosts is not None else None
        self._origins = frozenset(origin.lower().encode() for origin in origins)
        self._own_hosts = frozenset({_plain(public_url.host)} if public_url else ())
        self._takes_sessions = takes_sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            try:
                self._check(scope)
            except (BadRequestError, OperationNotAllowedError) as exc:
                request: Request[Any, Any, Any] = Request(scope)
                await handle_error(request, exc).to_asgi_response(None, request)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: HTTPScope) -> None:
        if self._is_allowed_host is not None and not scope["path"].startswith(_EXEMPT):
            host = header_of(scope, b"host")
            if host is not None and not self._is_allowed_host(host):
                raise BadRequestError(
                    "This service does not answer to the name in the Host header; PIXYPROXY_ALLOWED_HOSTS says to which"
                    " it does."
                )
        if scope["method"] in _SAFE_METHODS or sends_key(scope):
            return
        if self._takes_sessions and _needs_own_page(scope):
            if not self._is_of_own_site(scope):
                raise OperationNotAllowedError("Only a page of this service may do this.")
        elif self._is_foreign(scope):
            raise OperationNotAllowedError(
                "A page of another site may not do this; PIXYPROXY_CORS_ORIGINS says which sites may."
            )

    def _is_foreign(self, scope: HTTPScope) -> bool:
        origin = header_of(scope, b"origin")
        return (origin is None or origin.lower() not in self._origins) and self._is_of_own_site(scope) is False

    def _is_of_own_site(self, scope: HTTPScope) -> bool | None:
        """Whether a page of this service has sent the request; None if the request does not tell."""
        site = header_of(scope, b"sec-fetch-site")
        if site is not None:
            return site in _OWN_SITES
        origin = header_of(scope, b"origin")
        if origin is None:
            return None
        try:
            host = _plain(urlsplit(origin.decode("latin-1")).netloc)
        except ValueError:
            return False
        own_host = _plain((header_of(scope, b"host") or b"").decode("latin-1"))
        return bool(host) and host in {own_host, *self._own_hosts}


def _needs_own_page(scope: HTTPScope) -> bool:
    """Whether an unsafe request relies on a session, or begins one."""
    return credentials_of(scope) is None and (is_below_gallery(scope["path"]) or token_of(scope) is not None)


class _Hosts:
    """The allowed hosts."""

    def __init__(self, names: Collection[str]) -> None:
        lowered = [name.lower() for name in names]
        self._is_any = "*" in lowered
        self._names = frozenset(name for name in lowered if not name.startswith("*"))
        self._suffixes = tuple(name.removeprefix("*") for name in lowered if name.startswith("*."))

    def __call__(self, host: bytes) -> bool:
        name = _name(host.decode("latin-1"))
        return self._is_any or name in self._names or name.endswith(self._suffixes) or _is_ip_address(name)


def _name(host: str) -> str:
    """Return the name of a host in lower case, without its port and its trailing dot."""
    name, _, port = host.rpartition(":")
    if not name or port.endswith("]"):
        name = host
    return name.lower().removesuffix(".")


def _plain(host: str) -> str:
    return _DEFAULT_PORT.sub("", host.lower())


def _is_ip_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
