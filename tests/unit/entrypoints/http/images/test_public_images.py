"""The public images over HTTP."""

import hashlib
import re
from datetime import datetime
from uuid import UUID, uuid4

import pytest

from pixyproxy.entrypoints.settings import Settings
from tests.unit.entrypoints.http.conftest import ANN, BOB, Client
from tests.unit.entrypoints.http.problem_bodies import problem


def create(client: Client, prompt: str = "a red fox") -> str:
    response = client.post("/image", json={"prompt": prompt}, auth=ANN)
    assert response.status_code == 200, response.text
    guid: str = response.json()["guid"]
    return guid


def test_a_created_image_is_described_in_full(client: Client) -> None:
    response = client.post("/image", json={"prompt": " a red fox\n", "tags": ["fox", "früh"]}, auth=ANN)

    assert response.status_code == 200
    detail = response.json()
    assert set(detail) == {
        "guid", "filename", "status", "prompt", "tags", "author", "visibility", "created_at", "updated_at",
        "media_type", "byte_size", "sha256", "width", "height", "model",
        "size", "quality", "background", "output_format", "batch", "problem",
    }  # fmt: skip
    guid = UUID(detail["guid"])
    assert detail["filename"] == f"a-red-fox-{guid}.png"
    assert detail["prompt"] == "a red fox"
    assert detail["tags"] == ["fox", "früh"]
    assert detail["author"] == "ann"
    assert detail["visibility"] == "public"
    assert detail["status"] == "ready"
    assert detail["problem"] is None
    assert detail["media_type"] == "image/png"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", detail["created_at"])
    assert datetime.fromisoformat(detail["created_at"]) <= datetime.fromisoformat(detail["updated_at"])


def test_details_are_the_same_for_anyone_as_for_the_creator(client: Client) -> None:
    created = client.post("/image", json={"prompt": "a red fox"}, auth=ANN).json()

    assert client.get(f"/image/{created['guid']}").json() == created
    assert client.get(f"/image/{created['guid']}", auth=BOB).json() == created
    assert client.get("/image").json() == [created]


def test_content_is_the_very_bytes_under_their_media_type(client: Client) -> None:
    created = client.post("/image", json={"prompt": "a red fox"}, auth=ANN).json()

    response = client.get(f"/image/{created['guid']}/content")

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "image/png"
    assert int(response.headers["Content-Length"]) == created["byte_size"] == len(response.content)
    assert hashlib.sha256(response.content).hexdigest() == created["sha256"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert created["filename"] in response.headers["Content-Disposition"]


@pytest.mark.parametrize("path", ["/image/{}", "/image/{}/content", "/image/{}/", "/image/{}/content/"])
def test_unknown_guid_is_not_found(client: Client, path: str) -> None:
    problem(client.get(path.format(uuid4())), 404)


@pytest.mark.parametrize("path", ["/image/{}", "/image/{}/content"])
def test_a_private_image_looks_like_an_unknown_one_even_to_its_author(client: Client, path: str) -> None:
    private = client.post("/private/image", json={"prompt": "a secret"}, auth=ANN).json()["guid"]
    unknown = str(uuid4())

    for auth in (None, ANN, BOB):
        found = problem(client.get(path.format(private), auth=auth), 404)
        missing = problem(client.get(path.format(unknown), auth=auth), 404)
        del found["request_id"], missing["request_id"]
        assert found == {**missing, "detail": missing["detail"].replace(unknown, private)}


def test_trailing_slash_changes_nothing(client: Client) -> None:
    guid = client.post("/image/", json={"prompt": "a red fox"}, auth=ANN).json()["guid"]

    for path in ("/image", f"/image/{guid}", f"/image/{guid}/content", "/health/live"):
        assert client.get(path).content == client.get(path + "/").content


def test_pages_show_each_image_once_newest_first_while_others_are_created(client: Client) -> None:
    guids = [create(client) for _ in range(7)]
    seen: list[str] = []
    url = "/image?limit=2"
    while url:
        response = client.get(url)
        assert response.status_code == 200
        seen += [detail["guid"] for detail in response.json()]
        create(client, "newer than the list")
        url = response.links.get("next", {}).get("url", "")

    assert seen == guids[::-1]


def test_the_last_page_has_no_link(client: Client) -> None:
    create(client)
    create(client)

    assert "next" not in client.get("/image?limit=2").links
    assert "next" in client.get("/image?limit=1").links


def test_a_list_holds_100_images_unless_told_otherwise(client: Client) -> None:
    for _ in range(101):
        create(client)

    assert len(client.get("/image").json()) == 100
    assert len(client.get("/image?limit=1000").json()) == 101


def test_creating_needs_a_login(client: Client) -> None:
    response = client.post("/image", json={"prompt": "a red fox"})

    problem(response, 401)
    assert response.headers["WWW-Authenticate"] == 'Basic realm="pixyproxy", charset="UTF-8"'
    assert client.get("/image").json() == []


class TestAnonymousCreation:
    """With PIXYPROXY_ANONYMOUS_CREATE=true."""

    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(anonymous_create=True)

    def test_anyone_may_create_an_image_without_an_author(self, client: Client) -> None:
        response = client.post("/image", json={"prompt": "a red fox"})

        assert response.status_code == 200
        assert response.json()["author"] is None

    def test_a_login_is_still_recorded(self, client: Client) -> None:
        assert client.post("/image", json={"prompt": "a red fox"}, auth=ANN).json()["author"] == "ann"

    def test_a_wrong_login_is_still_refused(self, client: Client) -> None:
        problem(client.post("/image", json={"prompt": "a red fox"}, auth=("ann", "wrong password")), 401)

    def test_private_images_still_need_a_login(self, client: Client) -> None:
        problem(client.post("/private/image", json={"prompt": "a red fox"}), 401)
