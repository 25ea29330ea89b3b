"""Logins that are refused."""

import logging
import time
from collections.abc import Iterator

import pytest
from litestar.testing import TestClient
from litestar.types import Receive, Scope, Send

from pixyproxy.entrypoints.access_log import REQUESTS
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.app import create_app
from pixyproxy.entrypoints.http.auth.refusals import REFUSAL_PAUSE
from pixyproxy.entrypoints.settings import Settings
from tests.unit.entrypoints.http.conftest import ANN, BOB, Client

ALLOWED = 3


@pytest.fixture
def settings() -> Settings:
    return Settings(wrong_logins=ALLOWED, login_memory=0)


HERE = "203.0.113.7"


def from_address(address: str, container: Container) -> Client:
    # Each client has an event loop of its own.
    container.dispatcher.reset()
    app = create_app(container.settings(), container)
    handler = app.asgi_handler

    async def with_address(scope: Scope, receive: Receive, send: Send) -> None:
        scope["client"] = (address, 1234)
        await handler(scope, receive, send)

    app.asgi_handler = with_address
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def client(container: Container) -> Iterator[Client]:
    with from_address(HERE, container) as client:
        yield client


@pytest.fixture
def guessing(client: Client) -> Client:
    for number in range(ALLOWED):
        answer = client.get("/private/image", auth=("ann", f"wrong horse {number}"))
        assert answer.status_code == 401
    return client


def test_too_many_wrong_logins_are_a_problem_that_says_when_to_try_again(guessing: Client) -> None:
    answer = guessing.get("/private/image", auth=("ann", "wrong horse"))
    assert answer.status_code == 429
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert answer.headers["Connection"] == "close"
    assert "WWW-Authenticate" not in answer.headers
    assert answer.json()["type"] == "urn:pixyproxy:problem:too-many-logins"


def test_a_refusal_of_a_flood_waits_for_its_pause(guessing: Client) -> None:
    began = time.monotonic()
    assert guessing.get("/private/image", auth=("ann", "wrong horse")).status_code == 429
    assert time.monotonic() - began >= REFUSAL_PAUSE


def test_a_creation_with_too_many_wrong_logins_costs_nothing_and_may_be_retried(guessing: Client) -> None:
    problem = guessing.post("/image", auth=("ann", "wrong horse"), json={"prompt": "a fox"}).json()
    assert (problem["status"], problem["retryable"], problem["maybe_billed"]) == (429, True, False)


def test_another_user_at_the_address_and_the_same_user_elsewhere_log_in(guessing: Client, container: Container) -> None:
    assert guessing.get("/private/image", auth=BOB).status_code == 200
    with from_address("198.51.100.1", container) as elsewhere:
        assert elsewhere.get("/private/image", auth=ANN).status_code == 200


def test_ipv6_addresses_are_counted_by_their_network(container: Container) -> None:
    statuses = []
    for address in ("2001:db8::1", "2001:db8::2", "2001:db8::ffff:3", "2001:db8:0:0:4::", "2001:db8:0:1::1"):
        with from_address(address, container) as client:
            statuses.append(client.get("/private/image", auth=("ann", "wrong horse")).status_code)
    assert statuses == [401, 401, 401, 429, 401]


def test_a_right_login_is_not_counted(client: Client) -> None:
    for _ in range(ALLOWED + 1):
        assert client.get("/private/image", auth=ANN).status_code == 200


def test_each_refused_login_is_a_line_with_address_and_name(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, REQUESTS):
        for name in (*["ann"] * (ALLOWED + 1), "zoë\n\x1b[31m" + "x" * 100, BOB[0]):
            client.get("/private/image", auth=(name.encode(), b"wrong horse"))
        client.get("/private/image", auth=BOB)
    records = [record for record in caplog.records if record.getMessage() == "login refused"]
    facts = [{name: vars(record)[name] for name in ("client", "user", "problem")} for record in records]
    assert {fact["client"] for fact in facts} == {HERE}
    assert [fact["user"] for fact in facts] == [
        *["'ann'"] * (ALLOWED + 1),
        "'zo\\xeb\\n\\x1b[31m" + "x" * 55 + "'",
        "'bob'",
    ]
    assert [fact["problem"] for fact in facts] == [
        *["AuthenticationError"] * ALLOWED,
        "TooManyLoginsError",
        "AuthenticationError",
        "AuthenticationError",
    ]
    assert "wrong horse" not in caplog.text
