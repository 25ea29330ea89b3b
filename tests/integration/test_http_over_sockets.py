"""The HTTP application under uvicorn with PixyProxy's protocol, and clients that no library imitates."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from pixyproxy.domain.user import Principal, UserName
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.app import create_app
from pixyproxy.entrypoints.settings import Settings
from tests.doubles.container import in_memory_container
from tests.doubles.protocol_server import Server, serving

ANN = b"Authorization: Basic YW5uOmNvcnJlY3QgaG9yc2U=\r\n"
KEY = b"Authorization: Bearer pixy_\r\n"
JSON = b"Content-Type: application/json\r\n"


@pytest.fixture(scope="module")
def container() -> Container:
    container = in_memory_container(Settings())
    asyncio.run(container.add_user()("ann", "correct horse"))
    return container


@pytest.fixture(scope="module")
def secret(container: Container) -> bytes:
    ann = Principal(name=UserName("ann"))
    return asyncio.run(container.create_key()(ann, name="studio")).secret.encode()


@pytest.fixture(scope="module")
def server(container: Container) -> Iterator[Server]:
    app = create_app(container.settings(), container)
    with serving(app, lifespan="on", limits={"rest_timeout": 0.2}) as server:
        yield server


def ask(server: Server, data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes, and return status, headers and body of the only answer."""
    with server.connect() as client:
        client.sendall(data)
        head, _, body = client.makefile("rb").read().partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    return int(status.split()[1]), dict(field.lower().split(": ", 1) for field in fields), body


def get(target: bytes, *headers: bytes, version: bytes = b"1.1", host: bytes = b"Host: x\r\n") -> bytes:
    return b"GET %b HTTP/%b\r\n%bConnection: close\r\n%b\r\n" % (target, version, host, b"".join(headers))


def post(target: bytes, *headers: bytes, body: bytes = b'{"prompt": "a fox"}') -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return b"POST %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%b%b\r\n%b" % (
        target,
        b"".join(headers),
        length,
        body,
    )


