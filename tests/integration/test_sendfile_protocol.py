"""The protocol class under uvicorn, over real sockets and on both event loops."""

import asyncio
import contextlib
import datetime as dt
import errno
import ipaddress
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException, IncompleteRead
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from pixyproxy.entrypoints.server import sendfile_protocol
from pixyproxy.entrypoints.server.sendfile_protocol import ZERO_COPY, SendfileProtocol
from tests.doubles.protocol_server import App, Server, body, part, sends, serving, start, until

MIB = 1 << 20
BYTES = os.urandom(4 * MIB)
# More than goes into the buffers of a connection of these tests.
STALLING = len(BYTES)


@pytest.fixture(params=["uvloop", "asyncio"])
def loop_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Any]:
    path = tmp_path / "content"
    path.write_bytes(BYTES)
    with path.open("r+b") as file:
        yield file


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- it is no folder to walk


@pytest.mark.parametrize("count", [0, 1, 50_000, MIB, MIB + 1, 4 * MIB])
def test_a_file_arrives_whole(file: Any, loop_name: str, count: int) -> None:
    with serving(sends(start(count), part(file, 0, count)), loop=loop_name) as server:
        response, received = server.get()
    assert (response.status, response.getheader("content-length")) == (200, str(count))
    assert received == BYTES[:count]


def test_a_range_of_a_file_arrives(file: Any, loop_name: str) -> None:
    with serving(sends(start(2 * MIB), part(file, 123_457, 2 * MIB)), loop=loop_name) as server:
        assert server.get()[1] == BYTES[123_457 : 123_457 + 2 * MIB]


def test_without_offset_and_count_the_rest_of_the_file_is_sent(file: Any) -> None:
    file.seek(3 * MIB)
    with serving(sends(start(MIB), {"type": ZERO_COPY, "file": file})) as server:
        assert server.get()[1] == BYTES[3 * MIB :]


@pytest.mark.parametrize("length", [None, 1_300_007])
def test_files_and_bodies_can_be_mixed(file: Any, loop_name: str, length: int | None) -> None:
    messages = [
        body(b"abc", more=True),
        part(file, 7, 300_000, more=True),
        part(file, 0, 0, more=True),
        body(b"defg", more=True),
        part(file, MIB, 1_000_000, more=True),
        body(),
    ]
    with serving(sends(start(length), *messages), loop=loop_name) as server:
        response, received = server.get()
    assert received == b"abc" + BYTES[7:300_007] + b"defg" + BYTES[MIB : MIB + 1_000_000]
    assert response.getheader("transfer-encoding") == ("chunked" if length is None else None)


def test_a_large_body_before_a_file_goes_out_first(file: Any, loop_name: str) -> None:
    messages = [start(8 * MIB), body(BYTES, more=True), part(file, 0, 4 * MIB)]
    with serving(sends(*messages), loop=loop_name) as server:
        assert server.get()[1] == BYTES * 2


