"""Forwarded headers of trusted proxies: client address, scheme and path prefix."""

from collections.abc import Mapping
from typing import Any, Final

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from pixyproxy.entrypoints.http.middleware.client_address import client_address
from pixyproxy.entrypoints.public_url import begins_with_route, is_prefix

_HEADERS: Final = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-prefix"})
_SCHEMES: Final = frozenset({"http", "https"})


class ProxyHeaders:
    """Applies `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Prefix` of the proxies in `trusted`.

    `trusted` are comma-separated IP addresses and networks, or `*`, as in uvicorn.

    - `X-Forwarded-For`: the last untrusted address is the client, or with `*` the first. If it is no address, such as
      `unknown`, the client is the proxy.
    - `X-Forwarded-Proto`: the first of a list, in any case; only http and https count.
    - `X-Forwarded-Prefix`: becomes ASGI's `root_path`, so that links include what the proxy stripped from the path.
    """

    def __init__(self, app: Any, trusted: str) -> None:
        self._app = app
        self._trusted = ProxyHeadersMiddleware(app, trusted).trusted_hosts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        peer = scope.get("client")
        if scope["type"] == "http" and peer is not None and peer[0] in self._trusted:
            headers = _joined(scope["headers"])
            scheme = headers.get(b"x-forwarded-proto", "").partition(",")[0].strip().lower()
            if scheme in _SCHEMES:
                scope["scheme"] = scheme
            prefix = headers.get(b"x-forwarded-prefix", "").partition(",")[0].strip().rstrip("/")
            if prefix and is_prefix(prefix):
                scope |= _below(prefix, scope)
            if forwarded := headers.get(b"x-forwarded-for"):
                scope["client"] = self._trusted.get_trusted_client_address(forwarded)
                if client_address(scope) is None:
                    scope["client"] = peer
        await self._app(scope, receive, send)


def _joined(headers: list[tuple[bytes, bytes]]) -> dict[bytes, str]:
    joined: dict[bytes, str] = {}
    for name, value in headers:
        if name in _HEADERS:
            joined[name] = f"{joined[name]}, {value.decode('latin-1')}" if name in joined else value.decode("latin-1")
    return joined


def _below(prefix: str, scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes of the scope below `prefix`: ASGI's path starts with the root path.

    The proxy may have kept the prefix in the path. If the prefix could be a route, assume that it was stripped.
    """
    if f"{scope['path']}/".startswith(f"{prefix}/") and not begins_with_route(prefix):
        return {"root_path": prefix}
    return {
        "root_path": prefix,
        "path": f"{prefix}{scope['path']}",
        "raw_path": prefix.encode() + scope["raw_path"],
    }
