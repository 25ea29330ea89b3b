"""Pictures that the store sends by itself: which requests it answers, for how long, and with which headers."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

import httpx
import msgspec
import pytest
from dependency_injector import providers
from hypothesis import given
from hypothesis import strategies as st
from litestar.testing import TestClient

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.image import Visibility
from pixyproxy.domain.ports import Audience, chunks_of
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.app import create_app
from pixyproxy.entrypoints.http.content.presigned import Validity
from tests.doubles.container import in_memory_container
from tests.doubles.library import paint, png
from tests.doubles.linked_contents import ADDRESSES, LinkedContents
from tests.unit.entrypoints.http.conftest import ANN, BOB, Client, Login
from tests.unit.entrypoints.http.images.test_forms import PNG
from tests.unit.entrypoints.http.problem_bodies import problem
from tests.unit.entrypoints.http.serving import with_settings

NOW = datetime(2026, 11, 27, 12, 0, 29, 900_000, tzinfo=UTC)
NO_HEADERS: Mapping[str, str] = {}
SITE = "https://app.example.org"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="96" height="64"/>'
PUBLIC, PRIVATE = (
    paint("ann", visibility, data=png(visibility)) for visibility in (Visibility.PUBLIC, Visibility.PRIVATE)
)
DRAWING = paint("ann", data=SVG, media_type=MediaType.SVG)

PUBLIC_PATH = f"/image/{PUBLIC[0].guid}/content"
PRIVATE_PATH = f"/private/image/{PRIVATE[0].guid}/content"
DRAWING_PATH = f"/image/{DRAWING[0].guid}/content"
TAG = f'"{PUBLIC[0].ready_content.sha256}"'
TIME = format_datetime(PUBLIC[0].created_at, usegmt=True)


class World(msgspec.Struct, frozen=True):
    """A service in front of a store whose URLs can be followed."""

    client: Client
    contents: LinkedContents

    def get(
        self, path: str, auth: Login | None = None, headers: Mapping[str, str] = NO_HEADERS, *, method: str = "GET"
    ) -> httpx.Response:
        """Ask for something and follow no redirect."""
        login = httpx.USE_CLIENT_DEFAULT if auth is None else auth
        return self.client.request(method, path, headers=headers, auth=login, follow_redirects=False)

    def follow(self, response: httpx.Response, later: float = 0.0) -> tuple[int, Mapping[str, str], bytes]:
        """Follow a redirect some seconds after it was made."""
        return self.fetch(response.headers["Location"], later)

    def fetch(self, url: str, later: float = 0.0) -> tuple[int, Mapping[str, str], bytes]:
        """Return what the store answers."""
        return asyncio.run(self.contents.fetch(url, NOW + timedelta(seconds=later)))


@contextmanager
def world(**changes: Any) -> Iterator[World]:
    settings = with_settings(**changes)
    container = in_memory_container(settings)
    container.clock.override(providers.Object(InMemoryClock(NOW, step=timedelta(0))))
    asyncio.run(fill(container))
    with TestClient(create_app(settings, container), raise_server_exceptions=False) as client:
        yield World(client, container.contents())


async def fill(container: Container) -> None:
    for name, password in (ANN, BOB):
        await container.add_user()(name, password)
    for image, data in (PUBLIC, PRIVATE, DRAWING):
        await container.contents().put(image.content_key, chunks_of(data))
        await container.images().add(image)


class Worlds:
    """Worlds for tests that change nothing in them, one for each set of settings."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._running: dict[str, World] = {}

    def get(self, **changes: Any) -> World:
        """Return the world with these settings."""
        name = repr(changes)
        if name not in self._running:
            self._running[name] = self._stack.enter_context(world(**changes))
        return self._running[name]


@pytest.fixture(scope="module")
def worlds() -> Iterator[Worlds]:
    with ExitStack() as stack:
        yield Worlds(stack)


@pytest.fixture
def changes() -> dict[str, Any]:
    """Other settings than the default ones."""
    return {}


@pytest.fixture
def redirecting(worlds: Worlds, changes: dict[str, Any]) -> World:
    return worlds.get(content_delivery="redirect", cors_origins=SITE, **changes)


@pytest.fixture
def accelerated(worlds: Worlds) -> World:
    return worlds.get(content_delivery="x-accel:/s3/")


