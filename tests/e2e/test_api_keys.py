"""API keys, passwords and links in two processes of one service: what one of them knows, the other knows soon."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.doubles.mariadb import MySQLServer
from tests.doubles.service import Service, clean_environment, running_service

LOGIN = ("ann", "correct horse")
# The processes promise five seconds; a busy machine needs more.
PATIENCE = 60.0


@pytest.fixture(scope="module", params=["sqlite", "mysql"])
def environment(request: pytest.FixtureRequest) -> Iterator[Mapping[str, str]]:
    """Each kind of database."""
    if request.param == "sqlite":
        yield {}
    else:
        server: MySQLServer = request.getfixturevalue("mysql_server")
        with server.new_database() as url:
            yield {"PIXYPROXY_DATABASE_URL": url, "PIXYPROXY_AUTO_UPGRADE": "true"}


@pytest.fixture(scope="module")
def services(
    tmp_path_factory: pytest.TempPathFactory, environment: Mapping[str, str]
) -> Iterator[tuple[Service, Service]]:
    """Two processes on one database, with one user."""
    folder = tmp_path_factory.mktemp("services")
    with running_service(folder, environment) as first, running_service(folder, environment) as second:
        run(first, environment, "users", "add", LOGIN[0], "--password-stdin")
        yield first, second


def run(service: Service, environment: Mapping[str, str], *arguments: str, text: str = LOGIN[1]) -> str:
    """Run a command beside the service, and return the last line of its output."""
    done = subprocess.run(
        [sys.executable, "-m", "pixyproxy", *arguments],
        cwd=service.folder,
        env=clean_environment(environment),
        input=f"{text}\n",
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


def status(service: Service, key: str) -> int:
    """Return the status of a request with the key."""
    return httpx.get(f"{service.url}/private/image", headers={"Authorization": f"Bearer {key}"}, timeout=60).status_code


def login_status(service: Service, login: tuple[str, str] = LOGIN) -> int:
    """Return the status of a request with the login."""
    return httpx.get(f"{service.url}/private/image", auth=login, timeout=60).status_code


def until(condition: Callable[[], bool]) -> None:
    """Wait for the condition."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_key_that_one_process_revokes_is_refused_there_at_once_and_soon_by_the_other(
    services: tuple[Service, Service],
) -> None:
    first, second = services
    made = httpx.post(f"{first.url}/private/key", json={"name": "studio"}, auth=LOGIN, timeout=60).json()
    assert [status(service, made["key"]) for service in services] == [200, 200]
    revoked = httpx.delete(f"{first.url}/private/key/{made['guid']}", auth=LOGIN, timeout=60)
    assert revoked.status_code == 204
    assert status(first, made["key"]) == 401
    until(lambda: status(second, made["key"]) == 401)
    assert [status(service, made["key"]) for service in services] == [401, 401]


def test_a_key_that_the_command_line_revokes_is_refused_soon_by_all_processes(
    services: tuple[Service, Service], environment: Mapping[str, str]
) -> None:
    key, other = (run(services[0], environment, "keys", "add", "ann", "--name", name) for name in ("studio", "other"))
    assert [status(service, key) for service in services] == [200, 200]
    run(services[0], environment, "keys", "revoke", key)
    for service in services:
        until(lambda service=service: status(service, key) == 401)  # type: ignore[misc]
        assert status(service, other) == 200


def test_logins_and_keys_stop_soon_when_the_command_line_disables_the_user_and_work_again_when_it_enables_them(
    services: tuple[Service, Service], environment: Mapping[str, str]
) -> None:
    key = run(services[0], environment, "keys", "add", "ann", "--name", "studio")
    for command, expected in (("disable", 401), ("enable", 200)):
        before = 200 if expected == 401 else 401
        assert {status(service, key) for service in services} == {login_status(service) for service in services}
        assert {login_status(service) for service in services} == {before}
        run(services[0], environment, "users", command, "ann")
        for service in services:
            until(lambda service=service: status(service, key) == expected)  # type: ignore[misc] # noqa: B023 -- called here
            until(lambda service=service: login_status(service) == expected)  # type: ignore[misc] # noqa: B023


@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
def test_an_old_password_and_the_links_of_a_revoked_key_stop_soon_without_a_restart(
    services: tuple[Service, Service], environment: Mapping[str, str]
) -> None:
    first, _ = services
    login, new_login = ("ben", LOGIN[1]), ("ben", "battery staple")
    run(first, environment, "users", "add", "ben", "--password-stdin")
    image = httpx.post(f"{first.url}/private/image", json={"prompt": "fox"}, auth=login, timeout=60).json()
    made = httpx.post(f"{first.url}/private/image/{image['guid']}/link", json={}, auth=login, timeout=60).json()
    _, _, path = made["url"].partition(f":{first.port}")

    def link_status(service: Service) -> int:
        return httpx.get(f"{service.url}{path}", timeout=60).status_code

    for service in services:
        assert (login_status(service, login), link_status(service)) == (200, 200)
    run(first, environment, "links", "rotate", "--revoke")
    run(first, environment, "users", "passwd", "ben", "--password-stdin", text=new_login[1])
    for service in services:
        until(lambda service=service: login_status(service, login) == 401)  # type: ignore[misc]
        until(lambda service=service: link_status(service) == 403)  # type: ignore[misc]
        assert login_status(service, new_login) == 200


@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
def test_an_expired_key_is_refused_by_all_processes_and_not_before(services: tuple[Service, Service]) -> None:
    first, second = services
    httpx.get(f"{first.url}/private/key", auth=LOGIN, timeout=60)
    expires = datetime.now(UTC) + timedelta(seconds=10)
    body = {"name": "short", "expires_at": expires.isoformat()}
    key = httpx.post(f"{first.url}/private/key", json=body, auth=LOGIN, timeout=60).json()["key"]
    until(lambda: status(first, key) == 401)
    assert datetime.now(UTC) >= expires
    assert [status(service, key) for service in (second, first)] == [401, 401]


def test_a_database_that_is_locked_refuses_no_key(tmp_path: Path) -> None:
    with running_service(tmp_path) as service:
        run(service, {}, "users", "add", LOGIN[0], "--password-stdin")
        keys = [run(service, {}, "keys", "add", "ann", "--name", name) for name in ("studio", "other")]
        with closing(sqlite3.connect(tmp_path / "data" / "pixyproxy.db", isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            assert status(service, keys[0]) == 200
            writer.execute("ROLLBACK")
        assert status(service, keys[1]) == 200
        listed = httpx.get(f"{service.url}/private/key", auth=LOGIN, timeout=60).json()
        # What could not be noted is not tried again within the minute.
        assert [key["last_used_at"] is None for key in listed if key["name"] == "other"] == [False]
