"""The running service on a real MySQL or MariaDB, with the stand-in OpenAI server in a process of its own."""

import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.doubles.mariadb import MySQLServer, ThrowawayServer
from tests.doubles.openai_server import KEY
from tests.doubles.service import Service, clean_environment, free_port, running_service

KEYED = {"Idempotency-Key": "the-only-one"}


def environment_of(mysql_url: str, openai_url: str) -> dict[str, str]:
    return {
        "PIXYPROXY_DATABASE_URL": mysql_url,
        "PIXYPROXY_AUTO_UPGRADE": "true",
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": openai_url,
    }


@pytest.fixture
def environment(empty_mysql_url: str, openai_url: str) -> dict[str, str]:
    """The settings of a service with a database of its own."""
    return environment_of(empty_mysql_url, openai_url)


@pytest.fixture(scope="module")
def shared_environment(mysql_server: MySQLServer, openai_url: str) -> Iterator[dict[str, str]]:
    with mysql_server.new_database() as url:
        yield environment_of(url, openai_url)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, shared_environment: dict[str, str]) -> Iterator[Service]:
    """A service that the tests share, each with images of its own."""
    with running_service(tmp_path_factory.mktemp("service"), shared_environment) as service:
        yield service


def create(service: Service, prompt: str, path: str = "/image") -> httpx.Response:
    return httpx.post(f"{service.url}{path}", json={"prompt": prompt}, auth=service.login, timeout=30)


def test_the_banner_names_mysql_and_openai_and_no_secret(service: Service, shared_environment: dict[str, str]) -> None:
    assert "MySQL" in service.output
    assert "OpenAI, gpt-image-2" in service.output
    assert "sketch" not in service.output
    assert KEY not in service.output
    assert shared_environment["PIXYPROXY_DATABASE_URL"] not in service.output


def test_of_many_changes_at_once_in_two_processes_none_is_refused(tmp_path: Path, environment: dict[str, str]) -> None:
    with running_service(tmp_path, environment, "--workers", "2") as service:
        guid = create(service, "a fox").json()["guid"]
        url = f"{service.url}/private/image/{guid}"

        def change(number: int) -> int:
            return httpx.patch(url, json={"tags": [str(number)]}, auth=service.login, timeout=30).status_code

        with ThreadPoolExecutor(20) as pool:
            assert set(pool.map(change, range(60))) == {200}
        assert httpx.get(url, auth=service.login).headers["ETag"].startswith('"63-')


def test_a_picture_of_openai_is_kept(service: Service) -> None:
    before = httpx.get(f"{service.url}/image").json()
    public = create(service, "a red fox").json()
    private = create(service, "a secret \N{FOX FACE}", "/private/image").json()

    assert public["model"] == "gpt-image-2"
    assert httpx.get(f"{service.url}/image").json() == [public, *before]
    newest, oldest = httpx.get(f"{service.url}/private/image?limit=2", auth=service.login).json()
    assert newest == private
    assert public.items() <= oldest.items()
    content = httpx.get(f"{service.url}/image/{public['guid']}/content")
    assert content.headers["Content-Type"] == public["media_type"]
    assert hashlib.sha256(content.content).hexdigest() == public["sha256"]
    assert httpx.get(f"{service.url}/image/{private['guid']}").status_code == 404


def test_a_batch_is_bought_once_however_many_ask_in_two_processes(tmp_path: Path, environment: dict[str, str]) -> None:
    with running_service(tmp_path, environment, "--workers", "2") as service:

        def ask(number: int) -> httpx.Response:
            return httpx.post(
                f"{service.url}/private/image/batch",
                json={"prompt": "a red fox [[slow 0.5]]", "n": 3},
                auth=service.login,
                headers=KEYED if number % 5 else {**KEYED, "Prefer": "respond-async"},
                timeout=30,
            )

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(ask, range(20)))

        images = next(answer.json() for answer in answers if answer.status_code == 200)
        assert [image["status"] for image in images] == ["ready"] * 3
        for number, answer in enumerate(answers):
            assert answer.status_code == 200 or (number % 5 == 0 and answer.status_code == 202)
            assert [image["guid"] for image in answer.json()] == [image["guid"] for image in images]
        assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
        listed = httpx.get(f"{service.url}/private/image", auth=service.login).json()
        assert sorted(image["guid"] for image in listed) == sorted(image["guid"] for image in images)
        batch = httpx.get(f"{service.url}/private/image/batch/{images[0]['batch']}", auth=service.login)
        assert batch.json() == images
        unchanged = {"If-None-Match": batch.headers["ETag"]}
        assert httpx.get(batch.url, auth=service.login, headers=unchanged).status_code == 304
        for image in images:
            content = httpx.get(f"{service.url}/private/image/{image['guid']}/content", auth=service.login).content
            assert hashlib.sha256(content).hexdigest() == image["sha256"]


@pytest.mark.parametrize(
    ("prompt", "status"),
    [
        ("a fox [[refuse]]", 422),
        ("a fox [[html]]", 502),
        ("a fox [[cut]]", 502),
        ("a fox [[rate-limit 7]]", 429),
    ],
)
def test_a_failure_of_openai_is_a_problem_and_never_an_image(service: Service, prompt: str, status: int) -> None:
    before = httpx.get(f"{service.url}/image").json()
    response = create(service, prompt)

    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    if status == 429:
        assert response.headers["Retry-After"] == "7"
    assert httpx.get(f"{service.url}/image").json() == before


def test_a_generation_that_takes_too_long_is_a_504(tmp_path: Path, environment: dict[str, str]) -> None:
    with running_service(tmp_path, environment | {"PIXYPROXY_OPENAI_TIMEOUT": "1"}) as service:
        assert create(service, "a fox [[hang]]").status_code == 504


