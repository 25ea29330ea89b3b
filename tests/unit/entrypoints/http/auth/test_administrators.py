"""Administrators: what they reach, and the log of it."""

import asyncio
import logging
from typing import Any, Final
from uuid import uuid4

import pytest
from httpx import Response

from pixyproxy.domain.api_key import KeyScope
from pixyproxy.domain.user import Principal, UserName
from pixyproxy.entrypoints.access_log import REQUESTS
from pixyproxy.entrypoints.container import Container
from tests.unit.entrypoints.http.conftest import ANN, BOB, Client, Login

ROOT: Final[Login] = ("root", "master of the keys")
LOGGED: Final = "administrator access"


@pytest.fixture
def container(container: Container) -> Container:
    asyncio.run(container.add_user()(*ROOT, is_admin=True))
    return container


def create(client: Client, auth: Login = BOB, **fields: Any) -> dict[str, Any]:
    response = client.post("/private/image", json={"prompt": "a secret"} | fields, auth=auth)
    assert response.status_code == 200, response.text
    created: dict[str, Any] = response.json()
    return created


def reaches(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    names = ("user", "author", "method", "path", "guid", "request_id")
    records = [each for each in caplog.records if each.name == REQUESTS and each.getMessage() == LOGGED]
    return [{name: vars(record)[name] for name in names} for record in records]


@pytest.mark.parametrize("visibility", ["private", "public"])
def test_an_administrator_sees_changes_shares_and_deletes_what_others_made(client: Client, visibility: str) -> None:
    image = create(client, visibility=visibility)
    path = f"/private/image/{image['guid']}"
    assert client.get(path, auth=ROOT).json() == image
    assert client.get(f"{path}/content", auth=ROOT).headers["Content-Length"] == str(image["byte_size"])
    assert client.get(f"{path}/content?width=64", auth=ROOT).status_code == 200
    assert client.get(f"{path}/events", auth=ROOT).text.count("event:") == 1
    changed = client.patch(path, json={"tags": ["kept"]}, auth=ROOT)
    assert (changed.status_code, changed.json()["author"]) == (200, "bob")
    link = client.post(f"{path}/link", json={}, auth=ROOT).json()["url"]
    assert client.get(link).status_code == 200
    assert client.delete(path, auth=ROOT).status_code == 204
    assert client.get(path, auth=BOB).status_code == 404


def test_an_administrator_sees_a_batch_and_its_references(client: Client) -> None:
    reference = create(client)["guid"]
    body = {"prompt": "two", "n": 2, "references": [reference]}
    images = client.post("/private/image/batch", json=body, auth=BOB).json()
    assert client.get(f"/private/image/batch/{images[0]['batch']}", auth=ROOT).json() == images
    content = client.get(f"/private/image/{images[0]['guid']}/reference/0/content", auth=ROOT)
    assert content.content == client.get(f"/private/image/{reference}/content", auth=BOB).content


def test_bulk_operations_of_an_administrator_reach_all_images(client: Client) -> None:
    guids = [create(client, auth)["guid"] for auth in (ANN, BOB, ROOT)]
    tagged = client.post("/private/image/bulk/tag", json={"guids": guids, "add": ["kept"]}, auth=ROOT).json()
    assert [result["image"]["tags"] for result in tagged] == [["kept"]] * 3
    body = {"guids": guids, "visibility": "public"}
    published = client.post("/private/image/bulk/visibility", json=body, auth=ROOT).json()
    assert [result["image"]["visibility"] for result in published] == ["public"] * 3
    deleted = client.post("/private/image/bulk/delete", json={"guids": guids}, auth=ROOT).json()
    assert all(result.get("problem") is None for result in deleted)
    assert client.get("/private/image", auth=BOB).json() == []


def test_an_administrator_lists_the_images_of_one_author(client: Client) -> None:
    images = [create(client, tags=[tag], visibility=visibility) for tag in "ab" for visibility in ("private", "public")]
    own = create(client, ROOT)
    assert client.get("/private/image", auth=ROOT).json() == [own]
    assert client.get("/private/image?author=root", auth=ROOT).json() == [own]
    assert client.get("/private/image?author=bob&sort=created_at", auth=ROOT).json() == images
    for query in ("tag=a", "visibility=private", "q=secret"):
        expected = client.get(f"/private/image?{query}", auth=BOB).json()
        assert client.get(f"/private/image?author=bob&{query}", auth=ROOT).json() == expected
    page = client.get("/private/image?author=bob&limit=3&sort=created_at", auth=ROOT, headers={"Prefer": "count=exact"})
    assert (page.json(), page.headers["X-Total-Count"]) == (images[:3], "4")
    assert client.get(page.links["next"]["url"], auth=ROOT).json() == images[3:]
    assert client.get(page.links["next"]["url"], auth=BOB).status_code == 400
    assert client.get("/private/image?author=bob", auth=ANN).json() == []


def test_tags_and_creations_of_an_administrator_are_their_own(client: Client) -> None:
    guid = create(client, tags=["hidden"])["guid"]
    assert client.get("/private/tag", auth=ROOT).json() == []
    assert create(client, ROOT)["author"] == "root"
    refused = client.post("/private/image", json={"prompt": "x", "references": [guid]}, auth=ROOT)
    assert (refused.status_code, refused.json()["maybe_billed"]) == (404, False)


def test_public_routes_show_an_administrator_what_they_show_all(client: Client) -> None:
    guid = create(client)["guid"]
    assert client.get(f"/image/{guid}", auth=ROOT).status_code == 404
    assert client.get("/image?author=bob", auth=ROOT).json() == []


def test_a_key_of_an_administrator_reaches_only_what_is_their_own(
    client: Client, container: Container, caplog: pytest.LogCaptureFixture
) -> None:
    guid, public = create(client)["guid"], create(client, visibility="public")["guid"]
    made = asyncio.run(container.create_key()(Principal(name=UserName("root")), name="k", scopes=list(KeyScope)))
    key = {"Authorization": f"Bearer {made.secret}"}
    with caplog.at_level(logging.INFO, REQUESTS):
        assert client.get(f"/private/image/{guid}", headers=key).status_code == 404
        assert client.get("/private/image?author=bob", headers=key).json() == []
        assert client.delete(f"/private/image/{guid}", headers=key).status_code == 404
        assert client.delete(f"/private/image/{public}", headers=key).status_code == 403
    assert reaches(caplog) == []


@pytest.fixture
def watched(client: Client, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, REQUESTS)
    return caplog


@pytest.mark.parametrize("auth", [ROOT, BOB], ids=["root", "bob"])
def test_each_route_to_another_users_image_is_one_line(
    client: Client, watched: pytest.LogCaptureFixture, auth: Login
) -> None:
    walked = 0
    for route in client.app.routes:
        for method in getattr(route, "route_handler_map", {}):
            path = route.path_format.replace(":str", "")
            if not path.startswith("/private/image/{guid}"):
                continue
            guid = create(client)["guid"]
            address = path.format(guid=guid, position=0, filename="fox.png")
            watched.clear()
            response = client.request(method, address, json={} if method in {"POST", "PATCH"} else None, auth=auth)
            assert response.status_code not in {400, 401, 403, 405}, (method, path)
            line = {
                "user": "root",
                "author": "bob",
                "method": method,
                "path": address,
                "guid": guid,
                "request_id": response.headers["X-Request-ID"],
            }
            is_reach = auth == ROOT and method != "OPTIONS"
            assert reaches(watched) == ([line] if is_reach else []), (method, path)
            walked += 1
    assert walked


def test_a_list_a_batch_and_bulk_operations_are_logged_too(client: Client, watched: pytest.LogCaptureFixture) -> None:
    images = client.post("/private/image/batch", json={"prompt": "two", "n": 2}, auth=BOB).json()
    guids, batch = [image["guid"] for image in images], images[0]["batch"]
    own = create(client, ROOT)["guid"]

    def logged(response: Response) -> list[tuple[str, str, str | None]]:
        assert response.status_code == 200
        lines = reaches(watched)
        watched.clear()
        return [(line["method"], line["author"], line["guid"]) for line in lines]

    assert logged(client.get("/private/image?author=bob", auth=ROOT)) == [("GET", "bob", None)]
    assert logged(client.head("/private/image?author=bob", auth=ROOT)) == [("HEAD", "bob", None)]
    assert logged(client.get(f"/private/image/batch/{batch}", auth=ROOT)) == [("GET", "bob", guid) for guid in guids]
    bulk = {"guids": [*guids, own, str(uuid4())]}
    for work, change in (
        ("tag", {"add": ["kept"]}),
        ("content", {}),
        ("visibility", {"visibility": "public"}),
        ("delete", {}),
    ):
        assert logged(client.post(f"/private/image/bulk/{work}", json=bulk | change, auth=ROOT)) == [
            ("POST", "bob", guid) for guid in guids
        ]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gallery/image/{guid}"),
        ("GET", "/gallery/image/{guid}/delete"),
        ("GET", "/gallery/new?from={guid}"),
        ("GET", "/gallery/making?guid={guid}"),
        ("POST", "/gallery/image/{guid}/again"),
        ("POST", "/gallery/image/{guid}/delete"),
        ("POST", "/gallery/image/{guid}/share"),
    ],
)
def test_pages_of_another_users_image_are_logged_too(
    client: Client, watched: pytest.LogCaptureFixture, method: str, path: str
) -> None:
    guid = create(client)["guid"]

    form = {"lifetime": "3600"}
    response = client.request(method, path.format(guid=guid), auth=ROOT, data=form, follow_redirects=False)

    assert response.status_code in {200, 303}
    assert [(line["method"], line["author"], line["guid"]) for line in reaches(watched)] == [(method, "bob", guid)]


def test_what_is_an_administrators_own_or_open_to_all_is_not_logged(
    client: Client, watched: pytest.LogCaptureFixture
) -> None:
    guid, public = create(client, ROOT)["guid"], create(client, visibility="public")["guid"]
    for path in (
        "/private/image",
        "/private/image?author=root",
        f"/private/image/{guid}",
        f"/private/image/{uuid4()}",
        "/private/image/unknown",
        f"/private/image/batch/{uuid4()}",
        "/private/tag",
        f"/image/{public}",
        "/image?author=bob",
    ):
        client.get(path, auth=ROOT)
    client.get("/private/image?author=root", auth=BOB)
    assert reaches(watched) == []
