"""Limits of size and time on requests: the protocol class under uvicorn, over real sockets."""

import asyncio
import contextlib
import itertools
import json
import logging
import os
import re
import resource
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixyproxy.entrypoints.server import bounded_protocol
from pixyproxy.entrypoints.server.sendfile_protocol import SendfileProtocol
from tests.doubles.protocol_server import Server, body, sends, serving, start, until

OK = sends(start(2), body(b"ok"))
GET = b"GET / HTTP/1.1\r\nhost: x\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\n"
LAST = GET + b"connection: close\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
LAST_CHUNKED = POST + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture(params=["uvloop", "asyncio"])
def loop_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the target and the body."""
    received = b""
    while True:
        message = await receive()
        received += message.get("body", b"")
        if not message.get("more_body"):
            break
    text = scope["raw_path"] + b" " + received
    await sends(start(len(text)), body(text))(scope, receive, send)


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    """Answer without a look at the body."""
    await sends(start(2, 401), body(b"no"))(scope, receive, send)


def answer_to(server: Server, *pieces: bytes, timeout: float = 10) -> bytes:
    """Send the pieces, each in a packet of its own, and return all that comes until the server closes."""
    with server.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.settimeout(timeout)
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                client.sendall(piece)
        return received(client)


def received(client: socket.socket) -> bytes:
    """Return all that comes until the server closes."""
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while data := client.recv(1 << 16):
            answer += data
    return answer


def until_end(client: socket.socket, end: bytes) -> bytes:
    """Return the data up to the end of an answer; fail if it does not come."""
    answer = b""
    while not answer.endswith(end):
        data = client.recv(1 << 16)
        assert data, answer
        answer += data
    return answer


def pour(client: socket.socket, data: bytes) -> None:
    """Send the data again and again, until that fails."""
    sent = 0
    while sent < 1 << 28:
        sent += client.send(data)


def problem_in(answer: bytes) -> dict[str, Any]:
    """Return the problem that the only answer is; its form is the same for all."""
    head, _, text = answer.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert fields["content-type"] == "application/problem+json"
    assert fields["connection"] == "close"
    assert fields["cache-control"] == "no-store"
    assert fields["content-length"] == str(len(text))
    problem: dict[str, Any] = json.loads(text)
    assert problem["request_id"] == fields["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", problem["request_id"])
    assert head.startswith(b"HTTP/1.1 %d " % problem["status"])
    assert (problem["type"], bool(problem["title"])) == ("about:blank", True)
    return problem


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def strict(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Yield a server with small limits, one for many tests."""
    limits = {"head_size": 1000, "head_lines": 10, "rest_timeout": 0.2}
    with serving(echo, loop=request.param, limits=limits) as server:
        yield server


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (LAST + b"a: b\r\n" * 8 + b"\r\n", 200),
        (LAST + b"a: b\r\n" * 9 + b"\r\n", 431),
        (LAST + b"a: " + b"b" * 900 + b"\r\n\r\n", 200),
        (GET + b"a: " + b"b" * 1000 + b"\r\n\r\n", 431),
        (GET + b"a: " + b"b" * 1000, 431),
        (GET + b"a" * 1000, 431),
        (GET + b"a: b\r\n" * 1000, 431),
        (b"GET /" + b"a" * 900 + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 200),
        (b"GET /" + b"a" * 1000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414),
        (b"GET /" + b"a" * 1000, 414),
        (b"GET /?" + b"a=b&" * 1000, 414),
        (LAST_CHUNKED + b"0\r\n" + b"a: b\r\n" * 10 + b"\r\n", 200),
        (CHUNKED + b"0\r\n" + b"a: b\r\n" * 11 + b"\r\n", 431),
        (CHUNKED + b"0\r\n" + b"a: " + b"b" * 100_000, 431),
        (CHUNKED + b"1;" + b"b" * 100_000, 431),
        (LAST_CHUNKED + b"1;a=" + b"b" * 900 + b"\r\nx\r\n0\r\n\r\n", 200),
    ],
)
@pytest.mark.parametrize("in_one", [True, False])
def test_a_head_has_a_largest_size(data: bytes, status: int, in_one: bool, strict: Server) -> None:
    pieces = [data] if in_one else [data[place : place + 97] for place in range(0, len(data), 97)]
    answer = answer_to(strict, *pieces)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert status == 200 or problem_in(answer)["status"] == status


