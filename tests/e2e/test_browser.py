"""The page that describes the API, in a real browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest
from playwright.sync_api import Page

from tests.doubles.service import Service, running_service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("browser")) as service:
        yield service


def test_the_page_lists_every_operation_without_the_internet(service: Service, page: Page) -> None:
    problems: list[str] = []
    hosts: set[str] = set()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: hosts.add(request.url.partition("://")[2].partition("/")[0]))

    page.goto(f"{service.url}/schema")
    page.wait_for_selector(".opblock")

    paths = httpx.get(f"{service.url}/schema/openapi.json").json()["paths"]
    assert page.locator(".opblock").count() == sum(map(len, paths.values())) > 0
    assert problems == []
    assert hosts - {""} == {service.url.partition("://")[2]}


def test_an_operation_shows_its_fields_and_its_errors(service: Service, page: Page) -> None:
    page.goto(f"{service.url}/schema")
    page.locator(".opblock-post", has_text="Generate a public image").locator(".opblock-summary").click()
    page.wait_for_selector(".opblock-body .responses-table")

    text = page.locator(".opblock-post.is-open").inner_text()
    for expected in ("A lighthouse at dusk", "401", "422", "504", "X-Request-ID"):
        assert expected in text


def test_the_page_shows_a_picture_that_was_tried_out(service: Service, page: Page) -> None:
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    guid = httpx.post(f"{service.url}/image", json={"prompt": "a fox"}, auth=service.login).json()["guid"]

    page.goto(f"{service.url}/schema")
    operation = page.locator(".opblock-get", has_text="The bytes of a public image")
    operation.locator(".opblock-summary").click()
    operation.locator(".try-out__btn").click()
    operation.locator("tr[data-param-name=guid] input").fill(guid)
    operation.locator(".execute").click()

    picture = operation.locator(".live-responses-table img")
    picture.wait_for()
    assert picture.evaluate("picture => picture.decode().then(() => picture.naturalWidth)") == 1024
    assert problems == []


def test_another_site_can_show_public_pictures_and_links_and_nothing_else(service: Service, page: Page) -> None:
    auth = service.login
    public = httpx.post(f"{service.url}/image", json={"prompt": "a fox"}, auth=auth).json()["guid"]
    private = httpx.post(f"{service.url}/private/image", json={"prompt": "a fox"}, auth=auth).json()["guid"]
    link = httpx.post(f"{service.url}/private/image/{private}/link", json={}, auth=auth).json()["url"]
    pictures = {
        "public": f"{service.url}/image/{public}/content",
        "link": link,
        "own": f"{service.url}/private/image/{private}/content",
    }
    html = "".join(f"<img id='{name}' src='{url}'>" for name, url in pictures.items())
    html += f"<iframe src='{service.url}/schema'></iframe>"

    browser = page.context.browser
    assert browser
    with another_site(html) as address:
        # The browser remembers the login, and sends it with each request.
        page = browser.new_context(http_credentials={"username": auth[0], "password": auth[1]}).new_page()
        blocked: list[str] = []
        page.on("requestfailed", lambda request: blocked.append(f"{request.url} {request.failure}"))
        page.goto(f"{service.url}/private/image/{private}/content")
        assert page.evaluate("document.images[0].naturalWidth") == 1024
        page.goto(address, wait_until="load")
        widths = {name: page.evaluate(f"document.getElementById('{name}').naturalWidth") for name in pictures}
        framed = page.frames[1].url

    assert widths == {"public": 1024, "link": 1024, "own": 0}
    assert any(pictures["own"] in each and "ERR_BLOCKED_BY_RESPONSE" in each for each in blocked)
    assert "/schema" not in framed


@contextmanager
def another_site(html: str) -> Iterator[str]:
    """Serve one page from another origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_image_is_shown_as_a_picture(service: Service, page: Page) -> None:
    created = page.request.post(
        f"{service.url}/image",
        data={"prompt": "a red fox"},
        headers={"Authorization": page.evaluate("login => 'Basic ' + btoa(login)", ":".join(service.login))},
    ).json()

    page.goto(f"{service.url}/image/{created['guid']}/content")

    size = page.evaluate("[document.images[0].naturalWidth, document.images[0].naturalHeight]")
    assert size == [1024, 1024]