def test_head_has_the_length_and_no_bytes(file: Any, loop_name: str) -> None:
    with serving(sends(start(MIB), part(file, 0, MIB)), loop=loop_name) as server, server.connect() as client:
        client.sendall(b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        received = client.makefile("rb").read()
    assert b"content-length: 1048576\r\n" in received
    assert received.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_body_may_end_with_an_empty_part(file: Any, status: int) -> None:
    with serving(sends(start(None, status), part(file, 0, 0))) as server:
        assert server.get()[0].status == status
        assert server.get()[1] == b""


@pytest.mark.parametrize(
    ("length", "counts", "complaint"),
    [
        (10, [11], "longer than Content-Length"),
        (10, [6, 5], "longer than Content-Length"),
        (10, [9], "shorter than Content-Length"),
    ],
)
def test_a_length_that_is_not_true_is_an_error(
    file: Any, caplog: pytest.LogCaptureFixture, length: int, counts: list[int], complaint: str
) -> None:
    parts = [part(file, 0, count, more=True) for count in counts[:-1]]
    with serving(sends(start(length), *parts, part(file, 0, counts[-1]))) as server:
        with pytest.raises(IncompleteRead):
            server.get()
        until(lambda: server.connections == 0)
    assert [str(record.exc_info[1]).count(complaint) for record in caplog.records if record.exc_info] == [1]


def test_a_file_before_the_head_is_an_error(file: Any, caplog: pytest.LogCaptureFixture) -> None:
    with serving(sends(part(file, 0, 1))) as server:
        assert server.get()[0].status == 500
    assert "Expected ASGI message 'http.response.start', but got 'http.response.zerocopysend'" in caplog.text


def test_a_file_after_the_end_is_an_error(file: Any, caplog: pytest.LogCaptureFixture) -> None:
    with serving(sends(start(1), part(file, 0, 1), part(file, 0, 1))) as server:
        assert server.get()[1] == BYTES[:1]
    assert "sent, after response already completed" in caplog.text


def test_the_head_goes_out_with_what_follows_it(loop_name: str) -> None:
    is_started, may_follow = threading.Event(), threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(2))
        is_started.set()
        await asyncio.to_thread(may_follow.wait, 30)
        await send(body(b"ok"))

    with serving(app, loop=loop_name) as server, server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert is_started.wait(30)
        # ASGI lets no server send a head before it has a part of the body.
        client.settimeout(0.2)
        try:
            with pytest.raises(TimeoutError):
                client.recv(1)
        finally:
            may_follow.set()
        client.settimeout(30)
        assert client.makefile("rb").read().endswith(b"\r\n\r\nok")


def test_an_application_that_fails_before_any_of_the_body_is_a_500(file: Any, loop_name: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(2))
        raise ValueError

    with serving(app, loop=loop_name) as server:
        assert server.get()[0].status == 500


def test_an_application_that_fails_within_the_body_closes_the_connection(file: Any, loop_name: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(2))
        await send({"type": "http.response.body", "body": b"o", "more_body": True})
        raise ValueError

    with serving(app, loop=loop_name) as server, server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        head, _, rest = client.makefile("rb").read().partition(b"\r\n\r\n")
    assert (head.split(b"\r\n")[0], rest) == (b"HTTP/1.1 200 OK", b"o")


def test_headers_arrive_as_uvicorn_sends_them(file: Any, loop_name: str) -> None:
    headers = [(b"X-One", b"1"), (b"x-two", b"2"), (b"X-One", b"3"), (b"x-none", b""), (b"x-high", b"\xe4")]
    heads = []
    for protocol in (SendfileProtocol, HttpToolsProtocol):
        with serving(sends(start(2, 200, *headers), body(b"ok")), loop=loop_name, http=protocol) as server:
            heads.append(sorted(header for header in server.get()[0].getheaders() if header[0] != "date"))
    assert heads[0] == heads[1]
    assert ("x-high", "\xe4") in heads[0]