def test_the_default_limits_are_those_of_the_documentation() -> None:
    assert (SendfileProtocol.head_size, SendfileProtocol.head_lines) == (65_536, 100)
    assert (SendfileProtocol.head_timeout, SendfileProtocol.min_rate) == (10.0, 1024)


def test_a_head_may_come_byte_by_byte(loop_name: str) -> None:
    data = b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc" + LAST.replace(b"/ ", b"/b ") + b"\r\n"
    with serving(echo, loop=loop_name) as server:
        answer = answer_to(server, *[bytes([byte]) for byte in data])
    assert re.findall(rb"/[ab] [a-z]*", answer) == [b"/a abc", b"/b "]


MESSAGES = st.lists(
    st.one_of(
        st.just((b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n", b"")),
        st.binary(max_size=40).map(
            lambda data: (b"POST /%%d HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(data), data)
        ),
        st.just((b"\r\nGET /%d HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n", b"")),
        st.just((b"\r\n\r\nPUT /%d HTTP/1.1\r\nhost: x\r\nx-a: \r\n\r\n", b"")),
    ),
    min_size=1,
    max_size=8,
)


@pytest.fixture(scope="module")
def echoing() -> Iterator[Server]:
    with serving(echo) as server:
        yield server


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=MESSAGES, cuts=st.lists(st.integers(1, 400), max_size=12))
def test_requests_are_told_apart_wherever_their_bytes_are_cut(
    echoing: Server, messages: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    data = b"".join(head % number + content for number, (head, content) in enumerate(messages))
    data += b"GET /end HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[begin:end] for begin, end in itertools.pairwise(places)]
    expected = [b"/%d %b" % (number, content) for number, (_, content) in enumerate(messages)] + [b"/end "]

    answer = answer_to(echoing, *pieces)

    texts = []
    while answer:
        head, _, answer = answer.partition(b"\r\n\r\n")
        length = int(re.findall(rb"content-length: (\d+)", head)[0])
        texts.append(answer[:length])
        answer = answer[length:]
    assert texts == expected


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(min_size=1, max_size=200),
        st.text(alphabet="GET /:\r\nHTP1.0x ", max_size=60).map(str.encode),
        st.binary(max_size=60).map(lambda data: GET + data + b"\r\n\r\n"),
        st.binary(max_size=60).map(lambda data: CHUNKED + data),
    )
)
def test_whatever_comes_is_answered_or_refused_with_a_problem(echoing: Server, data: bytes) -> None:
    with echoing.connect() as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        answer = received(client)
    # Half a request that ends has no answer.
    while answer:
        head, _, answer = answer.partition(b"\r\n\r\n")
        assert re.match(rb"HTTP/1\.1 (200|400|501|505) ", head)
        length = int(re.findall(rb"content-length: (\d+)", head)[0])
        if not head.startswith(b"HTTP/1.1 200"):
            assert problem_in(head + b"\r\n\r\n" + answer[:length])
        answer = answer[length:]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"get / HTTP/1.1\r\n\r\n", 501),
        (b"BREW / HTTP/1.1\r\nhost: x\r\n\r\n", 501),
        (b"CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\n\r\n", 501),
        (b"GET / HTTP/3.0\r\n\r\n", 505),
        (b"GET /\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET /a b HTTP/1.1\r\n\r\n", 400),
        (b"GET /\xc3\xa4 HTTP/1.1\r\n\r\n", 400),
        (b"GET http:// HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nhost: x\n\n", 400),
        (GET + b"a b: c\r\n\r\n", 400),
        (GET + b"a : c\r\n\r\n", 400),
        (GET + b": c\r\n\r\n", 400),
        (GET + b"a: b\r\n c\r\n\r\n", 400),
        (GET + b"a: b\x00c\r\n\r\n", 400),
        (GET + b"a: b\rc: d\r\n\r\n", 400),
        (POST + b"content-length: -1\r\n\r\n", 400),
        (POST + b"content-length: +1\r\n\r\na", 400),
        (POST + b"content-length: 1, 1\r\n\r\na", 400),
        (POST + b"content-length: \r\n\r\n", 400),
        (POST + b"content-length: 0x1\r\n\r\na", 400),
        (POST + b"content-length: 99999999999999999999999\r\n\r\na", 400),
        (POST + b"content-length: 1\r\ncontent-length: 1\r\n\r\na", 400),
        (POST + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"transfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n0\r\n\r\n", 400),
        (POST + b"transfer-encoding: gzip\r\n\r\n", 501),
        (POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (POST + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (CHUNKED + b"x\r\n", 400),
        (CHUNKED + b"-1\r\n", 400),
        (CHUNKED + b"1\r\nab\r\n", 400),
        (CHUNKED + b"ffffffffffffffffff\r\n", 400),
    ],
)
def test_a_malformed_request_is_a_problem_and_ends_the_connection(
    data: bytes, status: int, strict: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        problem = problem_in(answer_to(strict, data + b"x" * 100))
        until(lambda: strict.connections == 0)
    assert problem["status"] == status
    (line,) = [record for record in caplog.records if record.message == "request refused"]
    facts = vars(line)
    assert (facts["request_id"], facts["client"]) == (problem["request_id"], "127.0.0.1")
    assert (facts["status"], facts["detail"]) == (status, problem["detail"])
    # Where the application has begun, it learns that the client is lost.
    assert strict.ended == len(strict.requests)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_target_in_absolute_form_names_the_same(loop_name: str) -> None:
    with serving(echo, loop=loop_name) as server:
        for target, path in ((b"http://x/a?b", b"/a"), (b"http://x", b"/"), (b"http://x?b", b"/")):
            answer = answer_to(server, b"GET %b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % target)
            assert answer.endswith(b"\r\n\r\n" + path + b" ")


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"http://example.org/", b"example.org"),
        (b"HTTP://user@example.org:81?a", b"example.org:81"),
        (b"http://[::1]:80/", b"[::1]:80"),
        (b"/http://example.org/", b"x"),
        (b"*", b"x"),
    ],
)
def test_the_host_is_that_of_a_target_in_absolute_form(target: bytes, host: bytes) -> None:
    with serving(echo) as server:
        answer_to(server, b"OPTIONS %b HTTP/1.1\r\nhost: x\r\naccept: y\r\nconnection: close\r\n\r\n" % target)
        (request,) = server.requests
    assert request["headers"][:2] == [(b"host", host), (b"accept", b"y")]


