"""Request ids and the lines at the start and the end of each request."""

import asyncio
import json
import logging
import re
from typing import Any
from uuid import UUID

import pytest

from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.middleware.request_log import RequestLog
from pixyproxy.entrypoints.log import configure_logging
from pixyproxy.entrypoints.settings import LogFormat
from tests.unit.entrypoints.http.conftest import ANN, Client


def written(captured: pytest.CaptureFixture[str]) -> str:
    # The response may be here before the service's event loop has come to the end of its turn.
    for handler in logging.root.handlers:
        handler.flush()
    return captured.readouterr().err


def lines(captured: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in written(captured).splitlines()]


START: dict[str, object] = {"type": "http.response.start", "status": 200}


async def answered(messages: list[Any], caplog: pytest.LogCaptureFixture, fails_at: int | None = None) -> list[Any]:
    """Return the messages that reach the server from an application that sends `messages`."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    sent: list[Any] = []

    async def send(message: Any) -> None:
        if len(sent) == fails_at:
            raise ConnectionResetError
        sent.append(message)

    scope: Any = {
        "type": "http",
        "method": "GET",
        "raw_path": b"/image",
        "headers": [(b"x-request-id", b"abc")],
        "state": {},
    }
    with caplog.at_level("INFO"):
        await RequestLog(app)(scope, None, send)  # type: ignore[arg-type]
    return sent


@pytest.mark.parametrize("request_id", ["a", "A-z_09", "x" * 64])
def test_the_clients_request_id_is_kept(client: Client, request_id: str) -> None:
    assert client.get("/image", headers={"X-Request-ID": request_id}).headers["X-Request-ID"] == request_id


@pytest.mark.parametrize("request_id", ["", "x" * 65, "a b", "a\tb", "é", "a;b", "{}"])
def test_any_other_request_id_is_replaced(client: Client, request_id: str) -> None:
    response = client.get("/image", headers={b"X-Request-ID": request_id.encode()})

    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["X-Request-ID"])


def test_each_request_has_an_id_of_its_own(client: Client) -> None:
    assert client.get("/image").headers["X-Request-ID"] != client.get("/image").headers["X-Request-ID"]


def test_each_request_is_logged_at_its_start_and_at_its_end(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogFormat.JSON)
    client.get("/image/fox?limit=1", headers={"X-Request-ID": "abc"})

    start, end = lines(capsys)
    assert start["event"] == "request started"
    assert end["event"] == "request finished"
    for line in (start, end):
        assert (line["request_id"], line["method"], line["path"]) == ("abc", "GET", "/image/fox")
        assert line["level"] == "info"
        assert "time" in line
    assert end["status"] == 400
    assert isinstance(end["duration_ms"], float)


def test_a_request_that_matches_no_route_is_logged_too(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogFormat.JSON)
    client.get("/nope")

    assert [line.get("status") for line in lines(capsys)] == [None, 404]


def test_a_path_can_not_forge_a_line(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogFormat.JSON)
    client.get("/image/%0Aforged%0D%1B[31m")

    assert len(lines(capsys)) == 2


@pytest.mark.parametrize("log_format", LogFormat)
def test_neither_credentials_nor_prompts_are_logged(
    log_format: LogFormat, client: Client, container: Container, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(log_format)
    client.post("/image", json={"prompt": "a very private thought"}, auth=ANN)
    container.generator().fail_next(ZeroDivisionError("boom"))
    client.post("/image", json={"prompt": "a very private thought"}, auth=ANN)

    text = written(capsys)
    assert "request finished" in text
    assert "private thought" not in text
    assert "correct horse" not in text
    assert "Basic" not in text
    assert "Authorization" not in text.title()


def test_a_fault_is_logged_with_its_traceback_under_the_request_id(
    client: Client, container: Container, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(LogFormat.JSON)
    container.generator().fail_next(ZeroDivisionError("boom"))

    response = client.post("/image", json={"prompt": "a"}, auth=ANN)

    # The generation, which may outlive its request, has logged its end before, under the image's guid.
    generation, request = (line for line in lines(capsys) if line["level"] == "error")
    assert str(UUID(str(generation["guid"]))) == generation["guid"]
    assert request["request_id"] == response.headers["X-Request-ID"]
    for fault in (generation, request):
        assert "ZeroDivisionError" in json.dumps(fault["exception"])


def test_lines_for_a_terminal_are_readable(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogFormat.CONSOLE)

    client.get("/image", headers={"X-Request-ID": "abc"})

    start, end = written(capsys).splitlines()
    assert "request started" in start
    assert "request finished" in end
    assert "status=200" in end


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_that_the_server_breaks_off_is_answered_with_a_problem(method: str) -> None:
    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        await asyncio.Event().wait()

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope: Any = {"type": "http", "method": method, "path": "/image", "headers": [], "state": {}}
    running = asyncio.create_task(RequestLog(app)(scope, receive, send))
    await asyncio.sleep(0)
    running.cancel()
    await running

    start, body = sent
    assert start["status"] == 503
    problem = json.loads(body["body"])
    assert problem["request_id"] == scope["state"]["request_id"]
    assert problem.get("maybe_billed") is (True if method == "POST" else None)


@pytest.mark.parametrize(
    ("messages", "event"),
    [
        ([{"type": "http.response.body", "body": b"a"}], "request finished"),
        ([{"type": "http.response.body", "body": b"a", "more_body": True}], "request broken off"),
        ([{"type": "http.response.zerocopysend", "file": 1, "count": 9}], "request finished"),
        ([{"type": "http.response.zerocopysend", "file": 1, "count": 9, "more_body": True}], "request broken off"),
        ([{"type": "http.response.pathsend", "path": "/a"}], "request finished"),
        (
            [
                {"type": "http.response.body", "body": b"a", "more_body": True},
                {"type": "http.response.zerocopysend", "file": 1, "more_body": True},
                {"type": "http.response.body", "body": b"b", "more_body": False},
            ],
            "request finished",
        ),
        ([], "request broken off"),
    ],
)
async def test_a_request_is_finished_when_its_body_is_however_the_server_sends_it(
    messages: list[dict[str, object]], event: str, caplog: pytest.LogCaptureFixture
) -> None:
    sent = await answered([START, *messages], caplog)
    assert sent[1:] == messages
    assert caplog.messages == ["request started", event]


async def test_a_body_that_could_not_be_sent_is_no_finished_request(caplog: pytest.LogCaptureFixture) -> None:
    await answered([START, {"type": "http.response.zerocopysend", "file": 1}], caplog, fails_at=1)
    assert caplog.messages == ["request started", "request broken off"]


async def test_the_request_id_takes_the_place_of_one_that_the_application_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    headers = ((b"etag", b"x"), (b"x-request-id", b"another"), (b"vary", b"accept"))
    start = {"type": "http.response.start", "status": 200, "headers": headers}
    (sent,) = await answered([start], caplog)
    assert [header for header in sent["headers"] if header[0] == b"x-request-id"] == [(b"x-request-id", b"abc")]
    assert sent["headers"][:2] == [(b"etag", b"x"), (b"vary", b"accept")]
    assert start["headers"] == headers
