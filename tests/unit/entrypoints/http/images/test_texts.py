"""Names, passwords, tags, filters and prompts in all languages over HTTP."""

import base64
import unicodedata
from typing import Any

import pytest
from httpx import Response

from pixyproxy.domain.image import Visibility
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import UserName
from pixyproxy.entrypoints.container import Container
from tests.factories import ImageFactory
from tests.unit.entrypoints.http.conftest import ANN, Client
from tests.unit.entrypoints.http.problem_bodies import problem

MARKS = "\u0301" * 31


def create(client: Client, **body: Any) -> Response:
    return client.post("/image", json={"prompt": "a fox", **body}, auth=ANN)


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}


def test_a_login_with_more_than_30_marks_in_a_row_is_a_bad_request(client: Client) -> None:
    for marks in (MARKS, MARKS * 30):
        for field, login in (
            ("name", (f"ann{marks}", "correct horse")),
            ("password", ("ann", f"correct horse{marks}")),
        ):
            headers = basic(*login)
            problem(client.get("/private/image", headers=headers), 400, field)
            problem(client.post("/image", json={"prompt": "a fox"}, headers=headers), 400, field)


def test_a_login_with_30_marks_in_a_row_is_only_wrong(client: Client) -> None:
    problem(client.get("/private/image", headers=basic("ann" + "\u0323" * 30, "correct horse")), 401)


def test_an_impossible_login_is_refused_before_it_is_decoded(client: Client) -> None:
    found = problem(client.get("/private/image", headers=basic("a" + "\u0301\u0323" * 32_000, "x")), 400)
    assert "too long" in found["detail"]


@pytest.mark.parametrize("path", ["/image", "/private/image"])
def test_a_filter_with_more_than_30_marks_in_a_row_is_refused(client: Client, path: str) -> None:
    for parameter in ("tag", "author", "model", "q"):
        for text in (f"e{MARKS}", "e" + "\u0301\u0323" * 100):
            problem(client.get(path, params={parameter: text}, auth=ANN), 400, parameter)


@pytest.mark.parametrize("path", ["/tag", "/private/tag"])
def test_a_prefix_with_more_than_30_marks_in_a_row_is_refused(client: Client, path: str) -> None:
    problem(client.get(path, params={"prefix": f"e{MARKS}"}, auth=ANN), 400, "prefix")


def test_a_new_tag_is_what_it_looks_like(client: Client) -> None:
    guid = create(client).json()["guid"]
    hidden = ["a\u200bb", "a\u2060b", "\ufeffa", "a\u202eb", "a\u200fb", "\u2066a\u2069"]
    for tag in (f"e{MARKS}", "\u200b", "\u00ad", "\u3164", *hidden):
        problem(create(client, tags=["ok", tag]), 400, "tags[1]")
        problem(client.patch(f"/private/image/{guid}", json={"tags": [tag]}, auth=ANN), 400, "tags[0]")
        problem(client.post("/private/image/bulk/tag", json={"guids": [guid], "add": [tag]}, auth=ANN), 400, "add[0]")


def test_a_prompt_of_which_nothing_can_be_seen_is_refused(client: Client) -> None:
    for prompt in ("\u200b", "\u00ad\u2060", "\u3164 \u115f", "\ufeff", "\u2800", "\n\u200d\n"):
        problem(create(client, prompt=prompt), 400, "prompt")


def test_a_prompt_with_many_marks_is_kept_as_it_is(client: Client) -> None:
    prompt = "A fo\u0301x z" + "\u0301\u0323" * 15_000
    detail = create(client, prompt=prompt).json()
    assert detail["prompt"] == prompt
    assert [found["guid"] for found in client.get("/image", params={"q": "fox"}).json()] == [detail["guid"]]
    assert [found["guid"] for found in client.get("/image", params={"q": "z"}).json()] == [detail["guid"]]


@pytest.mark.parametrize("tag", ["Zo\u00eb", "ベルリン", "한국", "\u0958लम", "Việt Nam"])
def test_a_tag_is_found_in_every_normal_form(client: Client, tag: str) -> None:
    composed, decomposed = unicodedata.normalize("NFC", tag), unicodedata.normalize("NFD", tag)
    for form in (composed, decomposed, tag):
        detail = create(client, tags=[form]).json()
        assert detail["tags"] == [composed]
        for text in (composed, decomposed, tag):
            assert [found["guid"] for found in client.get("/image", params={"tag": text}).json()] == [detail["guid"]]
            assert client.get("/tag", params={"prefix": text}).json() == [{"tag": composed, "images": 1}]
        body = {"guids": [detail["guid"]], "remove": [form]}
        removed = client.post("/private/image/bulk/tag", json=body, auth=ANN)
        assert removed.json()[0]["image"]["tags"] == []


def test_tags_that_nfc_makes_equal_are_duplicates(client: Client) -> None:
    problem(create(client, tags=["Zo\u00eb", "Zoe\u0308"]), 400, "tags")


def test_joiners_stay_in_tags_where_unicode_uses_them(client: Client) -> None:
    detail = create(client, tags=["\U0001f469\u200d\U0001f3a8", "می\u200cخواهم", "a\u200db"]).json()
    assert detail["tags"] == ["\U0001f469\u200d\U0001f3a8", "می\u200cخواهم", "ab"]


async def test_tags_of_earlier_versions_can_be_read_kept_found_and_removed(
    client: Client, container: Container
) -> None:
    image = ImageFactory.build(
        author=UserName("ann"), visibility=Visibility.PUBLIC, tags=(Tag("a\u202eb"), Tag("\u200b"), Tag("Zoe\u0308"))
    )
    await container.images().add(image)
    path = f"/private/image/{image.guid}"
    assert client.get(path, auth=ANN).json()["tags"] == ["a\u202eb", "\u200b", "Zoe\u0308"]
    assert len(client.get("/image", params={"tag": "a\u202eb"}).json()) == 1
    kept = client.patch(path, json={"tags": ["a\u202eb", "\u200b", "Zoe\u0308", "new"]}, auth=ANN)
    assert kept.json()["tags"] == ["a\u202eb", "\u200b", "Zo\u00eb", "new"]
    body = {"guids": [str(image.guid)], "remove": ["\u200b"], "add": ["one"]}
    changed = client.post("/private/image/bulk/tag", json=body, auth=ANN)
    assert changed.json()[0]["image"]["tags"] == ["a\u202eb", "Zo\u00eb", "new", "one"]