def test_a_trailer_is_no_header(loop_name: str) -> None:
    with serving(echo, loop=loop_name) as server:
        head = CHUNKED.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
        answer = answer_to(server, head, b"1\r\na\r\n0\r\nauthorization: Basic YTpi\r\n\r\n")
        assert answer.endswith(b"/ a")
        assert [name for name, _ in server.requests[0]["headers"]] == [b"host", b"transfer-encoding", b"connection"]


def test_a_request_in_the_same_piece_as_the_last_chunk_is_not_answered_and_the_connection_closed(
    loop_name: str,
) -> None:
    with serving(echo, loop=loop_name, limits={"rest_timeout": 0.2}) as server:
        answer = answer_to(server, CHUNKED + b"1\r\na\r\n0\r\n\r\n" + GET + b"\r\n")
    assert answer.endswith(b"/ a")
    assert answer.count(b"HTTP/1.1") == answer.count(b"connection: close") == len(server.requests) == 1


def test_a_request_after_chunks_is_answered_when_it_comes_later(loop_name: str) -> None:
    with serving(echo, loop=loop_name) as server, server.connect() as client:
        for _ in range(3):
            client.sendall(CHUNKED + b"1\r\na\r\n0\r\n\r\n")
            assert until_end(client, b"/ a")


def test_requests_of_a_pipeline_begin_when_the_one_before_is_answered(loop_name: str) -> None:
    may_answer = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.to_thread(may_answer.wait, 10)
        await OK(scope, receive, send)

    with serving(app, loop=loop_name) as server, server.connect() as client:
        client.sendall((GET + b"\r\n") * 100)
        until(lambda: server.requests)
        time.sleep(0.1)
        assert len(server.requests) == 1
        may_answer.set()
        answer = b""
        while answer.count(b"ok") < 100:
            answer += client.recv(1 << 16)
        assert len(server.requests) == 100