@pytest.mark.parametrize("header", [(b"x-bad", b"1\r\nx-forged: 1"), (b"x bad", b"1"), (b"connection\n", b"close")])
def test_a_header_that_would_forge_another_is_refused(
    file: Any, loop_name: str, header: tuple[bytes, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    with serving(sends(start(2, 200, header), part(file, 0, 2)), loop=loop_name) as server, server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert client.makefile("rb").read() == b""
    assert "Invalid HTTP header" in caplog.text


def test_uvicorn_sees_that_an_application_wants_the_connection_closed(file: Any, loop_name: str) -> None:
    messages = start(5, 200, (b"Connection", b"close")), part(file, 0, 5)
    with serving(sends(*messages), loop=loop_name) as server, server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert client.makefile("rb").read().endswith(BYTES[:5])


def test_uvicorn_sees_that_an_application_wants_chunks(file: Any, loop_name: str) -> None:
    messages = start(None, 200, (b"Transfer-Encoding", b"chunked")), part(file, 0, 5)
    with serving(sends(*messages), loop=loop_name) as server:
        response, received = server.get()
        assert (response.headers.get_all("transfer-encoding"), received) == (["chunked"], BYTES[:5])


def test_small_files_that_are_ready_are_sent_right_after_each_other(
    file: Any, loop_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []
    sendfile = os.sendfile

    def noted(*where: int) -> int:
        sent = sendfile(*where)
        events.append("sent")
        return sent

    monkeypatch.setattr(os, "sendfile", noted)
    # Not every file system can tell: tmpfs can't.
    monkeypatch.setattr(sendfile_protocol, "_is_in_memory", lambda *_: True)
    waiting: list[asyncio.Future[None]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        waiting.append(asyncio.get_running_loop().create_future())
        if len(waiting) == 5:
            for waiter in waiting:
                waiter.set_result(None)
        await waiting[-1]
        events.append("ready")
        await sends(start(1000), part(file, 0, 1000))(scope, receive, send)
        events.append("ended")

    with serving(app, loop=loop_name) as server, contextlib.ExitStack() as stack:
        file.seek(0)
        assert file.read() == BYTES
        clients = [stack.enter_context(server.connect()) for _ in range(5)]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        for client in clients:
            assert client.makefile("rb").read().endswith(BYTES[:1000])
        until(lambda: server.ended == 5)
    assert events == ["ready"] * 5 + ["sent"] * 5 + ["ended"] * 5


def test_pipelined_requests_get_their_files_in_order(file: Any, loop_name: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        number = int(scope["path"][1:])
        await send(start(300_000 + number))
        await send(part(file, number * 1000, 300_000 + number))

    with serving(app, loop=loop_name) as server, server.connect() as client:
        requests = [f"GET /{number} HTTP/1.1\r\nhost: x\r\n\r\n" for number in range(9)]
        client.sendall("".join(requests).encode() + b"GET /9 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        stream = client.makefile("rb")
        for number in range(10):
            while line := stream.readline().strip():
                if line.startswith(b"content-length"):
                    assert int(line.split()[1]) == 300_000 + number
            assert stream.read(300_000 + number) == BYTES[number * 1000 : number * 1000 + 300_000 + number]
        assert stream.read() == b""


def test_the_connection_is_kept_for_the_next_request(file: Any, loop_name: str) -> None:
    with serving(sends(start(MIB), part(file, 0, MIB)), loop=loop_name) as server:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
        for _ in range(3):
            connection.request("GET", "/")
            assert connection.getresponse().read() == BYTES[:MIB]
        assert len({scope["client"] for scope in server.requests}) == 1
        connection.close()


def test_a_unix_socket_is_served_as_well(file: Any, tmp_path: Path, loop_name: str) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(path)
        server = Server(sends(start(4 * MIB), part(file, 0, 4 * MIB)), loop=loop_name)
        server.listener.close()
        server._thread = threading.Thread(target=server.server.run, kwargs={"sockets": [listener]})
        server.listener = listener
        server.start()
        client.connect(path)
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert client.makefile("rb").read().partition(b"\r\n\r\n")[2] == BYTES
        server.stop()


def test_a_file_that_shrinks_under_way_breaks_the_connection_off(
    file: Any, loop_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(sends(start(STALLING), part(file, 0, STALLING)), loop=loop_name) as server, server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert client.recv(15) == b"HTTP/1.1 200 OK"
        os.truncate(file.fileno(), 2 * MIB)
        with contextlib.suppress(ConnectionResetError):
            while client.recv(MIB):
                pass
        until(lambda: (server.ended, server.connections) == (1, 0))
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.exc_info and record.exc_info[0] for record in errors] == [EOFError]


def test_nothing_follows_a_file_that_broke_off(file: Any, loop_name: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        with contextlib.suppress(EOFError):
            await send(part(file, STALLING - 10, 20, more=True))
        await send(body(b"more", more=True))
        await send(body())

    with serving(app, loop=loop_name) as server, server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        received = client.makefile("rb").read()
        until(lambda: (server.ended, server.connections) == (1, 0))
    assert received.endswith(b"\r\n\r\n14\r\n" + BYTES[-10:])


def test_a_client_that_goes_away_leaves_no_descriptors(
    file: Any, loop_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(sends(start(STALLING), part(file, 0, STALLING)), loop=loop_name) as server:
        before = descriptors()
        for _ in range(5):
            with server.connect() as client:
                client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                assert client.recv(15) == b"HTTP/1.1 200 OK"
        until(lambda: (server.ended, server.connections) == (5, 0))
        until(lambda: descriptors() == before)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_connections_that_are_lost_while_their_files_wait_block_no_others(
    file: Any, loop_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/lost":
            # The server is then waiting for room in the socket's buffer.
            asyncio.get_running_loop().call_later(0.1, send.func.__self__.transport.abort)
        await sends(start(MIB), part(file, 0, MIB))(scope, receive, send)

    with serving(app, loop=loop_name) as server, ThreadPoolExecutor(8) as pool:
        with contextlib.ExitStack() as clients:
            for _ in range(8):
                clients.enter_context(server.connect()).sendall(b"GET /lost HTTP/1.1\r\nhost: x\r\n\r\n")
            until(lambda: (server.ended, server.connections) == (8, 0))
        # These have the same descriptors.
        received = [response[1] for response in pool.map(server.get, 8 * ["/"])]
    assert received == 8 * [BYTES[:MIB]]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_process_without_descriptors_blames_no_client(
    file: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def dup(_: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "dup", dup)
    with serving(sends(start(MIB), part(file, 0, MIB))) as server:
        with pytest.raises((HTTPException, ConnectionError)):
            server.get()
        until(lambda: server.connections == 0)
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info
    assert str(record.exc_info[1]) == "There is no descriptor left: Too many open files."


def test_clients_that_go_away_while_many_download_disturb_no_others(
    file: Any, loop_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    def download(number: int) -> bytes:
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            # A descriptor that is let go of is the next connection's at once.
            return client.recv(15) if number % 4 else client.makefile("rb").read()

    expected = BYTES[: 4 * MIB]
    with serving(sends(start(4 * MIB), part(file, 0, 4 * MIB)), loop=loop_name) as server:
        with ThreadPoolExecutor(max_workers=12) as pool:
            received = list(pool.map(download, range(240)))
        until(lambda: (server.ended, server.connections) == (240, 0))
    assert all(data.partition(b"\r\n\r\n")[2] == expected for data in received[::4])
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_pipeline_whose_client_goes_away_leaves_no_descriptors(file: Any, loop_name: str) -> None:
    disconnected = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(OSError, match=r"^$"):
            await sends(start(2 * STALLING), part(file, 0, STALLING, more=True))(scope, receive, send)
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        disconnected.set()

    with serving(app, loop=loop_name) as server:
        before = descriptors()
        with server.connect() as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 3)
            assert client.recv(15) == b"HTTP/1.1 200 OK"
        until(lambda: (server.ended, server.connections) == (1, 0))
        until(lambda: descriptors() == before)
        assert disconnected.is_set()


LARGE = "a body"
MIXED = "a body before a file"
WHOLE = "a body that is complete for the application"
CLOSED = "a body that is complete, on a connection that is to be closed"
FILE = "a file"
CHUNKED = "a file in chunks"
KINDS = [LARGE, MIXED, WHOLE, CLOSED, FILE, CHUNKED]


def large_answer(kind: str, file: Any) -> App:
    """Return an application whose answers do not fit into the buffers."""
    answers = {
        LARGE: [start(8 * MIB), body(BYTES, more=True), body(BYTES)],
        MIXED: [start(8 * MIB), body(BYTES, more=True), part(file, 0, 4 * MIB)],
        WHOLE: [start(STALLING), body(BYTES)],
        CLOSED: [start(STALLING, 200, (b"connection", b"close")), body(BYTES)],
        FILE: [start(STALLING), part(file, 0, STALLING)],
        CHUNKED: [start(), part(file, 0, STALLING, more=True), body()],
    }
    return sends(*answers[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_stops_reading_is_dropped(
    file: Any, loop_name: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    threads = threading.active_count()
    with serving(
        large_answer(kind, file), loop=loop_name, limits={"send_timeout": 0.2}, timeout_keep_alive=1
    ) as server:
        before = descriptors()
        with server.connect() as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            until(lambda: server.requests)
            until(lambda: (server.ended, server.connections) == (1, 0))
            with contextlib.suppress(ConnectionResetError):
                while client.recv(MIB):
                    pass
        until(lambda: descriptors() == before)
        assert threading.active_count() <= threads + 1 + sendfile_protocol._READERS._max_workers
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("kind", KINDS)
def test_a_slow_client_is_not_dropped(file: Any, loop_name: str, kind: str) -> None:
    with (
        serving(large_answer(kind, file), loop=loop_name, limits={"send_timeout": 0.5}) as server,
        server.connect() as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        for _ in range(40):
            assert client.recv(4096)
            time.sleep(0.03)
        assert server.connections == 1


def test_a_slow_client_is_not_dropped_while_the_kernel_holds_much_for_it(file: Any, loop_name: str) -> None:
    app = large_answer(FILE, file)
    with (
        serving(app, loop=loop_name, limits={"send_timeout": 0.5}, send_buffer=None) as server,
        server.connect() as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        for _ in range(40):
            assert client.recv(4096)
            time.sleep(0.03)
        assert (server.ended, server.connections) == (0, 1)


def test_an_application_may_take_its_time(loop_name: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(2))
        await send(body(b"a", more=True))
        await asyncio.sleep(0.6)
        await send(body(b"b"))

    with serving(app, loop=loop_name, limits={"send_timeout": 0.1}) as server:
        assert server.get()[1] == b"ab"


def test_stopping_the_server_ends_stalled_downloads(file: Any, loop_name: str) -> None:
    before = descriptors()
    with serving(sends(start(STALLING), part(file, 0, STALLING)), loop=loop_name) as server:
        client = server.connect()
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert client.recv(15) == b"HTTP/1.1 200 OK"
    client.close()
    assert server.ended == 1
    until(lambda: descriptors() <= before)


def test_fifty_slow_readers_cost_no_memory(file: Any, loop_name: str) -> None:
    with serving(sends(start(STALLING), part(file, 0, STALLING)), loop=loop_name) as server:
        assert server.get()[1] == BYTES
        before = resident_memory()
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(server.connect()) for _ in range(50)]
            for client in clients:
                client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            for client in clients:
                assert client.recv(15) == b"HTTP/1.1 200 OK"
            for client in clients:
                assert client.recv(4096)
            assert resident_memory() - before < 8 * MIB


def resident_memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def forget(file: Any) -> None:
    """Have the kernel drop the file, or at least its beginning, from its page cache."""
    os.fsync(file.fileno())

    def is_forgotten() -> bool:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return not sendfile_protocol._is_in_memory(file.fileno(), 0, 1)

    until(is_forgotten)


def test_a_cold_file_arrives_whole(file: Any, loop_name: str) -> None:
    with serving(sends(start(STALLING), part(file, 0, STALLING)), loop=loop_name) as server:
        forget(file)
        assert server.get()[1] == BYTES


def test_others_are_answered_while_a_disk_is_slow(file: Any, loop_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    is_reading, may_read = threading.Event(), threading.Event()
    read_in = sendfile_protocol._read_in

    def read_slowly(*where: int) -> None:
        is_reading.set()
        assert may_read.wait(30)
        read_in(*where)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/cold":
            await sends(start(STALLING), part(file, 0, STALLING))(scope, receive, send)
        else:
            await sends(start(2), body(b"ok"))(scope, receive, send)

    monkeypatch.setattr(sendfile_protocol, "_read_in", read_slowly)
    # The probe makes the kernel read ahead, so the bytes may be in memory the next time.
    monkeypatch.setattr(sendfile_protocol, "_is_in_memory", lambda *_: False)
    with serving(app, loop=loop_name) as server, server.connect() as client:
        client.sendall(b"GET /cold HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert is_reading.wait(30)
        assert [server.get("/other")[1] for _ in range(3)] == [b"ok"] * 3
        until(lambda: server.ended == 3)
        may_read.set()
        assert client.makefile("rb").read().partition(b"\r\n\r\n")[2] == BYTES


def test_cached_bytes_need_no_thread(file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file.seek(0)
    assert file.read() == BYTES
    if not sendfile_protocol._is_in_memory(file.fileno(), 0, STALLING):
        pytest.skip("this file system can't tell what is in memory")
    monkeypatch.setattr(sendfile_protocol, "_READERS", None)
    monkeypatch.setattr(sendfile_protocol, "_read_in", None)
    with serving(sends(start(STALLING), part(file, 0, STALLING))) as server:
        assert server.get()[1] == BYTES


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(signed.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return {"ssl_certfile": str(folder / "certificate.pem"), "ssl_keyfile": str(folder / "key.pem")}


def test_the_extension_is_offered_without_tls_only(certificate: dict[str, str], loop_name: str) -> None:
    plain, encrypted = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", []
    with serving(sends(start(2), body(b"ok")), loop=loop_name) as server:
        server.get()
        assert server.requests[0]["extensions"] == {ZERO_COPY: {}}
    with serving(sends(start(2), body(b"ok")), loop=loop_name, **certificate) as server:
        context = ssl.create_default_context(cafile=certificate["ssl_certfile"])
        with context.wrap_socket(server.connect(), server_hostname="127.0.0.1") as client:
            client.sendall(plain)
            encrypted.append(client.makefile("rb").read().partition(b"\r\n\r\n")[2])
        assert ZERO_COPY not in server.requests[0]["extensions"]
    assert encrypted == [b"ok"]


def test_a_client_that_stops_reading_is_dropped_under_tls_too(certificate: dict[str, str], loop_name: str) -> None:
    messages = sends(start(8 * MIB), body(BYTES, more=True), body(BYTES))
    with serving(messages, loop=loop_name, limits={"send_timeout": 0.2}, **certificate) as server:
        context = ssl.create_default_context(cafile=certificate["ssl_certfile"])
        with context.wrap_socket(server.connect(), server_hostname="127.0.0.1") as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            until(lambda: server.requests)
            until(lambda: (server.ended, server.connections) == (1, 0))


def test_where_the_system_has_no_sendfile_the_extension_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sendfile_protocol, "_HAS_SENDFILE", False)
    with serving(sends(start(2), body(b"ok"))) as server:
        assert server.get()[1] == b"ok"
        assert server.requests[0]["extensions"] == {}


def test_uvicorn_has_the_insides_that_are_relied_on() -> None:
    found: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found["send"] = send
        await sends(start(2), body(b"ok"))(scope, receive, send)

    class Protocol(HttpToolsProtocol):
        def connection_lost(self, exc: Exception | None) -> None:
            found["connection"] = set(vars(self))
            super().connection_lost(exc)

    with serving(app, http=Protocol, proxy_headers=False) as server:
        server.get()
        until(lambda: "connection" in found)
    cycle = found["send"].__self__
    assert isinstance(cycle, RequestResponseCycle)
    assert {
        *("scope", "disconnected", "message_event", "response_started", "response_complete"),
        *("chunked_encoding", "expected_content_length", "flow", "transport"),
    } <= set(vars(cycle))
    assert cycle.flow.write_paused is False
    assert {"app", "flow", "loop", "scheme", "transport"} <= found["connection"]
