"""The gallery in a real browser.

A module of tests has a service, a browser and two users of its own: `gallery`, `browser`, and Ann and Bob. Each test
has fresh contexts of the browser, without cookies: `page` is a visitor's, `own_page` Ann's, and `new_page` opens more
of them. Pages are watched: an error in the console, an exception, a violation of the CSP or a request to another host
fails the test, unless the test has told `watch` to expect it.

A module sets up its service with a fixture `gallery_environment`; that of a module whose tests count purchases returns
`openai_environment`, and `upstream` tells what was bought.

Playwright's event loop runs in the thread of the tests while a browser is open: tests are no coroutines, and
`Gallery.run` runs them in another thread.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

from tests.doubles.openai_server import KEY
from tests.doubles.service import running_service
from tests.e2e.conftest import FLAGS
from tests.e2e.gallery.running_gallery import PASSWORD, Gallery
from tests.e2e.gallery.watching import Watch

PATIENCE_MS = 15_000


class OpenContext(Protocol):
    """Opens a fresh context of the browser, which is watched; paths are those of the gallery's service.

    With a `user` it is logged in, and with `bfcache` it keeps pages that are left as browsers of people do. Other
    options are those of `Browser.new_context`.
    """

    def __call__(self, user: str | None = None, *, bfcache: bool = False, **options: Any) -> BrowserContext: ...


class NewPage(Protocol):
    """Opens a page in a context of its own; takes what `OpenContext` takes."""

    def __call__(self, user: str | None = None, *, bfcache: bool = False, **options: Any) -> Page: ...


class Upstream:
    """The stand-in for OpenAI that a gallery buys from."""

    def __init__(self, url: str) -> None:
        self._url = f"{url.removesuffix('/v1')}/stand-in"

    def billed(self, prompt: str) -> int:
        """Return how many pictures were bought for a prompt."""
        times: dict[str, int] = httpx.get(self._url).json()["times_billed"]
        return times.get(prompt, 0)

    def waiting(self, gate: str) -> int:
        """Return how many answers are held at a gate: those to prompts with `[[gate NAME]]` or `[[gate-body NAME]]`."""
        waiting: dict[str, int] = httpx.get(self._url).json()["waiting"]
        return waiting.get(gate, 0)

    def open(self, gate: str) -> None:
        """Let the answers at a gate go, those to come as well."""
        httpx.post(f"{self._url}/open/{gate}").raise_for_status()


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright, chromium: str) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def bfcache_browser(playwright: Playwright, chromium: str) -> Iterator[Browser]:
    """A browser that keeps pages that are left; `page.go_back` waits for ever there: evaluate `history.back()`."""
    browser = playwright.chromium.launch(
        executable_path=chromium, args=FLAGS, ignore_default_args=["--disable-back-forward-cache"]
    )
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def openai_environment(openai_url: str) -> Mapping[str, str]:
    """The settings of a gallery that buys its images of the stand-in for OpenAI."""
    return {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": openai_url, "PIXYPROXY_OPENAI_SIZE": "256x256"}


@pytest.fixture(scope="module")
def upstream(openai_url: str) -> Upstream:
    return Upstream(openai_url)


@pytest.fixture(scope="module")
def gallery_environment() -> Mapping[str, str]:
    """The settings of the module's service; SQLite and sketches by default."""
    return {}


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, gallery_environment: Mapping[str, str]) -> Iterator[Gallery]:
    with running_service(tmp_path_factory.mktemp("gallery"), gallery_environment) as service:
        yield Gallery(service, gallery_environment)


@pytest.fixture
def watch(gallery: Gallery) -> Iterator[Watch]:
    """What the pages of this test complain of; nothing but the expected may be left at its end."""
    watch = Watch(gallery.url)
    yield watch
    assert watch.complaints == []


@pytest.fixture
def open_context(
    gallery: Gallery, watch: Watch, browser: Browser, request: pytest.FixtureRequest
) -> Iterator[OpenContext]:
    contexts: list[BrowserContext] = []

    def open_context(user: str | None = None, *, bfcache: bool = False, **options: Any) -> BrowserContext:
        chosen: Browser = request.getfixturevalue("bfcache_browser") if bfcache else browser
        context = chosen.new_context(base_url=gallery.url, **options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        watch.begin(context)
        if user is not None:
            log_in(context, gallery, user)
        return context

    yield open_context
    for context in contexts:
        context.close()


@pytest.fixture
def new_page(open_context: OpenContext) -> NewPage:
    def new_page(user: str | None = None, *, bfcache: bool = False, **options: Any) -> Page:
        return open_context(user, bfcache=bfcache, **options).new_page()

    return new_page


@pytest.fixture
def page(new_page: NewPage) -> Page:
    """A page without a login."""
    return new_page()


@pytest.fixture
def own_page(new_page: NewPage) -> Page:
    """A page of Ann, who is logged in."""
    return new_page("ann")


def log_in(context: BrowserContext, gallery: Gallery, user: str) -> None:
    """Log a context in: send the login form as a browser does, without showing it."""
    password = dict([gallery.administrator]).get(user, PASSWORD)
    response = context.request.post(
        "/gallery/login",
        form={"name": user, "password": password},
        headers={"Origin": gallery.url},
        max_redirects=0,
    )
    assert response.status == 303, response.text()