def test_a_pipeline_without_end_is_not_read_before_its_answers_are(loop_name: str) -> None:
    large = sends(start(100_000), body(b"a" * 100_000))
    with serving(large, loop=loop_name) as server, server.connect() as client:
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            pour(client, (GET + b"\r\n") * 1000)
        # The answers to few of them fill the buffers.
        assert 0 < len(server.requests) < 20
        before = len(server.requests)
        client.settimeout(5)
        while len(server.requests) < before + 20:
            assert client.recv(1 << 16)


def test_a_pipeline_is_not_kept_in_memory_when_the_application_awaits_a_disconnect(loop_name: str) -> None:
    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        # The first is the body.
        for _ in range(2):
            await receive()

    with serving(app, loop=loop_name) as server, server.connect() as client:
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            pour(client, (GET + b"\r\n") * 1000)
        (connection,) = server.server.server_state.connections
        assert len(connection._unread) < 1 << 20  # type: ignore[union-attr]
        assert len(server.requests) == 1


@pytest.mark.parametrize("opening", [b"G", GET, GET + b"a", b"\r\n"])
def test_half_a_head_is_answered_with_408_when_its_time_is_over(opening: bytes, loop_name: str) -> None:
    with serving(OK, loop=loop_name, limits={"head_timeout": 0.2, "rest_timeout": 0.2}) as server:
        assert problem_in(answer_to(server, opening))["status"] == 408
        until(lambda: server.connections == 0)
    assert server.requests == []


def test_a_head_that_never_ends_gains_no_time_by_its_bytes(loop_name: str) -> None:
    with serving(OK, loop=loop_name, limits={"head_timeout": 0.3, "rest_timeout": 0.2}) as server:
        with server.connect() as client:
            client.sendall(GET)
            began = time.monotonic()
            with contextlib.suppress(OSError):
                while server.connections and time.monotonic() < began + 10:
                    client.sendall(b"a")
                    time.sleep(0.02)
        until(lambda: server.connections == 0)
    assert server.requests == []


def test_a_connection_without_a_request_is_closed(loop_name: str) -> None:
    with serving(OK, loop=loop_name, limits={"head_timeout": 0.2}) as server:
        assert answer_to(server) == b""


def test_a_connection_that_is_kept_is_closed_when_it_is_idle(loop_name: str) -> None:
    with serving(OK, loop=loop_name, timeout_keep_alive=0.2) as server:
        assert answer_to(server, GET + b"\r\n").endswith(b"ok")


def test_a_kept_connection_has_the_time_of_a_head_from_the_first_byte_on(loop_name: str) -> None:
    limits = {"head_timeout": 0.4, "rest_timeout": 0.2}
    with serving(OK, loop=loop_name, limits=limits, timeout_keep_alive=10) as server, server.connect() as client:
        client.sendall(GET + b"\r\n")
        assert until_end(client, b"ok")
        time.sleep(0.8)
        client.sendall(GET)
        assert problem_in(received(client))["status"] == 408


def test_an_application_takes_as_long_as_it_wants_to(loop_name: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.6)
        await OK(scope, receive, send)

    limits = {"head_timeout": 0.1, "rest_timeout": 0.1}
    with serving(app, loop=loop_name, limits=limits, timeout_keep_alive=0.1) as server:
        assert answer_to(server, GET + b"\r\n").endswith(b"ok")


@pytest.mark.parametrize("head", [POST + b"content-length: 100\r\n\r\n", CHUNKED])
def test_a_body_that_stops_is_answered_with_408(head: bytes, loop_name: str) -> None:
    limits = {"head_timeout": 0.2, "min_rate": 1000, "rest_timeout": 0.2}
    with serving(echo, loop=loop_name, limits=limits) as server:
        assert problem_in(answer_to(server, head + b"1\r\na"))["status"] == 408
        until(lambda: (server.connections, server.ended) == (0, 1))