@pytest.mark.parametrize("path", [PUBLIC_PATH, f"{PUBLIC_PATH}/", f"{PUBLIC_PATH}?download=false"])
def test_a_public_picture_is_where_the_redirect_leads(redirecting: World, path: str) -> None:
    response = redirecting.get(path)

    assert response.status_code == 307
    assert response.content == b""
    assert response.headers["Content-Length"] == "0"
    assert response.headers["Location"].startswith(ADDRESSES[Audience.CLIENT])
    status, headers, data = redirecting.follow(response)
    assert (status, data) == (200, PUBLIC[1])
    assert headers == {
        "content-type": "image/png",
        "content-disposition": f'inline; filename="{PUBLIC[0].filename}"',
        "cache-control": "public, must-revalidate",
        "expires": "Fri, 27 Nov 2026 12:01:00 GMT",
    }


def test_a_download_is_one_where_the_redirect_leads(redirecting: World) -> None:
    _, headers, _ = redirecting.follow(redirecting.get(f"{PUBLIC_PATH}?download"))
    assert headers["content-disposition"].startswith("attachment; ")


def test_a_variant_is_where_the_redirect_leads(redirecting: World) -> None:
    response = redirecting.get(f"{PUBLIC_PATH}?width=64&format=auto", headers={"Accept": "image/webp"})

    assert (response.status_code, response.headers["Vary"]) == (307, "Accept, Origin")
    status, headers, data = redirecting.follow(response)
    assert (status, headers["content-type"], data[8:12]) == (200, "image/webp", b"WEBP")
    assert headers["content-disposition"].endswith('.webp"')


def test_a_redirect_has_no_header_of_the_picture(redirecting: World) -> None:
    response = redirecting.get(PUBLIC_PATH)

    assert {*response.headers} == {
        "location",
        "cache-control",
        "content-length",
        "cross-origin-resource-policy",
        "vary",
        "x-content-type-options",
        "x-request-id",
    }
    assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"


def test_a_page_of_another_site_may_follow_a_redirect(redirecting: World) -> None:
    response = redirecting.get(PUBLIC_PATH, headers={"Origin": SITE})

    assert response.status_code == 307
    assert response.headers["Access-Control-Allow-Origin"] == SITE
    assert response.headers["Vary"] == "Origin"


def test_one_range_is_redirected(redirecting: World) -> None:
    for wanted in ("bytes=10-99", "bytes=10-", "bytes=-7"):
        assert (redirecting.get(PUBLIC_PATH, headers={"Range": wanted})).status_code == 307


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": TAG}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-Modified-Since": TIME}, 304),
        ({"If-Modified-Since": "Thu, 01 Jan 1998 00:00:00 GMT"}, 200),
        ({"If-Match": TAG}, 200),
        ({"If-Match": '"other"'}, 412),
        ({"If-Unmodified-Since": TIME}, 200),
        ({"If-Unmodified-Since": "Thu, 01 Jan 1998 00:00:00 GMT"}, 412),
        ({"Range": "bytes=10-99", "If-Range": TAG}, 206),
        ({"Range": "bytes=10-99", "If-Range": '"other"'}, 200),
        ({"If-Range": TAG}, 200),
        ({"Range": "bytes=0-9,20-29"}, 200),
        ({"Range": "lines=1-2"}, 200),
        ({"Range": "bytes=9-5"}, 200),
        ({"Range": "bytes=99999999-"}, 416),
    ],
)
def test_conditions_and_odd_ranges_are_answered_by_the_service(
    redirecting: World, headers: dict[str, str], status: int
) -> None:
    response = redirecting.get(PUBLIC_PATH, headers=headers)

    assert response.status_code == status
    assert "Location" not in response.headers
    if response.is_success:
        assert response.content == (PUBLIC[1][10:100] if status == 206 else PUBLIC[1])


def test_a_head_is_answered_by_the_service(redirecting: World) -> None:
    response = redirecting.get(PUBLIC_PATH, method="HEAD")

    assert response.status_code == 200
    assert response.headers["Content-Length"] == str(len(PUBLIC[1]))
    assert response.headers["ETag"] == TAG


def test_the_store_is_asked_for_no_byte_that_the_service_does_not_send(redirecting: World) -> None:
    for headers, opened in (
        ({}, []),
        ({"Range": "bytes=10-99"}, []),
        ({"If-None-Match": TAG}, []),
        ({"If-Match": TAG, "Range": "bytes=10-99"}, [(10, 100)]),
    ):
        redirecting.contents.opened.clear()
        redirecting.get(PUBLIC_PATH, headers=headers)
        assert redirecting.contents.opened == opened
    redirecting.contents.opened.clear()
    redirecting.get(PUBLIC_PATH, method="HEAD")
    assert redirecting.contents.opened == [(0, 0)]