def test_a_key_that_openai_does_not_accept_is_a_500_that_does_not_show_it(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    with running_service(tmp_path, environment | {"OPENAI_API_KEY": "sk-wrong-key-987"}) as service:
        response = create(service, "a fox")

        assert response.status_code == 500
        assert response.json()["type"] == "urn:pixyproxy:problem:generator-credentials"
        assert "sk-wrong-key-987" not in response.text + service.output


def test_an_old_schema_is_refused_with_the_command_to_run(tmp_path: Path, environment: dict[str, str]) -> None:
    outdated = environment | {"PIXYPROXY_AUTO_UPGRADE": "false"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pixyproxy", *arguments],
            cwd=tmp_path,
            env=clean_environment(outdated),
            capture_output=True,
            text=True,
            check=False,
        )

    refused = run("serve", "--port", str(free_port()))
    assert refused.returncode == 1
    assert "pixyproxy db upgrade" in refused.stderr
    assert run("db", "upgrade").returncode == 0
    with running_service(tmp_path, outdated) as service:
        assert create(service, "a fox").status_code == 200


def test_a_database_that_restarts_costs_at_most_a_clean_503(
    tmp_path: Path, environment: dict[str, str], throwaway_mysql_server: ThrowawayServer
) -> None:
    with (
        throwaway_mysql_server.new_database() as url,
        running_service(tmp_path, environment | {"PIXYPROXY_DATABASE_URL": url}) as service,
    ):
        created = create(service, "a fox").json()
        details = f"{service.url}/image/{created['guid']}"

        throwaway_mysql_server.stop()
        started_at = time.monotonic()
        for path in (details, f"{details}/content", f"{service.url}/image", f"{service.url}/health/ready"):
            response = httpx.get(path, timeout=20)
            assert response.status_code == 503
            assert response.json()["type"] == "urn:pixyproxy:problem:db-connection"
        assert create(service, "a fox").status_code == 503
        assert time.monotonic() - started_at < 20
        assert httpx.get(f"{service.url}/health/live").status_code == 200

        throwaway_mysql_server.start()
        assert httpx.get(details).status_code in {200, 503}
        assert httpx.get(details).json() == created
        assert create(service, "another fox").status_code == 200


def begin(service: Service, prompt: str) -> str:
    """Ask for an image without waiting for it, and return its address when the call is out."""
    accepted = httpx.post(
        f"{service.url}/private/image",
        json={"prompt": prompt},
        headers={"Prefer": "respond-async"},
        auth=service.login,
        timeout=30,
    )
    assert accepted.status_code == 202
    address = f"{service.url}{accepted.headers['Location']}"
    wait_for_status(service.login, address, "generating")
    return address


def wait_for_status(login: tuple[str, str], address: str, status: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while True:
        details: dict[str, Any] = httpx.get(address, auth=login, timeout=10).json()
        if details["status"] == status:
            return details
        assert time.monotonic() < deadline, details
        time.sleep(0.05)


def test_a_generation_without_a_waiting_client_is_finished_before_the_service_stops(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    with running_service(tmp_path, environment) as first:
        login, address = first.login, begin(first, "a fox [[slow 2]]")
        first.stop(signal.SIGTERM)
        assert "waiting for generations" in first.output
    with running_service(tmp_path, environment) as second:
        details = httpx.get(address.replace(first.url, second.url), auth=login).json()
    assert details["status"] == "ready"


def test_a_generation_that_outlasts_the_stop_is_left_to_recovery_and_logged(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    environment |= {"PIXYPROXY_SHUTDOWN_TIMEOUT": "0.5", "PIXYPROXY_LEASE": "1"}
    with running_service(tmp_path, environment) as first:
        login, address = first.login, begin(first, "a fox [[hang]]")
        first.stop(signal.SIGTERM, timeout=15)
        assert "generation interrupted and left to recovery" in first.output
    with running_service(tmp_path, environment) as second:
        details = wait_for_status(login, address.replace(first.url, second.url), "unknown")
    assert details["problem"]["type"] == "urn:pixyproxy:problem:generation-abandoned"
    assert details["problem"]["maybe_billed"] is True


def test_clients_that_wait_when_the_service_stops_get_the_images_guid(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    environment |= {"PIXYPROXY_SHUTDOWN_TIMEOUT": "1"}
    with running_service(tmp_path, environment) as service, ThreadPoolExecutor() as pool:
        login = service.login
        answer = pool.submit(create, service, "a fox [[hang]]", "/private/image")
        address = begin(service, "a wolf [[hang]]")
        events = pool.submit(httpx.get, f"{address}/events", auth=login, timeout=30)
        time.sleep(0.5)
        started_at = time.monotonic()
        service.stop(signal.SIGTERM, timeout=15)
        assert time.monotonic() - started_at < 5
        problem = answer.result().json()
        assert "event: generating" in events.result().text
        assert "Traceback" not in service.output
    assert answer.result().status_code == 503
    assert problem["type"] == "urn:pixyproxy:problem:image-delayed"
    assert problem["maybe_billed"] is True
    assert problem["guid"]


def test_the_stream_of_events_tells_each_state(service: Service) -> None:
    address = begin(service, "a fox [[slow 1]]")
    with httpx.stream("GET", f"{address}/events", auth=service.login, timeout=30) as events:
        assert events.headers["Content-Type"].startswith("text/event-stream")
        states = [line.removeprefix("event: ") for line in events.iter_lines() if line.startswith("event: ")]
    assert states == ["generating", "ready"]
