"""The running service over a real socket, with the embedded default: SQLite, files and sketches."""

import asyncio
import hashlib
import io
import json
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image as Picture

from tests.doubles.service import Service, clean_environment, free_port, running_service


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("embedded")


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Service]:
    with running_service(folder) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=30) as client:
        yield client


def run(folder: Path, *arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pixyproxy", *arguments],
        cwd=folder,
        env=clean_environment(environment),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_first_start_says_what_is_in_use_and_how_to_begin(service: Service) -> None:
    banner = service.output
    assert "SQLite in data/pixyproxy.db" in banner
    assert "files in data/images" in banner
    assert "sketches, drawn offline, until OPENAI_API_KEY is set" in banner
    assert f"-u {':'.join(service.login)}" in banner
    assert len(service.login[1]) >= 16


def test_the_printed_curl_lines_do_what_they_say(service: Service, folder: Path, tmp_path: Path) -> None:
    commands = service.output.partition("download the newest one:\n")[2].partition("\n20")[0]

    done = subprocess.run(["bash", "-euc", commands], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert '"prompt":"A lighthouse at dusk, in watercolour"' in done.stdout
    with Picture.open(tmp_path / "picture.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (1024, 1024))


def test_a_created_image_is_there_after_a_restart(tmp_path: Path) -> None:
    with running_service(tmp_path) as first:
        login = first.login
        created = httpx.post(f"{first.url}/image", json={"prompt": "a red fox"}, auth=login, timeout=30).json()
    with running_service(tmp_path) as second:
        assert "PixyProxy created this login" not in second.output
        assert httpx.get(f"{second.url}/image").json() == [created]
        content = httpx.get(f"{second.url}/image/{created['guid']}/content").content
        assert hashlib.sha256(content).hexdigest() == created["sha256"]
        own = httpx.get(f"{second.url}/private/image", auth=login).json()
        assert [image | created for image in own] == own


def test_a_sketch_whose_process_was_killed_is_made_again(tmp_path: Path) -> None:
    environment = {"PIXYPROXY_LEASE": "0.5"}
    with running_service(tmp_path, environment) as first:
        login = first.login

        def create() -> None:
            with pytest.raises(httpx.TransportError):
                httpx.post(f"{first.url}/image", json={"prompt": "a red fox"}, auth=login, timeout=30)

        request = threading.Thread(target=create)
        request.start()
        while not rows(tmp_path):
            time.sleep(0.005)
        first.stop(signal.SIGKILL)
        request.join()
    assert rows(tmp_path) in ([("pending",)], [("generating",)])
    with running_service(tmp_path, environment) as second:
        deadline = time.monotonic() + 30
        while rows(tmp_path) != [("ready",)]:
            assert time.monotonic() < deadline, rows(tmp_path)
            time.sleep(0.05)
        (image,) = httpx.get(f"{second.url}/image").json()
        content = httpx.get(f"{second.url}/image/{image['guid']}/content").content
    assert hashlib.sha256(content).hexdigest() == image["sha256"]


def rows(folder: Path) -> list[tuple[str]]:
    with sqlite3.connect(folder / "data" / "pixyproxy.db", timeout=10) as connection:
        found: list[tuple[str]] = connection.execute("SELECT status FROM images").fetchall()
    connection.close()
    return found


def test_a_graceful_shutdown_lets_a_running_generation_finish(tmp_path: Path) -> None:
    with running_service(tmp_path) as service:
        answers: list[httpx.Response] = []
        request = threading.Thread(
            target=lambda: answers.append(
                httpx.post(f"{service.url}/image", json={"prompt": "a fox"}, auth=service.login, timeout=30)
            )
        )
        request.start()
        while rows(tmp_path) in ([], [("pending",)]):
            time.sleep(0.005)
        assert service.stop(signal.SIGTERM) in (0, -signal.SIGTERM)
        request.join()
        assert [answer.status_code for answer in answers] == [200]
        assert rows(tmp_path) == [("ready",)]


def test_a_draining_service_is_not_ready_and_serves_on_without_beginning_generations(tmp_path: Path) -> None:
    with (
        running_service(tmp_path, {"PIXYPROXY_DRAIN_DELAY": "60"}) as service,
        httpx.Client(base_url=service.url, auth=service.login, timeout=30) as client,
    ):
        assert client.get("/health/ready").status_code == 200
        service.process.send_signal(signal.SIGTERM)
        while (ready := client.get("/health/ready")).status_code == 200:
            time.sleep(0.01)
        assert (ready.status_code, ready.json()["type"]) == (503, "urn:pixyproxy:problem:overloaded")
        assert ready.headers["Connection"] == "close"
        assert client.get("/health/live").status_code == 200
        created = client.post("/image", json={"prompt": "a fox"}, headers={"Prefer": "respond-async"})
        assert created.status_code == 202
        # The second signal does not wait for the delay.
        assert service.stop(signal.SIGTERM) in (0, -signal.SIGTERM)
    assert rows(tmp_path) == [("pending",)]


def test_an_image_is_kept_when_the_client_leaves(service: Service, client: httpx.Client) -> None:
    # A first login takes longer than the client will wait.
    client.get("/private/image", auth=service.login)
    leaving = httpx.Timeout(20, read=0.05)
    with pytest.raises(httpx.ReadTimeout):
        client.post("/private/image", json={"prompt": "the client leaves"}, auth=service.login, timeout=leaving)

    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        prompts = [image["prompt"] for image in client.get("/private/image", auth=service.login).json()]
        if "the client leaves" in prompts:
            return
        time.sleep(0.05)
    raise AssertionError(service.output)


def test_a_body_of_100_mb_is_refused_without_reading_it_all(service: Service) -> None:
    for framing in (b"Content-Length: 104857600", b"Transfer-Encoding: chunked"):
        with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
            token = httpx.BasicAuth(*service.login)._auth_header.encode()
            head = (
                b"POST /image HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Authorization: %s\r\n%s\r\n\r\n"
            )
            connection.sendall(head % (token, framing))
            piece = b" " * 65_536
            if b"chunked" in framing:
                piece = b"10000\r\n" + piece + b"\r\n"
            sent = 0
            try:
                while sent < 104_857_600:
                    sent += connection.send(piece)
            except (BrokenPipeError, ConnectionResetError):
                pass
            assert sent < 30_000_000
    assert httpx.get(f"{service.url}/health/live").status_code == 200
    assert '"status":413' in service.output or "status=413" in service.output


def test_a_refused_body_is_answered_with_a_problem(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        token = httpx.BasicAuth(*service.login)._auth_header.encode()
        connection.sendall(
            b"POST /image HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Authorization: " + token + b"\r\nContent-Length: 104857600\r\n\r\n"
        )
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == 413


def test_log_lines_are_json_when_asked(tmp_path: Path) -> None:
    with running_service(tmp_path, {"PIXYPROXY_LOG_FORMAT": "json"}) as service:
        httpx.get(f"{service.url}/image", headers={"X-Request-ID": "abc"})
        service.stop()
        lines = [json.loads(line) for line in service.output.splitlines() if line.startswith("{")]
    mine = [line for line in lines if line.get("request_id") == "abc"]
    assert [line["event"] for line in mine] == ["request started", "request finished"]
    assert any("Uvicorn running" in line["event"] for line in lines)
    assert not any("\x1b" in value for line in lines for value in line.values() if isinstance(value, str))


def test_several_workers_share_one_database(tmp_path: Path) -> None:
    with running_service(tmp_path, {}, "--workers", "2") as service:

        async def create_all() -> list[httpx.Response]:
            async with httpx.AsyncClient(base_url=service.url, auth=service.login, timeout=60) as client:
                posts = (client.post("/image", json={"prompt": f"fox {n}"}) for n in range(8))
                return await asyncio.gather(*posts)

        answers = asyncio.run(create_all())
        assert [answer.status_code for answer in answers] == [200] * 8
        assert len(httpx.get(f"{service.url}/image").json()) == 8


def test_users_are_managed_on_the_command_line(service: Service, folder: Path, client: httpx.Client) -> None:
    def status(password: str) -> int:
        return client.get("/private/image", auth=("zoë", password)).status_code

    assert run(folder, "users", "add", "zoë", "--password-stdin", stdin="first password\n").returncode == 0
    assert status("first password") == 200
    assert run(folder, "users", "passwd", "zoë", "--password-stdin", stdin="other password\n").returncode == 0
    assert status("other password") == 200
    assert "zoë" in run(folder, "users", "list").stdout
    assert run(folder, "users", "disable", "zoë").returncode == 0
    assert "disabled" in run(folder, "users", "list").stdout
    assert status("third password") == 401


@pytest.mark.parametrize(
    ("arguments", "stdin", "reason"),
    [
        (("users", "add", "a:b", "--password-stdin"), "long enough\n", "colon"),
        (("users", "add", "ann", "--password-stdin"), "short\n", "8"),
        (("users", "add", "pixy", "--password-stdin"), "long enough\n", "name"),
        (("users", "passwd", "stranger", "--password-stdin"), "long enough\n", "no user"),
        (("users", "disable", "stranger"), "", "no user"),
        (("generate", " "), "", "prompt"),
        (("generate", "a fox", "--author", "stranger"), "", "no user"),
        (("generate", "a fox", "--private"), "", "author"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line_and_exit_status_1(
    service: Service, folder: Path, arguments: tuple[str, ...], stdin: str, reason: str
) -> None:
    done = run(folder, *arguments, stdin=stdin)

    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_generate_needs_no_server(tmp_path: Path) -> None:
    done = run(tmp_path, "generate", "a red fox", "--tag", "fox", "--out", "fox.png")

    assert done.returncode == 0, done.stderr
    detail = json.loads(done.stdout)
    content = (tmp_path / "fox.png").read_bytes()
    assert hashlib.sha256(content).hexdigest() == detail["sha256"]
    assert Picture.open(io.BytesIO(content)).size == (detail["width"], detail["height"])
    with running_service(tmp_path) as service:
        shown = httpx.get(f"{service.url}/image").json()
        assert [detail | image for image in shown] == [detail]


def test_settings_that_can_not_be_used_are_all_named_at_once(tmp_path: Path) -> None:
    done = run(tmp_path, "serve", PIXYPROXY_PORT="http", PIXYPROXY_WORKERS="0", PIXYPROXY_GENERATOR="openai")

    assert done.returncode == 1
    for name in ("PIXYPROXY_PORT", "PIXYPROXY_WORKERS"):
        assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_is_down_is_one_line_and_exit_status_1(tmp_path: Path) -> None:
    url = f"mysql://user:topsecret@127.0.0.1:{free_port()}/pixyproxy"

    done = run(tmp_path, "serve", PIXYPROXY_DATABASE_URL=url)

    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "topsecret" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_the_schema_can_be_looked_at_and_brought_up_to_date(tmp_path: Path) -> None:
    assert run(tmp_path, "db", "status").returncode == 1
    assert run(tmp_path, "db", "upgrade").returncode == 0
    assert "up to date" in run(tmp_path, "db", "upgrade").stdout
    assert run(tmp_path, "db", "status").returncode == 0
