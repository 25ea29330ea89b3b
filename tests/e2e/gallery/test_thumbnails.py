"""Thumbnails that a browser requests all at once, as HTTP/2 lets it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import httpx
import msgspec
import pytest
from playwright.sync_api import Browser

from pixyproxy.domain.image import Image
from tests.doubles.certificates import Authority
from tests.doubles.library import fill, paint, png
from tests.doubles.nginx import Nginx, documented
from tests.doubles.service import Service, running_service

COUNT: Final = 100
QUERY: Final = "width=256&height=256&fit=cover&format=auto&quality=70"
# What Chromium sends for an `<img>`.
ACCEPT: Final = {"Accept": "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"}

SHOW_ALL: Final = """
async (paths) => {
  const show = (path) => new Promise((resolve) => {
    const picture = new Image();
    picture.onload = () => resolve("shown");
    picture.onerror = () => resolve("failed");
    picture.src = path;
  });
  const outcomes = await Promise.all(paths.map(show));
  const requests = performance.getEntriesByType("resource").filter((request) => request.initiatorType === "img");
  return outcomes.map((outcome, number) => [requests[number].nextHopProtocol, outcome]);
}
"""


class World(msgspec.Struct, frozen=True):
    """A service and the paths of the thumbnails of its images, none of which has been made; each test takes its own."""

    service: Service
    cold: list[str]

    def take(self) -> Sequence[str]:
        return [self.cold.pop() for _ in range(COUNT)]


def thumbnail(image: Image) -> str:
    return f"/image/{image.guid}/content?{QUERY}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("thumbnails")
    paintings = [paint("ann", data=png(number)) for number in range(2 * COUNT)]
    fill(folder, paintings, {})
    with running_service(folder) as service:
        yield World(service, [thumbnail(image) for image, _ in paintings])


@pytest.fixture
def nginx(world: World, tmp_path: Path) -> Iterator[Nginx]:
    """An nginx with HTTP/2 and the documented configuration."""
    Authority.in_folder(tmp_path, "authority").issue("server", "127.0.0.1")
    tls = f"ssl_certificate {tmp_path}/server.pem; ssl_certificate_key {tmp_path}/server.key;"
    configuration = documented(
        "caching.conf",
        {
            "listen 80;": f"listen {{port}} ssl http2; {tls}",
            "127.0.0.1:8000": f"127.0.0.1:{world.service.port}",
            "/var/cache/pixyproxy": "{folder}/cache",
            "/var/log/nginx/pixyproxy.log": "{folder}/access.log",
        },
    )
    with Nginx(configuration) as nginx:
        yield nginx


def test_a_hundred_cold_thumbnails_at_once_are_made(world: World) -> None:
    limits = httpx.Limits(max_connections=COUNT)
    with (
        httpx.Client(base_url=world.service.url, limits=limits, headers=ACCEPT, timeout=60) as client,
        ThreadPoolExecutor(COUNT) as executor,
    ):
        answers = list(executor.map(client.get, world.take()))

    assert Counter((answer.status_code, answer.headers["Content-Type"]) for answer in answers) == {
        (200, "image/avif"): COUNT
    }


def test_a_browser_shows_a_hundred_cold_thumbnails_over_one_http2_connection(
    world: World, nginx: Nginx, browser: Browser
) -> None:
    with browser.new_context(ignore_https_errors=True) as context:
        page = context.new_page()
        page.goto(f"https://127.0.0.1:{nginx.port}/health/live")
        outcomes = page.evaluate(SHOW_ALL, world.take())

    assert Counter(map(tuple, outcomes)) == {("h2", "shown"): COUNT}