def test_an_svg_keeps_the_headers_that_make_it_harmless(redirecting: World) -> None:
    response = redirecting.get(DRAWING_PATH)

    assert (response.status_code, response.content) == (200, SVG)
    assert "sandbox" in response.headers["Content-Security-Policy"]


def link_to(world: World) -> str:
    made = world.client.post(f"/private/image/{PRIVATE[0].guid}/link", json={}, auth=ANN)
    url = httpx.URL(made.raise_for_status().json()["url"])
    return url.raw_path.decode()


def test_no_private_request_is_redirected(redirecting: World) -> None:
    own = redirecting.get(PRIVATE_PATH, ANN)
    linked = redirecting.get(link_to(redirecting))
    of_public = redirecting.get(f"/private{PUBLIC_PATH}", ANN)

    assert [own.content, linked.content, of_public.content] == [PRIVATE[1], PRIVATE[1], PUBLIC[1]]
    assert own.headers["Cache-Control"] == linked.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("changes", [{"redirect_private": True}])
def test_private_requests_are_redirected_if_the_operator_says_so(redirecting: World) -> None:
    for path, auth, policy in (
        (PRIVATE_PATH, ANN, "same-origin"),
        (link_to(redirecting), None, "cross-origin"),
        (f"{PRIVATE_PATH}?width=64", ANN, "same-origin"),
    ):
        response = redirecting.get(path, auth)
        assert response.status_code == 307
        assert response.headers["Cache-Control"] == "private, no-store"
        assert response.headers["Vary"] == "Authorization, Cookie, Origin"
        assert response.headers["Cross-Origin-Resource-Policy"] == policy
        assert response.content == b""
        status, headers, _ = redirecting.follow(response)
        assert (status, headers["cache-control"]) == (200, "private, no-cache")
        assert "expires" not in headers


@pytest.mark.parametrize("changes", [{"redirect_private": True}, {"redirect_private": False}])
@pytest.mark.parametrize(
    ("path", "auth", "status"),
    [
        (f"/image/{PRIVATE[0].guid}/content", None, 404),
        (f"/image/{PRIVATE[0].guid}/content", ANN, 404),
        (PRIVATE_PATH, BOB, 404),
        (PRIVATE_PATH, None, 401),
        (f"{PRIVATE_PATH}?expires=4102444800&signature=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", None, 403),
        (f"{PUBLIC_PATH}?width=65", None, 400),
        ("/image/00000000-0000-4000-8000-000000000000/content", None, 404),
    ],
)
def test_refusals_come_from_the_service(redirecting: World, path: str, auth: Login | None, status: int) -> None:
    response = redirecting.get(path, auth)

    problem(response, status, *(["width"] if status == 400 else []))
    assert "Location" not in response.headers


def test_no_new_url_is_handed_out_for_a_picture_that_has_become_private() -> None:
    with world(content_delivery="redirect", redirect_private=True) as own:
        assert (own.get(PUBLIC_PATH)).status_code == 307
        path = f"/private/image/{PUBLIC[0].guid}"

        changed = own.client.patch(path, json={"visibility": "private"}, auth=ANN)

        assert changed.status_code == 200
        conditions: list[dict[str, str]] = [{}, {"If-None-Match": TAG}, {"Range": "bytes=0-9"}]
        for headers in conditions:
            problem(own.get(PUBLIC_PATH, headers=headers), 404)
        problem(own.get(f"{PUBLIC_PATH}?width=64"), 404)


@pytest.mark.parametrize(
    ("changes", "policy", "stored"),
    [
        # At NOW, half a minute and a tenth of a second are left, of which ten seconds are for the client.
        ({}, "private, max-age=21", "public, must-revalidate"),
        ({"public_max_age": 4}, "private, max-age=4", "public, must-revalidate"),
        ({"public_max_age": 0}, "private, no-store", "public, no-cache"),
        ({"public_max_age": 86_400}, "private, max-age=86361", "public, must-revalidate"),
    ],
)
def test_caches_keep_neither_redirect_nor_picture_for_longer_than_the_url_lives(
    redirecting: World, policy: str, stored: str
) -> None:
    response = redirecting.get(PUBLIC_PATH)

    assert response.headers["Cache-Control"] == policy
    max_age = int(policy.partition("=")[2] or 0)
    status, headers, _ = redirecting.follow(response, max_age + 9)
    assert (status, headers["cache-control"]) == (200, stored)
    if "expires" in headers:
        expires = (parsedate_to_datetime(headers["expires"]) - NOW).total_seconds()
        assert (redirecting.follow(response, expires - 0.001))[0] == 200
        assert (redirecting.follow(response, expires + 0.001))[0] == 403