@pytest.mark.parametrize(
    ("target", "is_openais"),
    [
        (b"/v1/images/edits?a=/image", True),
        (b"/pixy/v1/images/edits", True),
        (b"/image?/v1", False),
        (b"/other/v1/images", False),
    ],
)
@pytest.mark.parametrize(
    ("fields", "status"),
    [(b"content-length: 100\r\n\r\na", 408), (b"transfer-encoding: gzip\r\n\r\n", 501)],
)
def test_below_v1_a_refusal_has_openai_s_shape(
    target: bytes, is_openais: bool, fields: bytes, status: int, loop_name: str
) -> None:
    limits = {"head_timeout": 0.2, "min_rate": 1000, "rest_timeout": 0.2, "prefix": "/pixy"}
    with serving(echo, loop=loop_name, limits=limits) as server:
        answer = answer_to(server, b"POST %b HTTP/1.1\r\nhost: x\r\n" % target + fields)
    head, _, text = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    if is_openais:
        assert b"\r\ncontent-type: application/json\r\n" in head
        error = json.loads(text)["error"]
        assert (error["param"], bool(error["message"]), bool(error["code"])) == (None, True, True)
        assert b"\r\nx-request-id: %b" % error["request_id"].encode() in head
    else:
        assert problem_in(answer)["status"] == status


def test_much_of_a_body_buys_no_time_for_silence(loop_name: str) -> None:
    limits = {"head_timeout": 0.2, "min_rate": 1000, "rest_timeout": 0.2}
    with serving(echo, loop=loop_name, limits=limits) as server:
        head = POST + b"content-length: 60001\r\n\r\n"
        assert problem_in(answer_to(server, head + b"a" * 60_000, timeout=5))["status"] == 408


def test_a_slow_body_has_time_for_what_has_come(loop_name: str) -> None:
    head = POST + b"content-length: 1000\r\nconnection: close\r\n\r\n"
    limits = {"head_timeout": 0.5, "min_rate": 50}
    with serving(echo, loop=loop_name, limits=limits) as server, server.connect() as client:
        client.sendall(head)
        for _ in range(10):
            client.sendall(b"a" * 100)
            time.sleep(0.08)
        assert received(client).endswith(b"a" * 1000)


def test_a_body_for_which_the_application_does_not_ask_may_wait(loop_name: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.8)
        await echo(scope, receive, send)

    limits = {"head_timeout": 0.2, "min_rate": 1_000_000}
    with serving(app, loop=loop_name, limits=limits) as server, server.connect() as client:
        client.sendall(POST + b"content-length: 300000\r\nconnection: close\r\n\r\n" + b"a" * 300_000)
        assert received(client).endswith(b"a" * 300_000)
        with server.connect() as waiting:
            waiting.sendall(POST + b"expect: 100-continue\r\ncontent-length: 1\r\nconnection: close\r\n\r\n")
            assert waiting.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            waiting.sendall(b"a")
            assert received(waiting).endswith(b"/ a")


def test_a_body_after_an_early_answer_is_read_and_the_connection_kept(loop_name: str) -> None:
    with serving(refuse, loop=loop_name) as server, server.connect() as client:
        for _ in range(3):
            client.sendall(POST + b"content-length: 1000000\r\n\r\n")
            assert until_end(client, b"no")
            client.sendall(b"a" * 1_000_000)
        assert len(server.requests) == 3


@pytest.mark.parametrize("length", [b"content-length: 100000000", b"transfer-encoding: chunked"])
def test_a_body_after_an_early_answer_is_read_up_to_a_size(length: bytes, loop_name: str) -> None:
    limits = {"rest_size": 1_000_000, "rest_timeout": 30}
    with serving(refuse, loop=loop_name, limits=limits) as server, server.connect() as client:
        client.sendall(POST + length + b"\r\n\r\n")
        assert until_end(client, b"no")
        with pytest.raises(ConnectionError):
            pour(client, b"ffff\r\n" + b"a" * 0xFFFF + b"\r\n")
        until(lambda: server.connections == 0)


def test_a_body_after_an_early_answer_is_awaited_for_a_time(loop_name: str) -> None:
    with serving(refuse, loop=loop_name, limits={"rest_timeout": 0.2}) as server:
        assert answer_to(server, POST + b"content-length: 1000\r\n\r\n" + b"a" * 500).endswith(b"no")
        until(lambda: server.connections == 0)