@pytest.mark.parametrize(
    ("data", "status", "detail"),
    [
        (get(b"/image", host=b""), 400, "The field Host is missing."),
        (get(b"/image", host=b"Host: x\r\nHost: x\r\n"), 400, "There must not be two Host fields."),
        (get(b"/image", host=b"Host: x\r\nHost: x\r\n", version=b"1.0"), 400, "There must not be two Host fields."),
        (get(b"/private/image", ANN, ANN), 400, "There must not be two Authorization fields."),
        (get(b"/private/image", ANN, KEY), 400, "There must not be two Authorization fields."),
        (get(b"/private/image", KEY, KEY), 400, "There must not be two Authorization fields."),
        (get(b"/private/image", b"API-Key: a\r\n" * 2), 400, "There must not be two Api-Key fields."),
        (post(b"/image", ANN, JSON, b"Content-Encoding: gzip\r\n"), 415, "A body must have no Content-Encoding."),
        (post(b"/image", JSON, b"Content-Encoding: br\r\n"), 415, "A body must have no Content-Encoding."),
        (get(b"//image"), 404, "There is no such endpoint."),
        (get(b"//private/image", ANN), 404, "There is no such endpoint."),
        (get(b"/private//image", ANN), 404, "There is no such endpoint."),
        (get(b"/private/image//", ANN), 404, "There is no such endpoint."),
        (get(b"/private%2Fimage", ANN), 404, "There is no such endpoint."),
        (get(b"/private%2fimage", ANN), 404, "There is no such endpoint."),
        (get(b"/%2Fprivate/image", ANN), 404, "There is no such endpoint."),
        (get(b"/image/../private/image", ANN), 404, "There is no such endpoint."),
        (get(b"/private/./image", ANN), 404, "There is no such endpoint."),
        (get(b"/private/%2e/image", ANN), 404, "There is no such endpoint."),
        (get(b"/image/.."), 404, "There is no such endpoint."),
        (get(b"//"), 404, "There is no such endpoint."),
        (get(b"http://x//private/image", ANN), 404, "There is no such endpoint."),
        (b"nonsense\r\n\r\n", 400, "The request is malformed: Invalid method encountered."),
    ],
)
def test_a_request_that_can_be_understood_in_two_ways_is_a_problem(
    server: Server, data: bytes, status: int, detail: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        found, headers, body = ask(server, data)
    problem: dict[str, Any] = json.loads(body)
    assert (found, problem["status"], problem["detail"]) == (status, status, detail)
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-request-id"] == problem["request_id"]
    assert headers["connection"] == "close"
    assert headers.get("accept-encoding") == ("identity" if status == 415 else None)
    lines = [vars(record) for record in caplog.records if record.name == "pixyproxy.requests"]
    assert lines[-1]["status"] == status
    assert {line["request_id"] for line in lines} == {problem["request_id"]}


@pytest.mark.parametrize(
    "data",
    [
        get(b"/image"),
        get(b"/image/"),
        get(b"/%69mage"),
        get(b"http://x/image"),
        get(b"/image", host=b"", version=b"1.0"),
        get(b"/private/image/", ANN),
        get(b"/image?q=%2F%2F..//"),
        get(b"/image", b"Content-Encoding: identity\r\n"),
        post(b"/image", ANN, JSON),
        post(b"/image/", ANN, JSON, b"Content-Encoding: identity\r\n"),
    ],
)
def test_a_request_that_is_merely_unusual_is_answered(server: Server, data: bytes) -> None:
    assert ask(server, data)[0] == 200


def test_a_refused_body_reaches_its_end(server: Server) -> None:
    status, headers, body = ask(server, post(b"/image", ANN, JSON, body=b"a" * 3_000_000))
    assert (status, json.loads(body)["status"], headers["connection"]) == (413, 413, "close")


@pytest.mark.parametrize("connection", [b"", b"Connection: keep-alive\r\n"])
def test_an_answer_to_http_1_0_has_no_chunks_and_says_once_that_it_ends(server: Server, connection: bytes) -> None:
    _, _, created = ask(server, post(b"/image", ANN, JSON))
    events = f"/image/{json.loads(created)['guid']}/events".encode()
    with server.connect() as client:
        client.sendall(b"GET %b HTTP/1.0\r\n%b\r\n" % (events, connection))
        head, _, body = client.makefile("rb").read().partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert head.lower().count(b"\r\nconnection:") == 1
    assert b"\r\nconnection: close" in head
    assert body.startswith((b"event:", b"id:", b":", b"retry:"))


@pytest.mark.parametrize(
    "field", [b"Authorization: Bearer %b", b"AUTHORIZATION:bEaReR   %b  ", b"authorization:\tBearer %b"]
)
def test_a_key_is_taken_as_any_client_writes_it(server: Server, secret: bytes, field: bytes) -> None:
    assert ask(server, get(b"/private/image", (field + b"\r\n") % secret))[0] == 200


def test_below_v1_a_key_may_be_in_a_header_of_its_own(server: Server, secret: bytes) -> None:
    own, wrong = b"API-Key: %b\r\n" % secret, b"Authorization: Bearer pixy_\r\n"
    for path, fields, expected in (
        (b"/v1/images/generations", [own], 200),
        (b"/v1/images/generations", [own, ANN], 200),
        (b"/v1/images/generations", [own, b"Authorization: Bearer %b\r\n" % secret], 200),
        (b"/v1/images/generations", [own, wrong], 401),
        (b"/v1/images/generations", [b"API-Key: pixy_\r\n", ANN], 200),
        (b"/v1/images/generations", [b"API-Key: pixy_\r\n"], 401),
        (b"/v1/images/generations", [], 401),
        (b"/image", [own], 401),
    ):
        status, headers, _ = ask(server, post(path, JSON, *fields))
        assert status == expected, (path, fields)
        challenge = headers.get("www-authenticate", "")
        if status == 401 and path != b"/image":
            assert challenge == 'bearer realm="pixyproxy"' + (', error="invalid_token"' if fields else "")
        elif status == 401:
            assert challenge.startswith("basic ")
