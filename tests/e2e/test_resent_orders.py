"""Clients that send a request again, to another process of the service, with the stand-in OpenAI server that bills."""

import base64
import hashlib
import json
import secrets
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.doubles.mariadb import MySQLServer
from tests.doubles.openai_server import KEY
from tests.doubles.service import Service, running_service

# Three services are started.
pytestmark = pytest.mark.timeout(300)

Login = tuple[str, str]
Headers = dict[str, str] | None

AGAIN = {"x-stainless-retry-count": "1"}


class Upstream:
    """The stand-in, and a prompt of which it holds the pictures back."""

    def __init__(self, url: str) -> None:
        self._url = f"{httpx.URL(url).copy_with(path='/stand-in')}"
        self._gate = secrets.token_hex(4)
        self.prompt = f"a red fox [[gate {self._gate}]]"

    @property
    def billed(self) -> int:
        times: dict[str, int] = httpx.get(self._url).json()["times_billed"]
        return times.get(self.prompt, 0)

    def draw(self) -> None:
        httpx.post(f"{self._url}/open/{self._gate}").raise_for_status()


@pytest.fixture
def upstream(openai_url: str) -> Iterator[Upstream]:
    upstream = Upstream(openai_url)
    yield upstream
    upstream.draw()


@pytest.fixture(scope="module")
def environment(mysql_server: MySQLServer, openai_url: str) -> Iterator[dict[str, str]]:
    with mysql_server.new_database() as url:
        yield {
            "PIXYPROXY_DATABASE_URL": url,
            "PIXYPROXY_AUTO_UPGRADE": "true",
            "PIXYPROXY_LEASE": "1",
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": openai_url,
        }


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service"), environment) as service:
        yield service


@pytest.fixture(scope="module")
def other(service: Service, environment: dict[str, str]) -> Iterator[Service]:
    """Another process with the same database and the same contents."""
    with running_service(service.folder, environment) as other:
        yield other


def begin(service: Service, upstream: Upstream, login: Login, headers: Headers = None, **fields: Any) -> None:
    """Send a request whose client leaves while its images are made."""
    with pytest.raises(httpx.ReadTimeout):
        ask(service, upstream, login, headers, timeout=3, **fields)
    deadline = time.monotonic() + 30
    while upstream.billed < fields.get("n", 1):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ask(
    service: Service, upstream: Upstream, login: Login, headers: Headers = None, *, timeout: float = 60, **fields: Any
) -> httpx.Response:
    return httpx.post(
        f"{service.url}/v1/images/generations",
        json={"model": "gpt-image-2", "prompt": upstream.prompt, **fields},
        auth=login,
        headers=headers,
        timeout=timeout,
    )


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("is_keyed", [False, True], ids=["order", "key"])
def test_a_request_that_reaches_another_process_while_its_images_are_made_is_billed_once(
    service: Service, other: Service, upstream: Upstream, *, is_keyed: bool, count: int
) -> None:
    key = {"Idempotency-Key": f'"{secrets.token_hex()}"'}
    begin(service, upstream, service.login, key if is_keyed else None, n=count)
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(ask, other, upstream, service.login, key if is_keyed else AGAIN, n=count)
        upstream.draw()
    assert answer.result().status_code == 200, answer.result().text
    items = answer.result().json()["data"]
    assert len({item["guid"] for item in items}) == count
    for item in items:
        details = httpx.get(f"{service.url}/private/image/{item['guid']}", auth=service.login).json()
        assert hashlib.sha256(base64.b64decode(item["b64_json"])).hexdigest() == details["sha256"]
    assert upstream.billed == count


def test_a_stream_that_is_sent_again_plainly_is_billed_once(
    service: Service, other: Service, upstream: Upstream
) -> None:
    begin(service, upstream, service.login, stream=True, partial_images=1)
    upstream.draw()
    assert len(ask(other, upstream, service.login, AGAIN).json()["data"]) == 1
    assert upstream.billed == 1


def test_a_plain_request_that_is_sent_again_as_a_stream_is_billed_once(
    service: Service, other: Service, upstream: Upstream
) -> None:
    begin(service, upstream, service.login)
    upstream.draw()
    stream = ask(other, upstream, service.login, AGAIN, stream=True, partial_images=2).text
    (completed,) = [line for line in stream.splitlines() if line.startswith("data: ") and ".completed" in line]
    assert json.loads(completed.removeprefix("data: "))["b64_json"]
    assert upstream.billed == 1


def test_an_answered_request_is_not_joined(service: Service, other: Service, upstream: Upstream) -> None:
    upstream.draw()
    first = ask(service, upstream, service.login).json()["data"]
    second = ask(other, upstream, service.login, AGAIN).json()["data"]
    assert first[0]["guid"] != second[0]["guid"]
    assert upstream.billed == 2


def test_the_order_of_a_process_that_was_killed_is_not_bought_again(
    service: Service, other: Service, upstream: Upstream, environment: dict[str, str]
) -> None:
    with running_service(service.folder, environment) as killed:
        begin(killed, upstream, service.login)
        killed.stop(signal.SIGKILL)
        answer = ask(other, upstream, service.login, AGAIN)
    assert answer.status_code == 424, answer.text
    assert answer.headers["x-should-retry"] == "false"
    assert answer.json()["error"]["maybe_billed"] is True
    assert upstream.billed == 1
