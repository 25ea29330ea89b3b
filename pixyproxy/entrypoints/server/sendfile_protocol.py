"""A uvicorn protocol that sends files with `sendfile`, and disconnects clients that stop reading.

It implements ASGI's extension `http.response.zerocopysend`. uvicorn takes the class by name:
`uvicorn --http pixyproxy.entrypoints.server.sendfile_protocol:SendfileProtocol`.
"""

import asyncio
import fcntl
import os
import socket
import struct
import termios
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, Final
from weakref import WeakKeyDictionary

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.protocols.utils import ClientDisconnected

from pixyproxy.entrypoints.access_log import log_request
from pixyproxy.entrypoints.server.bounded_protocol import BoundedProtocol

ZERO_COPY: Final = "http.response.zerocopysend"

# Bytes per call of sendfile, which bounds how long it blocks the event loop.
_PIECE: Final = 512 << 10

# Smaller files do not wait for a turn.
_SMALL: Final = 256 << 10

# All downloads of an event loop send one piece per turn together: many delay others no more than one does.
_TURNS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]] = WeakKeyDictionary()

# The kernel reads ahead at least this far: bytes between two probes are in memory if both are.
_PROBE: Final = 128 << 10

# RWF_NOWAIT tells whether sendfile would wait for a disk.
_HAS_SENDFILE: Final = hasattr(os, "sendfile") and hasattr(os, "RWF_NOWAIT")

_WITHOUT_BODY: Final = frozenset({204, 304})

# A pool of its own: a slow disk must not block the threads that hash passwords and read SQLite.
_READERS: Final = ThreadPoolExecutor(max_workers=4, thread_name_prefix="sendfile-reader")

Message = dict[str, Any]
Send = Callable[[Any], Awaitable[None]]


