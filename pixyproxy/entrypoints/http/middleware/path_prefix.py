"""The path prefix of the service, where a proxy or a host application mounts it."""

from functools import partial
from typing import Any
from urllib.parse import quote, unquote

from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from pixyproxy.domain.errors import BadRequestError
from pixyproxy.entrypoints.http.service_path import note_origin, note_prefix, prefix_of, without_prefix
from pixyproxy.entrypoints.public_url import PublicURL, is_host


class PathPrefix:
    """Removes the service's path prefix from each request, and keeps it in the scope's state.

    The prefix is that of `public_url`, or else the one at which a host application mounts the service: ASGI's
    `root_path`, or the part of the path that Litestar, which leaves `root_path` empty, has removed. A proxy may pass
    the prefix on or remove it.
    """

    def __init__(self, app: ASGIApp, public_url: PublicURL | None) -> None:
        self._app = app
        self._public_prefix = public_url.prefix if public_url else ""
        self._origin = public_url.origin if public_url else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            mounted_at, path = _split(scope)
            prefix = self._public_prefix or quote(mounted_at)
            if self._origin is not None:
                note_origin(scope, self._origin)
            if prefix:
                path = without_prefix(path, self._public_prefix)
                note_prefix(scope, prefix, path)
                # The host application keeps its own scope.
                inner: Any = {**scope, "path": path, "root_path": ""}
                await self._app(inner, receive, partial(_send_prefixed, send, prefix.encode()))
                return
        await self._app(scope, receive, send)


async def _send_prefixed(send: Send, prefix: bytes, message: Message) -> None:
    """Add the prefix to the paths in the `Location` and `Link` headers."""
    if message["type"] == "http.response.start":
        headers = [(name, _prefixed(name, value, prefix)) for name, value in message.get("headers", ())]
        message["headers"] = headers
    await send(message)


def _prefixed(name: bytes, value: bytes, prefix: bytes) -> bytes:
    match name.lower():
        case b"location" if value.startswith(b"/"):
            return prefix + value
        case b"link":
            return value.replace(b"</", b"<" + prefix + b"/")
        case _:
            return value


def public_address(connection: ASGIConnection[Any, Any, Any, Any], public_url: PublicURL | None) -> str:
    """Return the service's absolute URL, without a trailing slash.

    Its origin is that of `public_url`, or else the one that the client used: raises `BadRequestError` if its `Host` is
    malformed.
    """
    if public_url is not None:
        return f"{public_url.origin}{prefix_of(connection.scope)}"
    host = connection.headers.get("host", "")
    if not is_host(host):
        raise BadRequestError("The Host header must be a name or an address, and a port if need be.")
    return f"{connection.scope['scheme']}://{host}{prefix_of(connection.scope)}"


def _split(scope: HTTPScope) -> tuple[str, str]:
    """Return the mount path of the application, and the rest of the path."""
    root_path, path = scope.get("root_path", "").rstrip("/"), scope["path"]
    if taken := _taken_by_litestar(scope):
        # Servers differ: `path` may or may not include the root path.
        return taken if f"{taken}/".startswith(f"{root_path}/") else root_path + taken, path
    return root_path, without_prefix(path, root_path)


def _taken_by_litestar(scope: HTTPScope) -> str:
    raw_path = scope.get("raw_path")
    if not raw_path or raw_path == scope["path"].encode():
        return ""
    whole, rest = unquote(raw_path.partition(b"?")[0].decode("latin-1")).rstrip("/"), scope["path"].rstrip("/")
    return whole[: -len(rest) or None] if whole.endswith(rest) else ""
