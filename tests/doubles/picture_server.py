"""A server of pictures that answers as it is told, well or badly."""

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Self

_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class Served:
    """What is sent for a path.

    `length` is the `Content-Length`, the body's by default. Until the client leaves, `is_stuck` sends nothing after the
    body, `is_silent` nothing at all, and `is_endless` the body again and again. `raw` is sent in place of all of this.
    """

    body: bytes = b""
    status: int = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    is_stuck: bool = False
    is_silent: bool = False
    is_endless: bool = False
    raw: bytes | None = None


def redirect(location: str, status: int = HTTPStatus.FOUND) -> Served:
    """Return a redirect."""
    return Served(status=status, headers={"Location": location})


class PictureServer:
    """Listens on a free port of loopback and sends what `served` has for a path.

    `requests` has the path and the headers of each request, `stuck` tells that nothing more is sent, and `left` that a
    client closed its connection before the end. With `keeps_connections` a client may send more requests on one.
    """

    def __init__(
        self,
        served: Mapping[str, Served] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        keeps_connections: bool = False,
    ) -> None:
        self.served = dict(served or {})
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.stuck = asyncio.Event()
        self.left = asyncio.Event()
        self.connection_count = 0
        self._tls = tls
        self._keeps_connections = keeps_connections
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def origin(self, host: str = "127.0.0.1") -> str:
        """Return the origin of the server under a name."""
        return f"{'http' if self._tls is None else 'https'}://{host}:{self.port}"

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self.connection_count += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
                while self._keeps_connections:
                    await self._answer(reader, writer)
        finally:
            self._connections.discard(task)
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
        path = request_line.split(" ")[1]
        self.requests.append((path, dict(line.lower().split(": ", 1) for line in lines)))
        served = self.served.get(path, Served(status=HTTPStatus.NOT_FOUND))
        try:
            if served.raw is not None:
                writer.write(served.raw)
                await writer.drain()
            elif not served.is_silent:
                await self._send(served, writer)
            if served.is_stuck or served.is_silent:
                self.stuck.set()
                await reader.read()
                self.left.set()
        except ConnectionError:
            self.left.set()

    async def _send(self, served: Served, writer: asyncio.StreamWriter) -> None:
        headers = dict(served.headers)
        if not served.is_endless:
            headers.setdefault("Content-Length", str(len(served.body) if served.length is None else served.length))
        head = [f"HTTP/1.1 {served.status} {HTTPStatus(served.status).phrase}"]
        head += [f"{name}: {value}" for name, value in headers.items()]
        if not self._keeps_connections:
            head.append("Connection: close")
        writer.write(("\r\n".join(head) + "\r\n\r\n").encode("latin-1"))
        while True:
            for start in range(0, len(served.body), _PIECE):
                writer.write(served.body[start : start + _PIECE])
                await writer.drain()
            if not served.is_endless:
                return
            await asyncio.sleep(0)