def test_an_answer_that_closes_the_connection_reaches_a_client_that_still_sends(loop_name: str) -> None:
    app = sends(start(2, 413, (b"connection", b"close")), body(b"no"))
    with serving(app, loop=loop_name) as server, server.connect() as client:
        client.sendall(POST + b"content-length: 8000000\r\n\r\n")
        client.sendall(b"a" * 8_000_000)
        assert received(client).endswith(b"no")


def test_a_refusal_reaches_a_client_that_still_sends(loop_name: str) -> None:
    with serving(OK, loop=loop_name) as server, server.connect() as client:
        client.sendall(GET + b"a: b\r\n" * 1_000_000)
        assert problem_in(received(client))["status"] == 431


def test_a_client_that_sends_on_after_a_refusal_is_not_read_forever(loop_name: str) -> None:
    with serving(OK, loop=loop_name, limits={"rest_size": 1_000_000}) as server, server.connect() as client:
        with pytest.raises(ConnectionError):
            pour(client, b"\x00" * 100_000)
        until(lambda: server.connections == 0)


def test_a_body_that_the_client_may_not_send_any_more_ends_the_connection(loop_name: str) -> None:
    with serving(refuse, loop=loop_name, limits={"rest_timeout": 0.2}) as server:
        answer = answer_to(server, POST + b"expect: 100-continue\r\ncontent-length: 5\r\n\r\n")
    assert b"connection: close" in answer
    assert b"100 Continue" not in answer


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("asked", [b"", b"connection: keep-alive\r\n", b"connection: close\r\n"])
@pytest.mark.parametrize("said", [(), (b"keep-alive",), (b"close",), (b"keep-alive, close", b"close")])
def test_an_answer_has_at_most_one_connection_field(version: bytes, asked: bytes, said: tuple[bytes, ...]) -> None:
    app = sends(start(2, 200, *((b"Connection", value) for value in said)), body(b"ok"))
    with serving(app, timeout_keep_alive=0.2) as server:
        answer = answer_to(server, b"GET / HTTP/%b\r\nhost: x\r\n%b\r\n" % (version, asked))
    is_closed = version == b"1.0" or b"close" in asked or any(b"close" in value for value in said)
    assert re.findall(rb"(?i)connection: (.*)\r\n", answer) == ([b"close"] if is_closed else [])


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_an_answer_to_http_1_0_has_no_chunks(method: bytes, loop_name: str) -> None:
    messages = [start(None, 200, (b"transfer-encoding", b"chunked")), body(b"a", more=True), body(b"bc", more=True)]
    with serving(sends(*messages, body()), loop=loop_name) as server:
        answer = answer_to(server, method + b" / HTTP/1.0\r\n\r\n")
    head, _, content = answer.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert b"content-length" not in head
    assert content == (b"abc" if method == b"GET" else b"")


