"""The running service and clients that are silent, slow, or too many."""

import contextlib
import json
import resource
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.doubles.service import Service, running_service

HEAD = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {
        "PIXYPROXY_HEAD_TIMEOUT": "0.5",
        "PIXYPROXY_KEEP_ALIVE_TIMEOUT": "1",
        "PIXYPROXY_MIN_RATE": "1000000",
        "PIXYPROXY_LOG_FORMAT": "json",
    }
    with running_service(tmp_path_factory.mktemp("service"), settings) as service:
        yield service


def received(service: Service, data: bytes) -> bytes:
    """Send data and return the answer until the service closes the connection."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as client:
        client.sendall(data)
        return client.makefile("rb").read()


def until(condition: Callable[[], object]) -> None:
    """Return as soon as it is so."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.02)


def test_the_settings_bound_how_long_a_client_may_be_silent(service: Service) -> None:
    post = b"POST /image HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    login = httpx.BasicAuth(*service.login)._auth_header.encode()
    assert received(service, b"") == b""
    assert received(service, HEAD + b"\r\n").startswith(b"HTTP/1.1 200 ")
    assert received(service, HEAD).startswith(b"HTTP/1.1 408 ")
    assert received(service, post + b"Authorization: " + login + b"\r\nContent-Length: 9\r\n\r\n{").startswith(
        b"HTTP/1.1 408 "
    )


def test_a_refusal_is_a_line_of_the_log(service: Service) -> None:
    answer = received(service, b"nonsense\r\n\r\n")
    problem = json.loads(answer.partition(b"\r\n\r\n")[2])
    # The line is written a few turns of the event loop later.
    until(lambda: problem["request_id"] in service.output)
    (text,) = [line for line in service.output.splitlines() if problem["request_id"] in line]
    line = json.loads(text)
    assert (line["event"], line["client"], line["status"]) == ("request refused", "127.0.0.1", 400)
    assert line["detail"] == problem["detail"]


@pytest.mark.parametrize("data", [b"", HEAD + b"\r\n"])
def test_a_service_without_descriptors_says_so_and_recovers(tmp_path: Path, data: bytes) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The service inherits it.
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, hard))
    try:
        service = Service(tmp_path, {"PIXYPROXY_KEEP_ALIVE_TIMEOUT": "20"})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        service.wait_until_live()
        with contextlib.ExitStack() as stack:
            for _ in range(200):
                client = stack.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=20))
                with contextlib.suppress(OSError):
                    client.sendall(data)
            # Others are served meanwhile.
            assert httpx.get(f"{service.url}/health/live").is_success
            until(lambda: "ulimit -n" in service.output)
        assert httpx.get(f"{service.url}/health/ready").is_success
        assert service.output.count("ulimit -n") == 1
        assert "Traceback" not in service.output
    finally:
        service.stop()
        service._output.close()
