"""A service that is reached below a path, or under another name than its own."""

import asyncio
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from litestar import Litestar, asgi
from litestar.testing import TestClient
from litestar.types import Receive, Scope, Send

from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.app import create_app
from pixyproxy.entrypoints.settings import Settings
from tests.doubles.container import in_memory_container
from tests.unit.entrypoints.http.conftest import ANN, Client

PUBLIC = "https://example.org/pixy"


@pytest.fixture
def settings() -> Settings:
    return Settings(public_url=PUBLIC)


@pytest.fixture(params=["", "/pixy"], ids=["the proxy takes the prefix away", "the proxy leaves the prefix"])
def sent(request: pytest.FixtureRequest) -> str:
    prefix: str = request.param
    return prefix


def created(client: Client, sent: str = "") -> str:
    answer = client.post(f"{sent}/private/image", json={"prompt": "a fox"}, auth=ANN)
    assert answer.status_code == 200, answer.text
    guid: str = answer.json()["guid"]
    return guid


def test_pages_are_linked_below_the_prefix(client: Client, sent: str) -> None:
    for _ in range(3):
        created(client, sent)
    first = client.get(f"{sent}/private/image?limit=1", auth=ANN)
    url = first.links["next"]["url"]
    assert url.startswith("/pixy/private/image?limit=1&cursor=")
    second = client.get(url.removeprefix("/pixy") if not sent else url, auth=ANN)
    assert second.status_code == 200
    assert {second.links[name]["url"].partition("?")[0] for name in ("next", "prev")} == {"/pixy/private/image"}


def test_a_location_is_below_the_prefix(client: Client, sent: str) -> None:
    answer = client.post(
        f"{sent}/private/image", json={"prompt": "a fox"}, headers={"Prefer": "respond-async"}, auth=ANN
    )
    assert answer.headers["Location"] == f"/pixy/private/image/{answer.json()['guid']}"


def test_a_signed_link_begins_with_the_public_url(client: Client, sent: str) -> None:
    guid = created(client, sent)
    link = client.post(f"{sent}/private/image/{guid}/link", json={"lifetime": 60}, auth=ANN).json()["url"]
    assert link.startswith(f"{PUBLIC}/private/image/{guid}/content?")
    path = link.removeprefix("https://example.org" if sent else PUBLIC)
    assert client.get(path).status_code == 200


def test_the_page_and_its_files_are_below_the_prefix(client: Client, sent: str) -> None:
    assert client.get(f"{sent}/", follow_redirects=False).headers["Location"] == "/pixy/schema"
    page = client.get(f"{sent}/schema").text
    assert 'src="/pixy/schema/ui/start.js"' in page
    assert '"/schema' not in page
    assert client.get(f"{sent}/schema/ui/start.js").status_code == 200
    assert client.get(f"{sent}/schema/openapi.json").json()["servers"] == [{"url": "/pixy"}]


def test_public_content_is_found_below_the_prefix(client: Client, sent: str) -> None:
    guid = client.post(f"{sent}/image", json={"prompt": "a fox"}, auth=ANN).json()["guid"]
    assert client.get(f"{sent}/image/{guid}/content").status_code == 200


@pytest.mark.parametrize("path", ["/pixyish/image", "/other/image", "/pixy/pixy/image", "/image/pixy/image"])
def test_other_paths_are_not_found(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_prefix_without_a_slash_is_the_root(client: Client) -> None:
    assert client.get("/pixy", follow_redirects=False).headers["Location"] == "/pixy/schema"


@pytest.fixture
def rooted() -> Iterator[Client]:
    """A client of an application that is told its prefix by ASGI's `root_path`."""
    settings = Settings(anonymous_create=True)
    app = create_app(settings, in_memory_container(settings))
    with TestClient(app, root_path="/root", base_url="http://host.example") as client:
        yield client


@pytest.mark.parametrize("sent", ["/root", ""])
def test_the_root_path_of_asgi_is_a_prefix(rooted: Client, sent: str) -> None:
    for _ in range(2):
        assert rooted.post(f"{sent}/image", json={"prompt": "a fox"}).status_code == 200
    assert rooted.get(f"{sent}/image?limit=1").links["next"]["url"].startswith("/root/image?")
    assert rooted.get(f"{sent}/schema/openapi.json").json()["servers"] == [{"url": "/root"}]


@pytest.mark.parametrize("root_path", ["", "/root"])
@pytest.mark.parametrize("mounted_at", ["/pixy", "/a/b", "/image", "/our pictures", "/bilder-ü"])
def test_a_litestar_can_mount_it_anywhere(mounted_at: str, root_path: str) -> None:
    settings = Settings(anonymous_create=True)
    app = create_app(settings, in_memory_container(settings))

    @asgi(mounted_at, is_mount=True, copy_scope=True)
    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    prefix = quote(root_path + mounted_at)
    host = Litestar([mounted], lifespan=[lambda _: app.lifespan()])
    with TestClient(host, root_path=root_path) as client:
        for _ in range(2):
            assert client.post(f"{prefix}/image", json={"prompt": "a fox"}).status_code == 200
        following = client.get(f"{prefix}/image?limit=1").links["next"]["url"]
        assert following.startswith(f"{prefix}/image?")
        assert len(client.get(following).json()) == 1
        assert client.get(f"{prefix}/schema/openapi.json").json()["servers"] == [{"url": prefix}]
        assert client.get(f"{prefix}{prefix}/health/live").status_code == 404


def test_a_signed_link_has_the_path_of_all_other_links_below_the_public_origin() -> None:
    settings = Settings(public_url="https://example.org")
    container = in_memory_container(settings)
    with TestClient(create_app(settings, container), root_path="/root") as client:
        asyncio.run(container.add_user()("ann", ANN[1]))
        guid = created(client)
        link = client.post(f"/private/image/{guid}/link", json={}, auth=ANN).json()["url"]
        assert link.startswith(f"https://example.org/root/private/image/{guid}/content?")
        assert client.get(link.removeprefix("https://example.org")).status_code == 200


def test_without_a_prefix_nothing_is_added(container: Container) -> None:
    settings = Settings()
    with TestClient(create_app(settings, in_memory_container(settings))) as client:
        assert client.get("/", follow_redirects=False).headers["Location"] == "/schema"
        assert client.get("/schema/openapi.json").json()["servers"] == [{"url": "/"}]