def test_a_file_of_unknown_length_goes_to_http_1_0_without_chunks(tmp_path: Any, loop_name: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abcdef")
    with path.open("rb") as file:
        part = {"type": "http.response.zerocopysend", "file": file, "offset": 0, "count": 6, "more_body": True}
        with serving(sends(start(), part, body(b"gh")), loop=loop_name) as server:
            answer = answer_to(server, b"GET / HTTP/1.0\r\n\r\n")
    assert answer.partition(b"\r\n\r\n")[2] == b"abcdefgh"


def test_a_client_that_reads_a_little_now_and_then_is_dropped(loop_name: str, caplog: pytest.LogCaptureFixture) -> None:
    large = sends(start(8 << 20), body(b"a" * (8 << 20)))
    limits = {"send_timeout": 0.5, "min_rate": 1 << 20}
    with (
        caplog.at_level(logging.INFO),
        serving(large, loop=loop_name, limits=limits) as server,
        server.connect() as client,
    ):
        client.sendall(GET + b"\r\n")
        until(lambda: server.requests)
        with contextlib.suppress(ConnectionResetError):
            while server.connections:
                client.recv(4096)
                time.sleep(0.05)
        until(lambda: server.connections == 0)
    (line,) = [record for record in caplog.records if record.message == "connection dropped"]
    assert vars(line)["client"] == "127.0.0.1"


def test_one_timer_looks_after_all_connections() -> None:
    with serving(OK, limits={"head_timeout": 30}) as server, contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(server.connect()).sendall(GET)
        until(lambda: server.connections == 20)
        watches = [
            watch for state, watch in bounded_protocol.Watch._watches.items() if state is server.server.server_state
        ]
        assert len(watches) == 1


def test_too_many_connections_cost_the_one_that_was_idle_for_longest(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, loop_name: str
) -> None:
    is_asked, may_answer = threading.Event(), threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        is_asked.set()
        if scope["path"] == "/wait":
            await asyncio.to_thread(may_answer.wait, 10)
        await OK(scope, receive, send)

    monkeypatch.setattr(bounded_protocol, "max_connections", lambda: 5)
    monkeypatch.setattr(bounded_protocol.Watch, "_reminded_at", None)
    with serving(app, loop=loop_name) as server, contextlib.ExitStack() as stack:
        busy = stack.enter_context(server.connect())
        busy.sendall(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n")
        assert is_asked.wait(10)
        idle = []
        for _ in range(20):
            idle.append(stack.enter_context(server.connect()))
            time.sleep(0.01)
        until(lambda: server.connections == 5)
        assert [received(client) for client in idle[:16]] == [b""] * 16
        idle[-1].sendall(GET + b"\r\n")
        assert until_end(idle[-1], b"ok")
        may_answer.set()
        assert until_end(busy, b"ok")
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "ulimit -n" in record.message


def test_a_process_without_descriptors_says_so_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened = os.open
    monkeypatch.setattr(bounded_protocol.Watch, "_reminded_at", None)

    def fail(path: Any, *arguments: Any, **options: Any) -> int:
        if path == os.devnull:
            raise OSError(24, "Too many open files")
        return opened(path, *arguments, **options)

    with serving(OK, limits={"head_timeout": 0.04}) as server, server.connect() as client:
        client.sendall(GET + b"\r\n")
        assert until_end(client, b"ok")
        monkeypatch.setattr(os, "open", fail)
        until(lambda: caplog.records)
        time.sleep(0.2)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "No file can be opened (Too many open files)" in record.message


def test_connections_may_take_three_quarters_of_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_protocol, "_open_files", lambda: 24)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    assert bounded_protocol.max_connections() == 750
    monkeypatch.setattr(resource, "getrlimit", lambda _: (20, 4096))
    assert bounded_protocol.max_connections() == 1
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert bounded_protocol.max_connections() > 1 << 40


class TestStopping:
    """Connections of a server that stops."""

    def test_a_process_that_is_about_to_stop_ends_each_connection_with_its_answer(self, loop_name: str) -> None:
        with serving(OK, loop=loop_name, limits={"is_stopping": True}) as server:
            answer = answer_to(server, GET + b"\r\n", timeout=5)
        assert answer.endswith(b"ok")
        assert b"connection: close" in answer

    @pytest.mark.parametrize("used", [False, True])
    def test_a_request_that_comes_while_the_server_shuts_down_is_answered(self, loop_name: str, *, used: bool) -> None:
        limits = {"linger": 5.0}
        with (
            serving(OK, loop=loop_name, limits=limits) as server,
            server.connect() as client,
        ):
            if used:
                client.sendall(GET + b"\r\n")
                until(lambda: client.recv(1 << 16).endswith(b"ok"))
            until(lambda: server.connections == 1)
            server.server.should_exit = True
            until(lambda: refuses(server))
            client.sendall(LAST + b"\r\n")
            assert received(client).endswith(b"ok")

    def test_an_idle_connection_is_closed_after_a_moment(self, loop_name: str) -> None:
        limits = {"linger": 0.05}
        with (
            serving(OK, loop=loop_name, limits=limits) as server,
            server.connect() as client,
        ):
            until(lambda: server.connections == 1)
            server.server.should_exit = True
            assert received(client) == b""


def refuses(server: Server) -> bool:
    """Whether the server takes no more connections."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", server.port)) != 0
