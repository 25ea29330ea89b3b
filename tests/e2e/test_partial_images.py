"""Partial images over real sockets: two services share one database and one content folder."""

import contextlib
import io
import json
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
import pytest
from PIL import Image as Picture

from tests.doubles.openai_server import KEY
from tests.doubles.service import Service, running_service

SOON: Final = 30.0


class World:
    """Two services, of which `drawing` gets the requests and `other` the watchers."""

    def __init__(self, drawing: Service, other: Service, openai_url: str) -> None:
        self.drawing = drawing
        self.other = other
        self.login = drawing.login
        self._openai_url = openai_url

    def begin(self, gate: str, service: Service | None = None) -> str:
        """Ask for an image whose final picture waits for its gate, and return its path."""
        response = httpx.post(
            f"{(service or self.drawing).url}/private/image",
            json={"prompt": f"a fox [[gate-body {gate}]]", "partial_images": 2},
            headers={"Prefer": "respond-async"},
            auth=self.login,
            timeout=SOON,
        )
        assert response.status_code == 202, response.text
        return response.headers["Location"]

    def open(self, gate: str) -> None:
        """Let the final picture come."""
        httpx.post(f"{self._openai_url.removesuffix('/v1')}/stand-in/open/{gate}").raise_for_status()

    def get(self, path: str) -> httpx.Response:
        """Get something of the service that draws nothing."""
        return httpx.get(f"{self.other.url}{path}", auth=self.login, timeout=SOON)

    @contextlib.contextmanager
    def watched(self, path: str) -> Iterator[Iterator[tuple[str, dict[str, Any]]]]:
        """Give the events of an image, from the service that does not draw it."""
        with httpx.stream("GET", f"{self.other.url}{path}/events", auth=self.login, timeout=SOON) as response:
            assert response.status_code == 200
            yield _events(response)

    def partials(self) -> list[str]:
        """Return the names of the files of partial images."""
        folder = self.drawing.folder / "data" / "images" / "partials"
        return sorted(path.name for path in (*folder.glob("??/??/*"), *folder.glob("incoming/*")))


def _events(response: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    name = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def until(condition: Callable[[], object]) -> None:
    ends_at = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.05)


@pytest.fixture(scope="module")
def environment(openai_url: str) -> dict[str, str]:
    return {
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": openai_url,
        "PIXYPROXY_OPENAI_SIZE": "256x256",
        "PIXYPROXY_LEASE": "2",
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str], openai_url: str) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("shared")
    with running_service(folder, environment) as drawing, running_service(folder, environment) as other:
        yield World(drawing, other, openai_url)


def test_partial_images_are_watched_and_fetched_from_another_process(world: World) -> None:
    path = world.begin("watched")

    with world.watched(path) as events:
        seen = []
        for name, data in events:
            seen.append(name)
            if name == "partial":
                fetched = world.get(data["url"])
                assert data["url"] == f"{path}/partial/{data['position']}"
                assert (fetched.status_code, fetched.headers["Content-Type"]) == (200, "image/png")
                Picture.open(io.BytesIO(fetched.content), formats=["PNG"]).verify()
                if data["position"] == 1:
                    world.open("watched")

    assert [name for name in seen if name not in {"pending", "generating"}] == ["partial", "partial", "ready"]
    assert world.get(f"{path}/partial/0").status_code == 404
    until(lambda: not world.partials())


def test_a_watcher_that_comes_late_sees_the_partial_images_that_are_there(world: World) -> None:
    path = world.begin("late")
    until(lambda: len(world.partials()) == 2)

    with world.watched(path) as events:
        seen = [next(events)[0] for _ in range(3)]
        world.open("late")
        seen += [name for name, _ in events]

    assert seen == ["generating", "partial", "partial", "ready"]


def test_the_final_image_is_stored_though_all_listeners_leave_in_the_middle(world: World) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{world.drawing.url}/private/image",
            json={"prompt": "a fox [[gate-body left]]", "partial_images": 2},
            auth=world.login,
            timeout=httpx.Timeout(SOON, read=5.0),
        )
    name, _ = world.partials()
    path = f"/private/image/{name[:36]}"
    with world.watched(path) as events:
        assert next(events)[0] == "generating"

    world.open("left")

    until(lambda: world.get(path).json()["status"] == "ready")
    assert world.get(f"{path}/content").status_code == 200
    until(lambda: not world.partials())


def test_the_partial_images_of_a_killed_process_go_when_another_one_ends_the_image(
    world: World, environment: dict[str, str]
) -> None:
    with running_service(world.drawing.folder, environment) as doomed:
        path = world.begin("killed", doomed)
        with world.watched(path) as events:
            while next(events)[0] != "partial":
                continue
            doomed.stop(signal.SIGKILL)
            *_, (name, data) = events

    assert name == "unknown"
    assert data["problem"]["maybe_billed"]
    until(lambda: not world.partials())
    world.open("killed")