@given(
    now=st.integers(631_152_000_000, 3_786_912_000_000).map(lambda ms: datetime.fromtimestamp(ms / 1_000, UTC)),
    max_age=st.integers(0, 86_400),
    later=st.floats(0, 43_200),
)
def test_a_url_lives_for_half_of_its_time_at_least_and_is_the_same_in_a_window(
    now: datetime, max_age: int, later: float
) -> None:
    lifetime = max(60, max_age)
    validity = Validity.at(now, max_age)
    left = validity.ends_at - now.timestamp()

    assert validity.begins_at <= now.timestamp()
    assert lifetime / 2 < left <= lifetime
    again = Validity.at(now + timedelta(seconds=later), max_age)
    assert again.begins_at >= validity.begins_at
    if now.timestamp() + later < validity.begins_at + lifetime // 2:
        assert again == validity


def test_nginx_in_front_gets_the_place_of_the_picture_and_its_headers(accelerated: World) -> None:
    response = accelerated.get(PUBLIC_PATH)

    assert (response.status_code, response.content) == (200, b"")
    place = response.headers["X-Accel-Redirect"]
    assert place.startswith("/s3/bucket/images/")
    url = ADDRESSES[Audience.WEB_SERVER].replace("/bucket", place.removeprefix("/s3"))
    assert accelerated.fetch(url) == (200, {}, PUBLIC[1])
    assert "X-Accel-Range" not in response.headers
    whole = accelerated.get(PUBLIC_PATH, method="HEAD")
    own = {"content-length", "x-accel-redirect", "x-request-id", "accept-ranges"}
    assert {k: v for k, v in response.headers.items() if k not in own} == {
        k: v for k, v in whole.headers.items() if k not in own
    }


def test_nginx_in_front_gets_private_pictures_too(accelerated: World) -> None:
    for path, auth in ((PRIVATE_PATH, ANN), (link_to(accelerated), None), (f"{PRIVATE_PATH}?width=64", ANN)):
        response = accelerated.get(path, auth)
        assert response.headers["X-Accel-Redirect"].startswith("/s3/")
        assert response.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize(
    ("headers", "passed"),
    [
        ({}, None),
        ({"Range": "bytes=10-99"}, "bytes=10-99"),
        ({"Range": "bytes=10-"}, f"bytes=10-{len(PUBLIC[1]) - 1}"),
        ({"Range": "bytes=-7"}, f"bytes={len(PUBLIC[1]) - 7}-{len(PUBLIC[1]) - 1}"),
        ({"Range": "bytes=10-99999999"}, f"bytes=10-{len(PUBLIC[1]) - 1}"),
        ({"Range": "bytes=0-9,20-29"}, None),
        ({"Range": "bytes=10-99", "If-Range": TAG}, "bytes=10-99"),
        ({"Range": "bytes=10-99", "If-Range": '"other"'}, None),
        ({"Range": "bytes=10-99", "If-Match": TAG}, "bytes=10-99"),
    ],
)
def test_nginx_in_front_gets_the_range_that_holds(
    accelerated: World, headers: dict[str, str], passed: str | None
) -> None:
    response = accelerated.get(PUBLIC_PATH, headers=headers)

    assert response.headers["X-Accel-Redirect"].startswith("/s3/")
    assert response.headers.get("X-Accel-Range") == passed


@pytest.mark.parametrize("delivery", ["redirect", "x-accel:/s3/"])
def test_references_pass_through_the_service(delivery: str) -> None:
    with world(content_delivery=delivery, redirect_private=delivery == "redirect") as each:
        files: dict[str, Any] = {"reference": ("fox.png", PNG), "references": (None, str(PUBLIC[0].guid))}
        data = {"prompt": "a fox"}
        made = each.client.post("/private/image", files=files, data=data, auth=ANN)
        guid = made.raise_for_status().json()["guid"]
        for position, stored in ((0, PNG), (1, PUBLIC[1])):
            response = each.get(f"/private/image/{guid}/reference/{position}/content", ANN)
            assert (response.status_code, response.content) == (200, stored)
