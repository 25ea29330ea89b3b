"""A hostile SVG in a real browser: served by PixyProxy it runs no script and sends no request."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page

from pixyproxy.domain.content import MediaType
from tests.doubles.hostile_svg import ATTEMPTS, CLICKS, RUNS, hostile_svg
from tests.doubles.library import fill, paint
from tests.doubles.service import running_service

SECONDS = 3.0


class Witness:
    """A web server that records requests, and serves the SVG as it is and a page that embeds another."""

    def __init__(self) -> None:
        self.paths: set[str] = set()
        witness = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.removeprefix("/")
                if name not in witness.pages:
                    witness.paths.add(name)
                    self.send_error(404)
                    return
                media_type, body = witness.pages[name]
                self.send_response(200)
                self.send_header("Content-Type", media_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815 -- the base class's name

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.hostile = hostile_svg(self.url)
        self.pages: dict[str, tuple[str, bytes]] = {
            "favicon.ico": ("image/x-icon", b""),
            "naked.svg": ("image/svg+xml", self.hostile),
        }
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def witness() -> Iterator[Witness]:
    witness = Witness()
    yield witness
    witness.server.shutdown()
    witness.server.server_close()


@pytest.fixture
def address(witness: Witness, tmp_path: Path) -> Iterator[str]:
    """Where PixyProxy shows the hostile SVG."""
    image, data = paint("ann", data=witness.hostile, media_type=MediaType.SVG)
    fill(tmp_path, [(image, data)], users={})
    with running_service(tmp_path) as service:
        yield f"{service.url}/image/{image.guid}/content"


def stay_and_click(page: Page) -> str:
    """Give scripts time to run, and return the document's title."""
    for name in CLICKS:
        element = page.locator(f"#{name}")
        if element.count():
            element.first.dispatch_event("click")
    time.sleep(SECONDS)
    title: str = page.evaluate("document.title")
    return title


def test_a_browser_that_nothing_holds_back_runs_all_of_it(witness: Witness, page: Page) -> None:
    page.goto(f"{witness.url}/naked.svg")
    title = stay_and_click(page)

    assert witness.paths >= ATTEMPTS
    assert {*RUNS, *CLICKS} <= set(title.split())


def test_nothing_of_it_runs_or_loads_when_pixyproxy_shows_it(address: str, witness: Witness, page: Page) -> None:
    response = page.goto(address)
    assert response is not None
    assert response.headers["content-type"] == "image/svg+xml"
    # Check that it is the picture, and not an error page.
    assert page.evaluate("document.documentElement.namespaceURI") == "http://www.w3.org/2000/svg"

    assert stay_and_click(page) == "hostile"
    assert witness.paths == set()


@pytest.mark.parametrize(
    "element",
    ['<img src="{}">', '<iframe src="{}"></iframe>', '<object data="{}"></object>', '<embed src="{}">'],
    ids=["img", "iframe", "object", "embed"],
)
def test_nothing_of_it_runs_or_loads_in_another_page(
    element: str,
    address: str,
    witness: Witness,
    page: Page,
) -> None:
    witness.pages["gallery"] = ("text/html", f"<title>gallery</title>{element.format(address)}".encode())
    page.goto(f"{witness.url}/gallery")

    assert stay_and_click(page) == "gallery"
    assert witness.paths == set()
