"""Uploads to the running service over real sockets: who is asked to send, how slowly, and what is left of it."""

import base64
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from tests import odd_pictures
from tests.doubles.service import Service, running_service

BOUNDARY = "a-boundary"
MIN_RATE = 1_024


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    limits = {"PIXYPROXY_HEAD_TIMEOUT": "1", "PIXYPROXY_MIN_RATE": str(MIN_RATE), "PIXYPROXY_MAX_UPLOAD": "1000000"}
    with running_service(tmp_path_factory.mktemp("uploads"), limits) as service:
        yield service


def form(picture: bytes) -> bytes:
    parts = [
        b'Content-Disposition: form-data; name="prompt"\r\n\r\na red fox',
        b'Content-Disposition: form-data; name="size"\r\n\r\n64x64',
        b'Content-Disposition: form-data; name="reference"; filename="fox.png"\r\n\r\n' + picture,
    ]
    mark = f"--{BOUNDARY}".encode()
    return b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"


def head(service: Service, length: int, *, password: str | None = None, expect: bool = False) -> bytes:
    name, right = service.login
    login = base64.b64encode(f"{name}:{password or right}".encode()).decode()
    lines = [
        "POST /private/image HTTP/1.1",
        "Host: localhost",
        f"Authorization: Basic {login}",
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
        f"Content-Length: {length}",
        *(["Expect: 100-continue"] if expect else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def connected(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", urlsplit(service.url).port), timeout=30)


def files_of(service: Service) -> list[Path]:
    """Return the stored uploads, and those that are on their way."""
    return [path for path in (service.folder / "data" / "images" / "uploads").rglob("*") if path.is_file()]


def test_a_client_that_waits_for_a_continue_is_refused_before_it_sends(service: Service) -> None:
    with connected(service) as client:
        client.sendall(head(service, 100_000_000, password="wrong", expect=True))
        assert client.recv(12) == b"HTTP/1.1 401"


def test_a_client_with_a_login_is_asked_to_continue(service: Service) -> None:
    body = form(odd_pictures.encoded(odd_pictures.gradient(), "PNG"))
    with connected(service) as client:
        client.sendall(head(service, len(body), expect=True))
        assert client.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert client.recv(12) == b"HTTP/1.1 200"


def test_an_honest_slow_upload_is_taken(service: Service) -> None:
    """It takes several times as long as a head may."""
    body = form(odd_pictures.encoded(Image.effect_noise((64, 64), 90), "PNG"))
    size = len(body) // 20 + 1
    before = len(files_of(service))
    with connected(service) as client:
        client.sendall(head(service, len(body)))
        for start in range(0, len(body), size):
            client.sendall(body[start : start + size])
            time.sleep(min(0.2, size / MIN_RATE / 1.5))
        assert client.recv(12) == b"HTTP/1.1 200"
    assert len(files_of(service)) == before + 1


def test_an_upload_that_stalls_is_refused_and_leaves_nothing(service: Service) -> None:
    before = files_of(service)
    with connected(service) as client:
        client.sendall(head(service, 500_000) + form(bytes(10_000))[:5_000])
        assert client.recv(12) == b"HTTP/1.1 408"
    eventually_as(service, before)


def test_a_client_that_leaves_in_the_middle_leaves_nothing(service: Service) -> None:
    before = files_of(service)
    with connected(service) as client:
        client.sendall(head(service, 500_000) + form(bytes(100_000))[:50_000])
        time.sleep(0.2)
    eventually_as(service, before)


def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(service: Service) -> None:
    before = files_of(service)
    body = form(bytes(1_500_000))
    with connected(service) as client:
        client.sendall(head(service, len(body)) + body[:1_200_000])
        assert client.recv(12) == b"HTTP/1.1 413"
    eventually_as(service, before)


def test_the_service_works_after_all_that(service: Service) -> None:
    listed = httpx.get(f"{service.url}/private/image", auth=service.login)
    assert listed.status_code == 200
    assert all(len(image["references"]) == 1 for image in listed.json())


def eventually_as(service: Service, before: list[Path]) -> None:
    deadline = time.monotonic() + 10
    while sorted(files_of(service)) != sorted(before):
        assert time.monotonic() < deadline, files_of(service)
        time.sleep(0.05)
