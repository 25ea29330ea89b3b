"""Two replicas behind a real nginx, with the documented configuration."""

import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.doubles.library import fill
from tests.doubles.nginx import Nginx, documented
from tests.doubles.service import START_TIMEOUT, Service, free_port

CLIENTS = 4
# Longer than nginx keeps an idle connection here.
DRAINING = {"PIXYPROXY_DRAIN_DELAY": "2"}
LOGIN = ("ann", "ann's password")
BRIEF = {"size": "64x64"}
# Long enough to be interrupted.
LONG = {"size": "2000x2000"}


class Replica:
    """A service that restarts on the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.service = self._new()

    def start(self) -> None:
        self.service.close()
        self.service = self._new()
        self.service.wait_until_live()

    @property
    def requests(self) -> int:
        """The number of requests so far, without health checks."""
        return sum("request started" in line and "/health/" not in line for line in self.service.output.splitlines())

    def wait_until_used(self) -> None:
        wait_until(lambda: self.requests > 0)

    def _new(self) -> Service:
        return Service(self.folder, DRAINING, port=self.port)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("replicas")


@pytest.fixture(scope="module")
def replicas(folder: Path) -> Iterator[tuple[Replica, Replica]]:
    fill(folder, [], dict([LOGIN]))
    replicas = Replica(folder), Replica(folder)
    try:
        for replica in replicas:
            replica.service.wait_until_live()
        yield replicas
    finally:
        for replica in replicas:
            replica.service.stop()
            replica.service.close()


@pytest.fixture(scope="module")
def nginx(replicas: tuple[Replica, Replica]) -> Iterator[Nginx]:
    configuration = documented(
        "replicas.conf",
        {
            "listen 80;": "listen {port};",
            "keepalive_timeout 4s;": "keepalive_timeout 1s;",
            "pixyproxy-1:8000": f"127.0.0.1:{replicas[0].port}",
            "pixyproxy-2:8000": f"127.0.0.1:{replicas[1].port}",
            "/var/log/nginx/access.log": "{folder}/access.log",
        },
    )
    with Nginx(configuration) as nginx:
        yield nginx


def test_requests_go_to_the_replica_that_does_not_restart(replicas: tuple[Replica, Replica], nginx: Nginx) -> None:
    is_over = threading.Event()

    def use(number: int) -> Counter[str]:
        answers: Counter[str] = Counter()
        with httpx.Client(base_url=nginx.url, auth=LOGIN, timeout=30) as client:
            while not is_over.is_set():
                prompt = f"fox {number}"
                for answer in (client.post("/image", json={"prompt": prompt, **BRIEF}), client.get("/image?limit=1")):
                    answers[f"{answer.request.method} {answer.status_code}"] += 1
        return answers

    with ThreadPoolExecutor(CLIENTS) as pool:
        uses = [pool.submit(use, number) for number in range(CLIENTS)]
        try:
            for replica in replicas:
                replica.wait_until_used()
            for replica in replicas:
                # The second one stops as soon as the first one is live, whether or not nginx knows that yet.
                replica.service.stop()
                replica.start()
            for replica in replicas:
                replica.wait_until_used()
        finally:
            is_over.set()
    answers = sum((each.result() for each in uses), Counter[str]())

    assert set(answers) == {"GET 200", "POST 200"}, answers


def test_a_creation_whose_replica_dies_is_not_sent_to_the_other_one(
    folder: Path, replicas: tuple[Replica, Replica], nginx: Nginx
) -> None:
    before = count_of_images(folder)
    requests = [replica.requests for replica in replicas]
    with ThreadPoolExecutor(1) as pool:
        creation = pool.submit(
            httpx.post, f"{nginx.url}/image", json={"prompt": "a fox", **LONG}, auth=LOGIN, timeout=30
        )
        wait_until(lambda: count_of_images(folder) > before)
        dying = next(replica for replica, number in zip(replicas, requests, strict=True) if replica.requests > number)
        dying.service.stop(signal.SIGKILL)
        assert creation.result().status_code == 502
    dying.start()

    assert count_of_images(folder) == before + 1


def count_of_images(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "data" / "pixyproxy.db")) as database:
        count: int = database.execute("SELECT COUNT(*) FROM images").fetchone()[0]
        return count


def test_references_of_some_size_pass(nginx: Nginx) -> None:
    # Above nginx's default of 1 MiB: it is refused for what it is, not for its size.
    answer = httpx.post(
        f"{nginx.url}/image",
        data={"prompt": "a fox"},
        files={"reference": ("a.png", bytes(3_000_000))},
        auth=LOGIN,
        timeout=30,
    )
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)
