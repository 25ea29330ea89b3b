"""Answers below `/v1` over real connections, whose clients read slowly, leave and come back."""

import asyncio
import json
import socket
import struct
import threading
import zlib
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from typing import Any, Final

import msgspec
import pytest
from dependency_injector import providers

from pixyproxy.adapters.memory.image_generator import PICTURE, InMemoryImageGenerator
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.ports import GeneratedImage
from pixyproxy.entrypoints.http.app import create_app
from pixyproxy.entrypoints.http.openai.answers import PlainAnswer
from pixyproxy.entrypoints.settings import Settings
from tests.doubles.container import in_memory_container
from tests.doubles.nginx import Nginx
from tests.doubles.protocol_server import Server, serving, until

ANN: Final = "Authorization: Basic YW5uOmNvcnJlY3QgaG9yc2U=\r\n"
MIB: Final = 1 << 20
STREAM: Final[dict[str, Any]] = {"stream": True, "partial_images": 1}


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


# A chunk that no program knows, which makes the picture as large as it is.
LARGE: Final = PICTURE[:-12] + _chunk(b"fiLl", bytes(range(256)) * (2 * MIB // 256)) + PICTURE[-12:]


class LargeGenerator(InMemoryImageGenerator):
    """Draws large pictures when it may, and small ones on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.is_drawing = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    async def generate(self, request: GenerationRequest, **options: Any) -> GeneratedImage:
        drawn = await super().generate(request, **options)
        self.is_drawing.set()
        await asyncio.to_thread(self.may_go_on.wait, 30)
        return msgspec.structs.replace(drawn, data=LARGE)


@pytest.fixture
def generator() -> LargeGenerator:
    return LargeGenerator()


@pytest.fixture
def server(generator: LargeGenerator, request: pytest.FixtureRequest) -> Iterator[Server]:
    """Yield the service, with the settings that a test is marked with."""
    settings = msgspec.structs.replace(Settings(max_generations=8), **getattr(request, "param", {}))
    container = in_memory_container(settings)
    container.generator.override(providers.Object(generator))
    asyncio.run(container.add_user()("ann", "correct horse"))
    with serving(create_app(settings, container), lifespan="on") as server:
        yield server


def post(attempt: int = 0, *, prompt: str = "a fox", **fields: Any) -> bytes:
    """Return a request for images."""
    body = json.dumps({"prompt": prompt, **fields}).encode()
    head = (
        f"POST /v1/images/generations HTTP/1.1\r\nHost: x\r\n{ANN}Content-Type: application/json\r\n"
        f"x-stainless-retry-count: {attempt}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def answer_to(client: socket.socket) -> HTTPResponse:
    """Return the next answer on a connection, whose body is not read."""
    response = HTTPResponse(client)
    response.begin()
    return response


def ask(server: Server, attempt: int = 0, **fields: Any) -> Any:
    """Return the body of the answer to a request."""
    with server.connect() as client:
        client.sendall(post(attempt, **fields))
        return json.loads(answer_to(client).read())


def guids(body: Any) -> list[str]:
    return [item["guid"] for item in body["data"]]


def test_eight_slow_readers_at_once_get_whole_pictures(server: Server, generator: LargeGenerator) -> None:
    def read(number: int) -> Any:
        with server.connect() as client:
            client.sendall(post(prompt=f"fox {number}", n=4))
            response = answer_to(client)
            pieces = []
            while piece := response.read(65_536):
                pieces.append(piece)
            return json.loads(b"".join(pieces))

    with ThreadPoolExecutor(8) as readers:
        bodies = list(readers.map(read, range(8)))

    assert len({guid for body in bodies for guid in guids(body)}) == 32
    for body in bodies:
        assert all(b64decode(item["b64_json"]) == LARGE for item in body["data"])
    assert len(generator.requests) == 32


def test_a_client_that_leaves_before_the_answer_gets_the_images_later(
    server: Server, generator: LargeGenerator
) -> None:
    generator.may_go_on.clear()
    with server.connect() as client:
        client.sendall(post(n=2))
        assert generator.is_drawing.wait(30)
    until(lambda: server.ended == 1)
    generator.may_go_on.set()

    body = ask(server, attempt=1, n=2)

    assert [b64decode(item["b64_json"]) for item in body["data"]] == [LARGE] * 2
    assert len(generator.requests) == 2


@pytest.mark.parametrize("fields", [{}, STREAM])
def test_a_client_that_leaves_within_a_picture_gets_the_image_later(
    server: Server, generator: LargeGenerator, fields: Any
) -> None:
    with server.connect() as client:
        client.sendall(post(**fields))
        assert len(answer_to(client).read(100_000)) == 100_000
    until(lambda: server.ended == 1)

    (first,) = guids(ask(server, attempt=1))
    (second,) = guids(ask(server, attempt=2))

    assert first != second, "the second attempt has got its answer"
    assert len(generator.requests) == 2


def test_a_client_that_leaves_between_the_events_gets_the_image_later(
    server: Server, generator: LargeGenerator
) -> None:
    generator.may_go_on.clear()
    with server.connect() as client:
        client.sendall(post(**STREAM))
        assert answer_to(client).readline() == b"event: image_generation.partial_image\n"
    until(lambda: server.ended == 1)
    generator.may_go_on.set()

    assert len(ask(server, attempt=1)["data"]) == 1
    assert len(generator.requests) == 1


def test_a_client_that_leaves_during_the_white_space_gets_the_image_later(
    server: Server, generator: LargeGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PlainAnswer, "patience", 0.01)
    generator.may_go_on.clear()
    with server.connect() as client:
        client.sendall(post())
        assert answer_to(client).read(1) == b" "
    until(lambda: server.ended == 1)
    generator.may_go_on.set()

    assert len(ask(server, attempt=1)["data"]) == 1
    assert len(generator.requests) == 1


def test_nginx_passes_white_space_on_while_there_is_no_answer(
    server: Server, generator: LargeGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PlainAnswer, "patience", 0.01)
    monkeypatch.setattr(PlainAnswer, "pause", 0.01)
    generator.may_go_on.clear()
    # nginx's defaults are HTTP/1.0 and buffers.
    proxy = f"server {{ listen {{port}}; location / {{ proxy_pass http://127.0.0.1:{server.port}; }} }}"
    with (
        Nginx(proxy) as nginx,
        socket.create_connection(("127.0.0.1", nginx.port), 20) as client,
    ):
        client.sendall(post())
        response = answer_to(client)
        assert response.read(10) == b" " * 10
        generator.may_go_on.set()
        assert len(json.loads(response.read())["data"]) == 1


@pytest.mark.parametrize("server", [{"send_timeout": 0.2}], indirect=True)
@pytest.mark.parametrize("fields", [{}, STREAM])
def test_a_client_that_reads_nothing_is_given_up_and_gets_the_image_later(
    server: Server, generator: LargeGenerator, fields: Any
) -> None:
    with server.connect() as client:
        client.sendall(post(**fields))
        until(lambda: server.ended == 1)

        with server.connect() as other:
            other.sendall(post(attempt=1))
            assert answer_to(other).read(1) == b"{"
    assert len(generator.requests) == 1


@pytest.mark.parametrize("fields", [{}, STREAM])
def test_an_answer_that_has_arrived_is_not_joined(server: Server, generator: LargeGenerator, fields: Any) -> None:
    with server.connect() as client:
        client.sendall(post(**fields))
        answer_to(client).read()
        until(lambda: server.ended == 1)

    ask(server, attempt=1)

    assert len(generator.requests) == 2


def test_a_stream_begins_before_there_is_anything_to_tell(server: Server, generator: LargeGenerator) -> None:
    generator.may_go_on.clear()
    with server.connect() as client:
        client.sendall(post(stream=True))
        response = answer_to(client)
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        generator.may_go_on.set()
        assert response.readline() == b"event: image_generation.completed\n"


def test_a_stream_sends_each_event_at_once_and_ends_with_the_last(server: Server, generator: LargeGenerator) -> None:
    generator.may_go_on.clear()
    with server.connect() as client:
        client.sendall(post(**STREAM))
        response = answer_to(client)
        partial = [response.readline() for _ in range(3)]
        generator.may_go_on.set()
        rest = response.read()

    assert json.loads(partial[1].removeprefix(b"data: "))["type"] == "image_generation.partial_image"
    assert partial[2] == b"\n"
    assert rest.startswith(b"event: image_generation.completed\ndata: ")
    assert rest.endswith(b"}\n\n")
    assert b64decode(json.loads(rest.splitlines()[1].removeprefix(b"data: "))["b64_json"]) == LARGE


def test_a_connection_takes_several_requests_one_after_the_other_and_at_once(server: Server) -> None:
    with server.connect() as client:
        client.sendall(post())
        first = json.loads(answer_to(client).read())
        client.sendall(post(**STREAM) + post(prompt="a blue fox"))
        stream = _unbuffered(client)
        assert stream.count(b"event: ") == 2
        assert stream.count(b"HTTP/1.1 200 OK") == 2
        last = json.loads(stream.rpartition(b"\r\n\r\n")[2])

    assert guids(first) != guids(last)
    assert b64decode(last["data"][0]["b64_json"]) == LARGE


def _unbuffered(client: socket.socket) -> bytes:
    """Return all that comes up to the end of the second answer, which is the one with a length."""
    received = b""
    while b"content-length: " not in received:
        received += client.recv(65_536)
    while b"\r\n\r\n" not in received.partition(b"content-length: ")[2]:
        received += client.recv(65_536)
    length = int(received.partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(received.rpartition(b"\r\n\r\n")[2]) < length:
        received += client.recv(65_536)
    return received
