"""A uvicorn protocol with limits on the size, duration and rate of what clients send.

uvicorn's own limits neither the head nor its duration, and parses and keeps all pipelined requests. This one parses one
request at a time, and the next when the previous is answered.
"""

import asyncio
import errno
import logging
import os
import re
import resource
import sys
import time
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, ClassVar, Final
from urllib.parse import unquote
from weakref import WeakKeyDictionary, ref

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from pixyproxy.entrypoints.access_log import log_request
from pixyproxy.entrypoints.http.errors import plain_answer
from pixyproxy.entrypoints.http.middleware.response_headers import complete_headers
from pixyproxy.entrypoints.http.service_path import without_prefix

# Bytes of a chunked body parsed at once.
_PIECE: Final = 64 << 10

# The fields that delimit the body, and the one by which the client waits before it sends it.
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"expect"})

_METHOD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ ")

# Seconds between log lines about too many connections or files.
_REMINDER: Final = 60.0

_TOO_MANY: Final = frozenset({errno.EMFILE, errno.ENFILE})

_log = logging.getLogger("pixyproxy.server")


class Phase(Enum):
    """The part of a request to which the client's next byte belongs."""

    IDLE = auto()
    """A new request."""
    HEAD = auto()
    BODY = auto()
    ANSWER = auto()
    """A pipelined request, which is not parsed before this one is answered."""
    REST = auto()
    """Data after the last response: dropped until the connection is closed."""


# Module globals are faster than class attributes; each request reads a dozen.
_IDLE, _HEAD, _BODY, _ANSWER, _REST = Phase