class SendfileProtocol(BoundedProtocol):
    """The bounded protocol, with `http.response.zerocopysend` on connections without TLS.

    It aborts a connection whose client reads less than `min_rate` bytes a second, on average over `send_timeout`
    seconds, while data is waiting. The application sees a closed connection.

    A response to HTTP/1.0 has no chunks: without a known length it ends with the connection. The server decides whether
    to keep the connection, so a response has at most one `Connection` field.
    """

    send_timeout: ClassVar[float] = 60.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Start serving a connection."""
        super().connection_made(transport)
        self._descriptor: int = transport.get_extra_info("socket").fileno()
        self._application: Callable[..., Awaitable[None]] = self.app
        self.app = self._call_application
        self._extensions: dict[str, Any] = {}
        if _HAS_SENDFILE and self.scheme == "http":
            self._extensions[ZERO_COPY] = {}
        self._socket: socket.socket | None = None
        # uvicorn's `cycle` is the last request received, not the one being answered.
        self._answered: RequestResponseCycle | None = None
        self._writable: asyncio.Future[None] | None = None
        self._start: Any = None
        self._ends_with_connection = False
        # Bytes handed over, and how many of them the client had taken when the clock started.
        self._handed_over = 0
        self._taken = 0
        self._stalled_since: float | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake pending writers and release everything."""
        self._give_up()
        # The pending writer must stop waiting first.
        self.loop.call_soon(self._close_socket)
        super().connection_lost(exc)
        # Break the reference cycle, so that the protocol is freed without the garbage collector.
        self.app = self._application
        self._answered = None

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to another protocol."""
        self._close_socket()
        super().handle_websocket_upgrade()

    def check(self, now: float, elapsed: float) -> None:
        """Abort the connection if its client reads too slowly, and check the other limits."""
        self._check_reader(now)
        super().check(now, elapsed)

    def _check_reader(self, now: float) -> None:
        """Abort the connection if the client has taken too little while data was waiting.

        Waiting data is a part of a file or the transport's buffer. Bytes in the kernel's buffer count as not taken: a
        slow client can take minutes to make room in it.
        """
        buffered = self.transport.get_write_buffer_size()
        if not (buffered or self._writable):
            self._stalled_since = None
            return
        taken = self._handed_over - buffered - _unsent(self._descriptor)
        if self._stalled_since is None:
            self._stalled_since, self._taken = now, taken
            return
        waited = now - self._stalled_since
        if waited >= self.send_timeout:
            if taken - self._taken < self.min_rate * waited:
                self._drop_reader()
            else:
                self._stalled_since, self._taken = now, taken

    def _drop_reader(self) -> None:
        detail = f"The client reads more slowly than {self.min_rate:,} bytes a second."
        log_request("connection dropped", {"client": self.client[0] if self.client else None, "detail": detail})
        self._abort()

    @classmethod
    def shortest_limit(cls) -> float:
        """Return the shortest time-out in seconds."""
        return min(super().shortest_limit(), cls.send_timeout)

    def _abort(self) -> None:
        self._give_up()
        self.transport.abort()

    def _give_up(self) -> None:
        """Stop sending to the client, and wake the pending writer."""
        if self._answered is not None and not self._answered.response_complete:
            self._answered.disconnected = True
            self._answered.message_event.set()
        if self._writable is not None:
            _wake(self._writable)

    async def _call_application(self, scope: Any, receive: Any, send: Any) -> None:
        # `send` is a method of uvicorn's cycle, a request with its response.
        self._answered = cycle = send.__self__
        self._start = None
        scope["extensions"] = {**scope.get("extensions", {}), **self._extensions}
        # Raised by `_send_file`; applications need not catch it.
        with suppress(ClientDisconnected):
            await self._application(scope, receive, partial(self._send, cycle))

    async def _send(self, cycle: RequestResponseCycle, message: Any) -> None:
        if message["type"] == "http.response.start" and self._start is None and not cycle.response_started:
            # ASGI sends the head with the next message.
            self._start = message
            return
        if self._start is not None:
            start, self._start = self._start, None
            await self._send_start(cycle, start)
        if message["type"] in self._extensions and cycle.response_started and not cycle.response_complete:
            await self._send_file(cycle, message)
            return
        count = len(message.get("body", b""))
        self._handed_over += count
        if self._ends_with_connection:
            # uvicorn checks the remaining length.
            cycle.expected_content_length = count
        await cycle.send(message)

    async def _send_start(self, cycle: RequestResponseCycle, start: Any) -> None:
        start = {**start, "headers": self._framing_of(cycle, start.get("status"), start.get("headers", ()))}
        await cycle.send(start)
        if not cycle.keep_alive:
            # uvicorn would close the connection while the client may still send, and the response would be lost.
            cycle.keep_alive = self._closes_after_answer = True

    def _framing_of(
        self, cycle: RequestResponseCycle, status: int | None, headers: list[tuple[bytes, bytes]]
    ) -> list[tuple[bytes, bytes]]:
        """Return the headers without `Connection`, which is up to the server."""
        is_old = cycle.scope["http_version"] == "1.0"
        kept, has_length = [], False
        for name, value in headers:
            match name.lower():
                case b"connection":
                    if b"close" in [token.strip().lower() for token in value.split(b",")]:
                        cycle.keep_alive = False
                    continue
                case b"transfer-encoding" if is_old:
                    continue
                case b"content-length":
                    has_length = True
            kept.append((name, value))
        if self._closes_after_answer or cycle.waiting_for_100_continue:
            # A client that waits for a 100 may still send its body.
            cycle.keep_alive = False
        self._ends_with_connection = (
            is_old and not has_length and cycle.scope["method"] != "HEAD" and status not in _WITHOUT_BODY
        )
        if self._ends_with_connection:
            cycle.chunked_encoding = False
        return kept

    async def _send_file(self, cycle: RequestResponseCycle, message: Message) -> None:
        """Send a part of a file as `RequestResponseCycle.send` sends a part of a body."""
        file = message["file"].fileno()
        offset, count = message.get("offset"), message.get("count")
        if offset is None:
            offset = os.lseek(file, 0, os.SEEK_CUR)
        if count is None:
            count = max(os.fstat(file).st_size - offset, 0)
        if count and cycle.scope["method"] != "HEAD" and not cycle.disconnected:
            if cycle.chunked_encoding:
                self.transport.write(b"%x\r\n" % count)
            elif self._ends_with_connection:
                pass
            elif count > cycle.expected_content_length:
                raise RuntimeError("Response content longer than Content-Length")
            else:
                cycle.expected_content_length -= count
            try:
                await self._transfer(cycle, file, offset, offset + count)
            except BaseException:
                # The client has an unknown part, so nothing valid can follow.
                self._abort()
                raise
            if cycle.chunked_encoding and not cycle.disconnected:
                self.transport.write(b"\r\n")
        if cycle.disconnected:
            # Tells the access log that the response is incomplete (ASGI 2.4).
            raise ClientDisconnected
        await cycle.send({"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)})

    async def _transfer(self, cycle: RequestResponseCycle, file: int, offset: int, end: int) -> None:
        """Send the bytes from `offset` to `end`, or until the client leaves.

        Raises `EOFError` if the file ends before `end`.
        """
        if end - offset <= _SMALL:
            # Send all small files that are ready in one turn of the event loop: waking a sleeping client for each costs
            # more than sending it.
            await asyncio.sleep(0)
        if cycle.disconnected:
            return
        connection = self._socket or self._open_socket()
        await self._flush()
        in_memory_until = offset
        while offset < end and not cycle.disconnected:
            stop = min(offset + _PIECE, end)
            try:
                if offset >= in_memory_until and not _is_in_memory(file, offset, stop):
                    await self.loop.run_in_executor(_READERS, _read_in, file, offset, stop)
                    in_memory_until = stop
                    continue
                sent = await self._send_piece(cycle, connection, file, offset, stop - offset)
            except BlockingIOError:
                await self._until_writable(connection)
                continue
            except (ConnectionError, TimeoutError):
                self._abort()
                return
            except OSError as exc:
                # An `OSError` would mean that the client has gone away.
                raise RuntimeError(f"The file can't be read: {exc.strerror}.") from exc
            if not sent:
                raise EOFError(f"The file has ended at byte {offset}, before byte {end}.")
            self._handed_over += sent
            offset += sent
            if offset < stop:
                await self._until_writable(connection)

    async def _send_piece(
        self, cycle: RequestResponseCycle, connection: socket.socket, file: int, offset: int, count: int
    ) -> int:
        """Send at most `count` bytes, a large piece in its turn, and return how many were sent."""
        if count <= _SMALL:
            sent = os.sendfile(connection.fileno(), file, offset, count)
            # The others that are ready come first.
            await asyncio.sleep(0)
            return sent
        async with _TURNS.setdefault(self.loop, asyncio.Lock()):
            if cycle.disconnected:
                raise ConnectionAbortedError
            sent = os.sendfile(connection.fileno(), file, offset, count)
            await asyncio.sleep(0)
            return sent

    async def _flush(self) -> None:
        """Wait until the kernel has all that the transport holds, or the connection is lost."""
        if self.transport.get_write_buffer_size():
            self.transport.set_write_buffer_limits(high=0)
            await self.flow.drain()
            if not self.transport.is_closing():
                self.transport.set_write_buffer_limits()

    async def _until_writable(self, connection: socket.socket) -> None:
        """Wait until the socket is writable, or the connection is given up."""
        self._writable = self.loop.create_future()
        self.loop.add_writer(connection, _wake, self._writable)
        try:
            await self._writable
        finally:
            self.loop.remove_writer(connection)
            self._writable = None

    def _open_socket(self) -> socket.socket:
        """Duplicate the socket: uvloop hides its own, and rejects `add_writer` on its descriptor."""
        try:
            descriptor = os.dup(self._descriptor)
        except OSError as exc:
            # An `OSError` would mean that the client has gone away.
            raise RuntimeError(f"There is no descriptor left: {exc.strerror}.") from exc
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=descriptor)
        return self._socket

    def _close_socket(self) -> None:
        """Close the duplicate, which keeps the connection open."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _unsent(descriptor: int) -> int:
    """Return how many bytes the kernel has not delivered yet; 0 if it does not tell."""
    try:
        answer = fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    return int(struct.unpack("i", answer)[0])


def _is_in_memory(file: int, start: int, stop: int) -> bool:
    """Whether the bytes can be read without waiting for a disk; false if unknown."""
    byte = [bytearray(1)]
    try:
        for offset in (*range(start, stop, _PROBE), stop - 1):
            os.preadv(file, byte, offset, os.RWF_NOWAIT)
    except OSError:
        # The thread will meet any other error of the file.
        return False
    return True


def _read_in(file: int, start: int, stop: int) -> None:
    """Have the kernel read the bytes, and all others between two probes, into its page cache.

    If the file is closed meanwhile because its request was cancelled, at worst bytes of another file are read.
    """
    # Align to probes, so that each stands for all bytes up to the next.
    start, stop = start - start % _PROBE, stop + -stop % _PROBE
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        while start < stop and (count := os.sendfile(nowhere, file, start, stop - start)):
            start += count
    finally:
        os.close(nowhere)
