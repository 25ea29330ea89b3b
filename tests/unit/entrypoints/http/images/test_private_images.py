"""An author's own images over HTTP."""

from uuid import uuid4

import pytest

from tests.unit.entrypoints.http.conftest import ANN, BOB, Client
from tests.unit.entrypoints.http.problem_bodies import problem

ROUTES = [
    ("POST", "/private/image"),
    ("GET", "/private/image"),
    ("GET", f"/private/image/{uuid4()}"),
    ("GET", f"/private/image/{uuid4()}/content"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("auth", [None, ("ann", "wrong password"), ("stranger", "correct horse"), ("", "")])
def test_every_route_needs_a_valid_login(client: Client, method: str, path: str, auth: tuple[str, str] | None) -> None:
    response = client.request(method, path, auth=auth, json={"prompt": "x"} if method == "POST" else None)

    problem(response, 401)
    assert response.headers["WWW-Authenticate"].startswith("Basic ")


def test_an_image_is_private_unless_its_author_says_otherwise(client: Client) -> None:
    private = client.post("/private/image", json={"prompt": "a secret"}, auth=ANN).json()
    public = client.post("/private/image", json={"prompt": "a poster", "visibility": "public"}, auth=ANN).json()

    assert private["visibility"] == "private"
    assert public["visibility"] == "public"
    assert client.get("/image").json() == [client.get(f"/image/{public['guid']}").json()]


def test_the_author_reads_their_own_images_public_ones_included(client: Client) -> None:
    public = client.post("/private/image", json={"prompt": "a poster", "visibility": "public"}, auth=ANN).json()
    private = client.post("/private/image", json={"prompt": "a secret"}, auth=ANN).json()

    assert client.get("/private/image", auth=ANN).json() == [private, public]
    for image in (public, private):
        assert client.get(f"/private/image/{image['guid']}", auth=ANN).json() == image
        content = client.get(f"/private/image/{image['guid']}/content", auth=ANN)
        assert len(content.content) == image["byte_size"]


@pytest.mark.parametrize("path", ["/image", "/private/image"])
@pytest.mark.parametrize("suffix", ["", "/content"])
def test_another_authors_images_are_not_among_ones_own(client: Client, path: str, suffix: str) -> None:
    guid = client.post(path, json={"prompt": "ann's"}, auth=ANN).json()["guid"]

    problem(client.get(f"/private/image/{guid}{suffix}", auth=BOB), 404)
    assert client.get("/private/image", auth=BOB).json() == []


def test_pages_link_to_private_pages(client: Client) -> None:
    for _ in range(3):
        client.post("/private/image", json={"prompt": "a secret"}, auth=ANN)

    link = client.get("/private/image?limit=2", auth=ANN).headers["Link"]

    assert link.startswith("</private/image?limit=2&cursor=")
    assert len(client.get(link[1:].partition(">")[0], auth=ANN).json()) == 1


def test_private_content_is_not_for_shared_caches(client: Client) -> None:
    guid = client.post("/private/image", json={"prompt": "a secret"}, auth=ANN).json()["guid"]

    assert client.get(f"/private/image/{guid}/content", auth=ANN).headers["Cache-Control"] == "private, no-cache"