class RefusalError(Exception):
    """A request that is not passed to the application."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class BoundedFlow(FlowControl):
    """uvicorn's flow control, which does not resume reading while `is_held`."""

    is_held = False

    def resume_reading(self) -> None:
        """Resume reading, unless a pipelined request has to wait."""
        if not self.is_held:
            super().resume_reading()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with limits. Beyond them it answers with a problem and closes the connection.

    - A head, and the trailers of a chunked body, have at most `head_size` bytes and `head_lines` lines; chunk
      extensions have at most `head_size` bytes (431, or 414 for the target).
    - A head is complete `head_timeout` seconds after its first byte. A body arrives with `min_rate` bytes a second, on
      average over each `head_timeout` seconds (408). Time in which the client waits for the application does not count.
    - An idle connection is closed after `head_timeout`, or after uvicorn's `timeout_keep_alive` once it had a request.
    - Data after the response is read and dropped for `rest_timeout` seconds and `rest_size` bytes, so that the response
      reaches the client (RFC 9112, section 9.6).

    While the process `is_stopping`, each answer ends its connection, so that no proxy sends the next request on it.
    When the server shuts down, idle connections are closed after `linger` seconds: a request may be on its way.

    One timer per server checks all connections once a second. `prefix` is the path prefix of the service, on which the
    shape of an answer depends.
    """

    prefix: ClassVar[str] = ""
    is_stopping: ClassVar[bool] = False
    linger: ClassVar[float] = 0.5
    head_size: ClassVar[int] = 64 << 10
    head_lines: ClassVar[int] = 100
    head_timeout: ClassVar[float] = 10.0
    min_rate: ClassVar[int] = 1024
    rest_timeout: ClassVar[float] = 5.0
    rest_size: ClassVar[int] = 16 << 20

    flow: BoundedFlow

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Start serving a connection."""
        super().connection_made(transport)
        self.flow = BoundedFlow(transport)
        self._phase = _IDLE
        self._since = self.loop.time()
        self._unread = b""
        self._offset = 0
        self._closes_after_answer = False
        self._is_new = True
        self._reset()
        Watch.of(self).make_room_for(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release everything."""
        super().connection_lost(exc)
        self._unread = b""
        self._phase = _REST

    def _reset(self) -> None:
        """Prepare for the next request."""
        self._has_begun = False
        self._has_surplus = False
        self._head_bytes = 0
        self._has_line = False
        self._last = b""
        self._framing: list[tuple[bytes, bytes]] = []
        # Remaining bytes of the body, None if it is chunked.
        self._left: int | None = 0
        self._received = 0
        self._received_before = 0
        self._since_data = 0
        self._trailers = 0

    # Input.

    def data_received(self, data: bytes) -> None:
        """Parse received data."""
        if self._phase is _REST:
            self._drop(len(data))
            return
        if (
            self._phase is _IDLE
            and not self._unread
            and len(data) <= self.head_size
            and data.find(b"\r\n\r\n") == len(data) - 4
            and not self.flow.write_paused
        ):
            # The fast path of nearly all requests: a complete head and nothing else.
            self._phase, self._since = _HEAD, self.loop.time()
            try:
                self._parse(data, 0, len(data))
            except RefusalError as refusal:
                self._refuse(refusal.status, refusal.detail)
            return
        self._unread = data if self._offset == len(self._unread) else self._unread[self._offset :] + data
        self._offset = 0
        self._advance()

    def _advance(self) -> None:
        """Parse received data up to the end of the first unanswered request."""
        while self._offset < len(self._unread) and not self.transport.is_closing():
            if self._phase is _ANSWER or (self._phase is _IDLE and self.flow.write_paused):
                # Stop reading until the client has taken the response.
                self.flow.pause_reading()
                self.flow.is_held = True
                return
            try:
                self._feed()
            except RefusalError as refusal:
                self._refuse(refusal.status, refusal.detail)
                return
        self._unread, self._offset = b"", 0
        if (self.flow.is_held or self._phase is _HEAD) and not self.transport.is_closing():
            self.flow.is_held = False
            self.flow.resume_reading()

    def _feed(self) -> None:
        """Parse the next piece, at most up to the end of the head or the body."""
        data, start = self._unread, self._offset
        if self._phase is _BODY:
            end = min(len(data), start + (_PIECE if self._left is None else self._left))
        else:
            if self._phase is _IDLE:
                self._phase, self._since = _HEAD, self.loop.time()
            end = self._head_end(data, start)
            self._count_head(data, start, end)
        self._offset = end
        self._parse(data, start, end)

    def _parse(self, data: bytes, start: int, end: int) -> None:
        """Parse a piece of the data, and update the state of the request."""
        piece: Any = data if end - start == len(data) else memoryview(data)[start:end]
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as exc:
            # Only WebSockets are supported, if uvicorn finds a library; other requests continue with HTTP/1.1.
            if self._should_upgrade():
                self._phase = _REST
                self.handle_websocket_upgrade()
                return
            self._offset = start + exc.args[0]
        except httptools.HttpParserError as exc:
            raise _refusal(exc, data[start:end]) from exc
        if self._phase is not _ANSWER or self._has_surplus or self.cycle.response_complete:
            self._settle(data, end - start)

    def _settle(self, data: bytes, count: int) -> None:
        """Update the state of a request that `count` more bytes did not simply complete."""
        if self._has_surplus:
            # The parser has seen the next request, too, because it followed chunks in the same piece. Clients that
            # pipeline must expect a close (RFC 9112, section 9.3.2).
            self._offset = len(data)
            self._closes_after_answer = True
        if self._phase is _ANSWER and self.cycle.response_complete:
            self._go_on()
        elif self._phase is _BODY and self.cycle.response_complete and self._received > self.rest_size:
            self.transport.close()
        elif self._phase is _BODY and self._left is None:
            self._since_data += count
            if self._since_data > self.head_size + _PIECE:
                raise RefusalError(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                    f"The chunk extensions or the trailers are larger than {self.head_size:,} bytes.",
                )

    def _head_end(self, data: bytes, start: int) -> int:
        """Return the end of the head, or of the data if the head is incomplete."""
        if self._last:
            seam = self._last + data[start : start + 3]
            if (found := seam.find(b"\r\n\r\n")) >= 0:
                return start + found + 4 - len(self._last)
        if (found := data.find(b"\r\n\r\n", start)) >= 0:
            return found + 4
        self._last = (self._last + data[-3:])[-3:] if len(data) - start < 3 else data[-3:]  # noqa: PLR2004 -- one less than the mark has
        return len(data)

    def _count_head(self, data: bytes, start: int, end: int) -> None:
        """Raise a `RefusalError` if the head is too large."""
        before = self._head_bytes
        self._head_bytes += end - start
        if not self._has_line and (found := data.find(b"\n", start, end)) >= 0:
            self._has_line = before + found - start < self.head_size
        if self._head_bytes <= self.head_size:
            return
        if not self._has_line:
            raise RefusalError(HTTPStatus.REQUEST_URI_TOO_LONG, f"The target is longer than {self.head_size:,} bytes.")
        raise RefusalError(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"The head is larger than {self.head_size:,} bytes."
        )

    # Parser callbacks.

    def on_message_begin(self) -> None:
        """Start a request, unless the parser has one already."""
        if self._has_begun:
            self._has_surplus = True
        else:
            self._has_begun = True
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Append to the target."""
        if not self._has_surplus:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Append a field of the head; count and drop trailers."""
        if self._phase is not _HEAD:
            self._trailers += 1
            if self._trailers > self.head_lines and not self._has_surplus:
                raise RefusalError(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"There are more than {self.head_lines} trailers."
                )
            return
        name = name.lower()
        if name in _FRAMING:
            self._framing.append((name, value))
        self.headers.append((name, value))
        if len(self.headers) > self.head_lines:
            raise RefusalError(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"The head has more than {self.head_lines} fields."
            )

    def on_headers_complete(self) -> None:
        """Start the application for the request."""
        if self._has_surplus:
            return
        if self._framing or self.url[:1] != b"/" or self.parser.get_http_version() not in {"1.1", "1.0"}:
            self._check_head()
        self._is_new = False
        self._phase, self._since = _BODY, self.loop.time()
        super().on_headers_complete()
        if self.is_stopping:
            self.cycle.keep_alive = False

    def _check_head(self) -> None:
        """Process the rare fields of a head; raise a `RefusalError` for unsupported ones."""
        version = self.parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            raise RefusalError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "The version of HTTP must be 1.1 or 1.0.")
        if self.parser.get_method() == b"CONNECT":
            raise RefusalError(HTTPStatus.NOT_IMPLEMENTED, "The method CONNECT is not supported.")
        for name, value in self._framing:
            if name == b"content-length":
                # The parser guarantees that there is one, and that it is a number.
                self._left = int(value)
            elif name == b"expect":
                self.expect_100_continue = value.lower() == b"100-continue"
            elif version == "1.0":
                raise RefusalError(HTTPStatus.BAD_REQUEST, "A request of HTTP/1.0 can't have a Transfer-Encoding.")
            elif value.lower() == b"chunked":
                self._left = None
            else:
                raise RefusalError(
                    HTTPStatus.NOT_IMPLEMENTED, "The only Transfer-Encoding that is supported is chunked."
                )
        if self.url[:1] != b"/":
            self._take_absolute_target()

    def _take_absolute_target(self) -> None:
        """Use the host of a target such as `http://example.com` instead of `Host` (RFC 9112, section 3.2.2)."""
        parsed = httptools.parse_url(self.url)
        if parsed.host is None:
            return
        host = b"[%b]" % parsed.host if b":" in parsed.host else parsed.host
        if parsed.port is not None:
            host += b":%d" % parsed.port
        # In place, because the scope refers to this list.
        self.headers[:] = [(name, host if name == b"host" else value) for name, value in self.headers]
        if parsed.path is None:
            self.url = b"/" if parsed.query is None else b"/?" + parsed.query

    def on_body(self, body: bytes) -> None:
        """Append to the body."""
        if self._has_surplus:
            return
        self._received += len(body)
        self._since_data = 0
        if self._left is not None:
            self._left -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Mark the request as complete."""
        if self._has_surplus:
            return
        super().on_message_complete()
        self._phase = _ANSWER

    # Output.

    def on_response_complete(self) -> None:
        """Continue with the next request, or drop the rest of this one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self._phase is _ANSWER or self._closes_after_answer:
            self._go_on()
        else:
            # From now on the rest of the body is read within the limits on dropped data.
            self._since, self._received = self.loop.time(), 0
            self.flow.resume_reading()

    def _go_on(self) -> None:
        """After the response, close the connection or wait for the next request."""
        if not self._closes_after_answer:
            self._reset()
            self._phase, self._since = _IDLE, self.loop.time()
            if self._unread:
                self.loop.call_soon(self._advance)
            else:
                self.flow.resume_reading()
        elif self._phase is _ANSWER and not (self._unread or self._has_surplus):
            self.transport.close()
        else:
            self._drop_the_rest()

    def resume_writing(self) -> None:
        """Continue with the next request, which may have waited for the client to read."""
        super().resume_writing()
        if self._unread and self._phase is _IDLE:
            self.loop.call_soon(self._advance)

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer with a problem unless the response has started, and close the connection."""
        request_id = os.urandom(16).hex()
        client = self.client[0] if self.client else None
        log_request(
            "request refused", {"request_id": request_id, "client": client, "status": int(status), "detail": detail}
        )
        # Tell the application that the client is gone.
        is_answered = self._phase is _BODY and self.cycle.response_started
        if self._phase is _BODY and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not is_answered:
            answer = plain_answer(status, detail, request_id, path=self._known_path())
            headers = [
                *self.server_state.default_headers,
                *complete_headers([*answer.headers, (b"connection", b"close")], request_id),
            ]
            lines = [b"%b: %b\r\n" % header for header in headers]
            self.transport.write(b"".join([STATUS_LINE[int(status)], *lines, b"\r\n", answer.body]))
        self._drop_the_rest()

    def _known_path(self) -> str:
        """Return the path below the service's prefix, or what is known of it."""
        if self._phase not in {_HEAD, _BODY} or not self._has_begun:
            return ""
        path = unquote(self.url.partition(b"?")[0].decode("latin-1"))
        return without_prefix(without_prefix(path, self.root_path), self.prefix)

    def _drop_the_rest(self) -> None:
        """Close the connection after the client has had time to read its response."""
        self._phase, self._since = _REST, self.loop.time()
        self._received = len(self._unread) - self._offset
        self._unread, self._offset = b"", 0
        if self.transport.is_closing():
            return
        if not self.transport.can_write_eof():
            # TLS
            self.transport.close()
            return
        self.transport.write_eof()
        self.flow.is_held = False
        self.flow.resume_reading()

    def _drop(self, count: int) -> None:
        self._received += count
        if self._received > self.rest_size:
            self.transport.close()

    def shutdown(self) -> None:
        """Close the connection after its answer, or when no request has come for a moment."""
        if self._phase is _IDLE:
            self.loop.call_later(self.linger, self._close_if_idle)
        elif self._phase is not _HEAD:
            super().shutdown()

    def _close_if_idle(self) -> None:
        if self._phase is _IDLE:
            self.transport.close()

    # Time-outs.

    def check(self, now: float, elapsed: float) -> None:
        """Close the connection if its client takes too long; called about every `elapsed` seconds."""
        waited = now - self._since
        if self.transport.is_closing():
            return
        if self._phase is _IDLE:
            if self.transport.get_write_buffer_size():
                self._since = now
            elif waited > (self.head_timeout if self._is_new else self.timeout_keep_alive):
                self.transport.close()
        elif self._phase is _HEAD:
            if waited > self.head_timeout:
                self._refuse(
                    HTTPStatus.REQUEST_TIMEOUT, f"The head was incomplete after {self.head_timeout:g} seconds."
                )
        elif self._phase is _REST:
            if waited > self.rest_timeout:
                self.transport.close()
        elif self._phase is _BODY:
            self._check_body(now, waited, elapsed)

    def _check_body(self, now: float, waited: float, elapsed: float) -> None:
        if self.cycle.response_complete:
            if waited > self.rest_timeout:
                self.transport.close()
        elif self.flow.read_paused or self.cycle.waiting_for_100_continue:
            # The client waits for us.
            self._since = min(now, self._since + elapsed)
        elif waited >= self.head_timeout:
            if self._received - self._received_before < self.min_rate * waited:
                self._refuse(
                    HTTPStatus.REQUEST_TIMEOUT, f"The body arrived more slowly than {self.min_rate:,} bytes a second."
                )
            else:
                self._since, self._received_before = now, self._received

    @classmethod
    def shortest_limit(cls) -> float:
        """Return the shortest time-out in seconds."""
        return min(cls.head_timeout, cls.rest_timeout)

    @property
    def without_request_since(self) -> float | None:
        """Since when the connection has been idle; None if a request is in progress."""
        if self.transport.is_closing():
            return None
        if self._phase in {_IDLE, _HEAD, _REST} and not self.transport.get_write_buffer_size():
            return self._since
        return None


class Watch:
    """Checks all connections of a server with one timer.

    If file descriptors could run out, it closes the one idle for longest. It logs this, and that
    no file can be opened, at most once a minute.
    """

    _watches: ClassVar[WeakKeyDictionary[ServerState, "Watch"]] = WeakKeyDictionary()
    _reminded_at: ClassVar[float | None] = None

    def __init__(self, server: ServerState, loop: asyncio.AbstractEventLoop, interval: float) -> None:
        self._server = ref(server)
        self._loop = loop
        self._interval = interval
        self._max_connections = max_connections()
        self._checked_at = loop.time()
        loop.call_later(interval, self._check)

    @classmethod
    def of(cls, connection: BoundedProtocol) -> "Watch":
        """Return the watch of the connection's server."""
        watch = cls._watches.get(connection.server_state)
        if watch is None:
            shortest = min(connection.shortest_limit(), connection.timeout_keep_alive)
            interval = max(0.01, min(1.0, shortest / 4))
            watch = cls._watches[connection.server_state] = cls(connection.server_state, connection.loop, interval)
        return watch

    def make_room_for(self, new: BoundedProtocol) -> None:
        """Close the connection idle for longest, but not `new`, if there are too many."""
        connections = new.server_state.connections
        if len(connections) <= self._max_connections:
            return
        idle = [
            (since, id(connection), connection)
            for connection in connections
            if connection is not new
            and isinstance(connection, BoundedProtocol)
            and (since := connection.without_request_since) is not None
        ]
        if idle:
            min(idle)[2].transport.abort()
        self._remind(
            f"There are more than {self._max_connections} connections, close to the limit of open files: idle"
            " connections are closed. Raise the limit (ulimit -n)."
        )

    def _check(self) -> None:
        server = self._server()
        if server is None:
            return
        self._loop.call_later(self._interval, self._check)
        now = self._loop.time()
        elapsed, self._checked_at = now - self._checked_at, now
        for connection in tuple(server.connections):
            if isinstance(connection, BoundedProtocol):
                connection.check(now, elapsed)
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as exc:
            if exc.errno in _TOO_MANY:
                # The event loop then accepts connections and closes them at once.
                self._remind(
                    f"No file can be opened ({exc.strerror}): new connections are closed at once, and requests may"
                    " fail. Raise the limit of the process (ulimit -n)."
                )

    @classmethod
    def _remind(cls, text: str) -> None:
        now = time.monotonic()
        if cls._reminded_at is None or now - cls._reminded_at >= _REMINDER:
            cls._reminded_at = now
            _log.error(text)


def max_connections() -> int:
    """Return the maximum of connections: three quarters of the files that the process may open."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return sys.maxsize
    return max(1, (limit - _open_files()) * 3 // 4)


def _open_files() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- it is no folder to walk
    except OSError:
        # Not on every system; assume some for the database, the listener and the event loop.
        return 16


def _refusal(exc: httptools.HttpParserError, piece: bytes) -> RefusalError:
    """Translate an error of the parser."""
    if isinstance(exc, httptools.HttpParserCallbackError):
        cause = exc.__context__
        if isinstance(cause, RefusalError):
            return cause
        if not isinstance(cause, httptools.HttpParserInvalidURLError | UnicodeError):
            _log.error("A request could not be parsed.", exc_info=cause)
        return RefusalError(HTTPStatus.BAD_REQUEST, "The target of the request is malformed.")
    if isinstance(exc, httptools.HttpParserInvalidMethodError) and _METHOD.match(piece):
        return RefusalError(HTTPStatus.NOT_IMPLEMENTED, "The method is unknown.")
    reason = str(exc)
    if reason in {"Invalid HTTP version", "Pause on PRI/Upgrade"}:
        return RefusalError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "The version of HTTP must be 1.1 or 1.0.")
    return RefusalError(HTTPStatus.BAD_REQUEST, f"The request is malformed: {reason}.")
