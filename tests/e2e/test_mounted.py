"""The service as docs/embedding.md has other applications serve it, under a real server."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.documents import ROOT, examples
from tests.doubles.service import clean_environment, free_port

HOSTS = {name: code for name, code in examples("docs/embedding.md").items() if name.startswith("in_")}
PASSWORD = "correct horse"


@contextmanager
def serving(folder: Path, name: str, *options: str) -> Iterator[str]:
    """Run the host application by uvicorn, and yield its address."""
    folder.joinpath(f"{name}.py").write_text(HOSTS[name], encoding="utf-8")
    environment = clean_environment({"PYTHONPATH": str(ROOT)})
    for command, text in ((["db", "upgrade"], ""), (["users", "add", "ann", "--password-stdin"], f"{PASSWORD}\n")):
        pixyproxy = [sys.executable, "-m", "pixyproxy", *command]
        subprocess.run(pixyproxy, cwd=folder, env=environment, input=text, text=True, check=True, capture_output=True)
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", f"{name}:app", "--port", str(port), *options]
    with running(command, folder, environment, port) as url:
        yield url


@contextmanager
def running(command: list[str], folder: Path, environment: Mapping[str, str], port: int) -> Iterator[str]:
    """Run a command that listens on the port, and yield its address."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(httpx.TransportError):
                httpx.get(url)
                break
            time.sleep(0.05)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(30)
    log_text = (folder / "log").read_text(encoding="utf-8")
    assert status in {0, -signal.SIGTERM}, log_text
    assert "Traceback" not in log_text


def test_the_page_shows_the_three_applications() -> None:
    assert set(HOSTS) == {"in_fastapi", "in_starlette", "in_litestar"}


@pytest.mark.parametrize("name", HOSTS)
def test_the_service_works_below_a_path_of(name: str, tmp_path: Path) -> None:
    with serving(tmp_path, name) as url, httpx.Client(base_url=f"{url}/pixy", auth=("ann", PASSWORD)) as client:
        first, second = (client.post("/private/image", json={"prompt": "a fox", "tags": ["fox"]}) for _ in range(2))
        assert (first.status_code, second.status_code) == (200, 200), first.text
        guid = second.json()["guid"]
        assert client.get(f"/private/image/{guid}").json()["tags"] == ["fox"]
        assert client.get(f"/private/image/{guid}/content").headers["Content-Type"] == "image/png"
        following = client.get("/private/image?limit=1").links["next"]["url"]
        assert following.startswith("/pixy/private/image?")
        assert len(httpx.get(f"{url}{following}", auth=("ann", PASSWORD)).json()) == 1
        link = client.post(f"/private/image/{guid}/link", json={"lifetime": 60}).json()["url"]
        assert link.startswith(f"{url}/pixy/private/image/")
        assert httpx.get(link).status_code == 200
        begun = client.post("/private/image", json={"prompt": "a fox"}, headers={"Prefer": "respond-async"})
        assert begun.headers["Location"].startswith("/pixy/private/image/")
        assert client.get("/").headers["Location"] == "/pixy/schema"
        assert '"/pixy/schema/ui/start.js"' in client.get("/schema").text
        assert client.get("/schema/openapi.json").json()["servers"] == [{"url": "/pixy"}]
        assert client.get("/health/ready").status_code == 200
        for path in ("/nothing", "/pixy/image", "//image"):
            assert client.get(f"{url}/pixy{path}").json()["type"].endswith("endpoint-not-found"), path
        assert client.head(f"/private/image/{guid}").status_code == 200


@pytest.mark.parametrize("name", HOSTS)
def test_the_prefix_of_a_proxy_stands_before_that_of_the_host(name: str, tmp_path: Path) -> None:
    with serving(tmp_path, name, "--root-path", "/apps") as url:
        answer = httpx.get(f"{url}/pixy/", follow_redirects=False)
        assert answer.headers["Location"] == "/apps/pixy/schema"


def test_the_service_runs_with_an_adapter_of_the_hosts(tmp_path: Path) -> None:
    for name in ("no_dragons", "own_service"):
        tmp_path.joinpath(f"{name}.py").write_text(examples("docs/embedding.md")[name], encoding="utf-8")
    port = free_port()
    environment = clean_environment({"PYTHONPATH": str(ROOT), "FIRST_PASSWORD": PASSWORD, "PORT": str(port)})
    with (
        running([sys.executable, "own_service.py"], tmp_path, environment, port) as url,
        httpx.Client(base_url=url, auth=("ann", PASSWORD)) as client,
    ):
        created = client.post("/image", json={"prompt": "A red fox"})
        assert created.status_code == 200, created.text
        assert client.get(f"/image/{created.json()['guid']}/content").headers["Content-Type"] == "image/png"
        refused = client.post("/image", json={"prompt": "A dragon"})
        assert (refused.status_code, refused.json()["detail"]) == (422, "This house draws no dragons.")
    assert "request finished" in (tmp_path / "log").read_text(encoding="utf-8")
