"""uvicorn with PixyProxy's protocol, in a thread, and applications to be served."""

import contextlib
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import uvicorn

from pixyproxy.entrypoints.server.sendfile_protocol import ZERO_COPY, SendfileProtocol

App = Callable[[Any, Any, Any], Awaitable[None]]


class Server:
    """uvicorn in a thread, with `limits` of the protocol.

    `requests` are the scopes that the application has got, `ended` counts its calls that have returned.
    """

    def __init__(
        self,
        app: App,
        *,
        loop: str = "uvloop",
        limits: Mapping[str, Any] | None = None,
        send_buffer: int | None = 4096,
        **options: Any,
    ) -> None:
        class Protocol(SendfileProtocol):
            pass

        for name, value in (limits or {}).items():
            assert hasattr(Protocol, name)
            setattr(Protocol, name, value)
        self.requests: list[Any] = []
        self.ended = 0
        self._app = app
        self.listener = socket.create_server(("127.0.0.1", 0))
        if send_buffer is not None:
            # What is accepted inherits it, so that little disappears in the kernel.
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.port = self.listener.getsockname()[1]
        defaults = {"http": Protocol, "interface": "asgi3", "lifespan": "off", "log_config": None}
        self.config = uvicorn.Config(self._answer, loop=loop, timeout_graceful_shutdown=1, **{**defaults, **options})
        self.server = uvicorn.Server(self.config)
        self._thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [self.listener]}, name=f"test {loop}"
        )

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        self.requests.append(scope)
        try:
            await self._app(scope, receive, send)
        finally:
            self.ended += 1

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)

    def start(self) -> None:
        self._thread.start()
        until(lambda: self.server.started)

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()
        self.listener.close()

    def connect(self) -> socket.socket:
        """Return a connection with a small receive buffer."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(30)
        client.connect(("127.0.0.1", self.port))
        return client

    def get(self, path: str = "/", method: str = "GET") -> tuple[HTTPResponse, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()


@contextlib.contextmanager
def serving(app: App, **options: Any) -> Iterator[Server]:
    server = Server(app, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def until(condition: Callable[[], object]) -> None:
    """Return as soon as it is so."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.005)


def start(length: int | None = None, status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    sized = [] if length is None else [(b"content-length", str(length).encode())]
    return {"type": "http.response.start", "status": status, "headers": [*sized, *headers]}


def part(file: Any, offset: int, count: int, *, more: bool = False) -> dict[str, Any]:
    return {"type": ZERO_COPY, "file": file, "offset": offset, "count": count, "more_body": more}


def body(data: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def sends(*messages: dict[str, Any]) -> App:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app
