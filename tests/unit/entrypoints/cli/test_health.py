"""`pixyproxy health`, beside a server that answers as the test wants."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner, Result

from pixyproxy.entrypoints.cli import main
from tests.doubles.service import free_port


class Answers(BaseHTTPRequestHandler):
    """Answers each path with a status and a body."""

    answers: dict[str, tuple[int, bytes]]

    def do_GET(self) -> None:
        status, body = self.answers[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, tuple[int, bytes]]]:
    """The answers of the running service."""
    problem = json.dumps({"title": "Database unavailable", "detail": "The database does not answer."}).encode()
    Answers.answers = {"/health/live": (200, b'{"status":"ok"}'), "/health/ready": (503, problem)}
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        monkeypatch.setenv("PIXYPROXY_PORT", str(server.server_port))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Answers.answers
        server.shutdown()
        thread.join()


def health(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["health", *arguments])


def test_a_service_that_is_not_ready_is_an_error_with_the_reason(answers: dict[str, tuple[int, bytes]]) -> None:
    result = health()
    assert (result.exit_code, result.output) == (1, "Error: 503: The database does not answer.\n")


def test_a_service_that_is_not_ready_can_be_live(answers: dict[str, tuple[int, bytes]]) -> None:
    result = health("--live")
    assert (result.exit_code, result.output) == (0, "ok\n")


def test_a_service_that_is_ready_is_healthy(answers: dict[str, tuple[int, bytes]]) -> None:
    answers["/health/ready"] = answers["/health/live"]
    assert health().exit_code == 0


def test_an_answer_of_something_else_is_shown_as_it_is(answers: dict[str, tuple[int, bytes]]) -> None:
    answers["/health/ready"] = (404, b"[]")
    result = health()
    assert (result.exit_code, result.output) == (1, "Error: 404: []\n")


def test_a_service_on_every_network_is_asked_on_the_loopback(
    answers: dict[str, tuple[int, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXYPROXY_HOST", "0.0.0.0")  # noqa: S104 -- nothing listens there
    assert health("--live").exit_code == 0


def test_the_proxy_of_the_environment_is_not_asked(
    answers: dict[str, tuple[int, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    assert health("--live").exit_code == 0


def test_a_service_that_does_not_run_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXYPROXY_PORT", str(port := free_port()))
    result = health()
    assert result.exit_code == 1
    assert result.output == f"Error: no answer from 127.0.0.1 port {port}: Connection refused\n"
