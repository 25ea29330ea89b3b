"""The running service and clients that read its pictures slowly, or not at all."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.doubles.service import Service, running_service

MIB = 1 << 20
READERS = 50
# More than the kernel's buffers take for a client that does not read.
PICTURE = 8 * MIB


@pytest.fixture(scope="module")
def environment() -> Iterator[Mapping[str, str]]:
    """Yield settings with which pictures come out as large as the prompt asks for."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.doubles.openai_server"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        url = process.stdout.readline().strip().partition("=")[2]
        yield {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "sk-test", "PIXYPROXY_SEND_TIMEOUT": "1"}
        process.terminate()


@pytest.fixture
def service(tmp_path: Path, environment: Mapping[str, str]) -> Iterator[Service]:
    with running_service(tmp_path, environment) as service:
        yield service


def create_image(service: Service) -> str:
    """Return the path of a new picture's content."""
    prompt = {"prompt": f"a wide sea [[big {PICTURE}]]"}
    created = httpx.post(f"{service.url}/image", json=prompt, auth=service.login, timeout=30)
    assert created.json()["byte_size"] > PICTURE * 0.9
    return f"/image/{created.json()['guid']}/content"


def begin_download(service: Service, path: str) -> socket.socket:
    """Return a connection on which the head of the answer has been read, and which takes little more."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(30)
    client.connect(("127.0.0.1", urlsplit(service.url).port))
    client.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    assert client.recv(15) == b"HTTP/1.1 200 OK"
    return client


def until(condition: Callable[[], object]) -> None:
    """Return as soon as it is so."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.02)


def broken_off_requests(service: Service, path: str) -> int:
    return len(re.findall(rf"request broken off .*path={path} ", service.output))


def descriptors(service: Service) -> int:
    return len(os.listdir(f"/proc/{service.process.pid}/fd"))  # noqa: PTH208 -- it is no folder to walk


def resident_memory(service: Service) -> int:
    pages = Path(f"/proc/{service.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def test_clients_that_stop_reading_are_dropped_and_leave_no_descriptors(service: Service) -> None:
    path = create_image(service)
    content = httpx.get(service.url + path).content
    before = descriptors(service)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(begin_download(service, path)) for _ in range(10)]
        until(lambda: descriptors(service) > before + 10)
        until(lambda: broken_off_requests(service, path) == 10)
        until(lambda: descriptors(service) <= before)
        for client in clients:
            with contextlib.suppress(ConnectionResetError):
                received = client.makefile("rb").read()
                assert len(received) < len(content)
    assert httpx.get(service.url + path).content == content
    assert "[error" not in service.output


def test_every_worker_drops_clients_that_stop_reading(tmp_path: Path, environment: Mapping[str, str]) -> None:
    with running_service(tmp_path, environment, "--workers", "2") as service:
        path = create_image(service)
        with contextlib.ExitStack() as stack:
            for _ in range(8):
                stack.enter_context(begin_download(service, path))
            until(lambda: broken_off_requests(service, path) == 8)


def test_fifty_slow_readers_cost_little_memory_and_are_not_dropped(service: Service) -> None:
    path = create_image(service)
    content = httpx.get(service.url + path).content
    before = resident_memory(service)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(begin_download(service, path)) for _ in range(READERS)]
        for _ in range(15):
            for client in clients:
                assert client.recv(64 * 1024)
            time.sleep(0.1)
        assert resident_memory(service) - before < 32 * MIB
        assert httpx.get(service.url + path).content == content
        assert broken_off_requests(service, path) == 0
