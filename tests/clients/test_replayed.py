"""Requests as the source of programs sends them that are too large to be installed for a test."""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from tests.clients.endpoint import Endpoint, a_word
from tests.doubles.library import png

PICTURE = png("replayed")
PART = ("cde4b9a0.png", PICTURE, "image/png")
Parts = list[tuple[str, tuple[str | None, str | bytes, str] | tuple[None, str]]]


@pytest.fixture
def api(sketching: Endpoint) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sketching.base_url, timeout=60) as client:
        client.headers["Authorization"] = f"Bearer {sketching.key}"
        yield client


def picture_in(answer: httpx.Response) -> bytes:
    """Return the bytes of the one image of an answer that brings them itself."""
    assert answer.status_code == 200, answer.text
    (item,) = answer.json()["data"]
    assert item.get("url") is None
    return base64.b64decode(item["b64_json"], validate=True)


def fields(**values: object) -> Parts:
    """Return the parts of a form that are no files."""
    return [(name, (None, str(value))) for name, value in values.items()]


@pytest.mark.parametrize("model", ["gpt-image-2", "dall-e-2"])
def test_open_webui_generates(api: httpx.Client, sketching: Endpoint, model: str) -> None:
    word = a_word()
    asked: dict[str, Any] = {"model": model, "prompt": word, "n": 1, "size": "512x512"}
    if model != "gpt-image-2":
        asked["response_format"] = "b64_json"
    who = {"X-OpenWebUI-User-Id": "7", "X-OpenWebUI-User-Email": "someone@example.org"}
    assert picture_in(api.post("/images/generations", json=asked, headers=who))
    (image,) = sketching.images(word)
    assert (image["sender"]["model"], image["sender"]["user"]) == (model, "someone@example.org")


def test_open_webui_edits(api: httpx.Client, sketching: Endpoint) -> None:
    word = a_word()
    files: Parts = [("image[]", PART), *fields(model="gpt-image-2", prompt=word, n=1, size="1024x1024")]
    assert picture_in(api.post("/images/edits", files=files))
    (image,) = sketching.images(word)
    assert [reference["byte_size"] for reference in image["references"]] == [len(PICTURE)]


@pytest.mark.parametrize("is_azure", [False, True], ids=["with its key", "as on Azure"])
def test_librechat_generates(api: httpx.Client, sketching: Endpoint, is_azure: bool) -> None:
    how: dict[str, Any] = {}
    if is_azure:
        del api.headers["Authorization"]
        how = {"headers": {"api-key": sketching.key}, "params": {"api-version": "2025-04-01-preview"}}
    auto = {"background": "auto", "quality": "auto", "size": "auto", "output_format": "png"}
    answer = api.post("/images/generations", json={"model": "gpt-image-1", "prompt": "a fox", "n": 1, **auto}, **how)
    assert picture_in(answer).startswith(b"\x89PNG")


def test_librechat_edits_with_a_body_of_unknown_length(api: httpx.Client, sketching: Endpoint) -> None:
    word = a_word()
    files: Parts = [*fields(model="gpt-image-1", prompt=word, quality="auto", size="auto"), ("image[]", PART)]
    whole = httpx.Request("POST", api.base_url, files=files)
    whole.read()
    answer = api.post(
        "/images/edits", content=iter([whole.content]), headers={"Content-Type": whole.headers["Content-Type"]}
    )
    assert "content-length" not in answer.request.headers
    assert picture_in(answer)
    assert len(sketching.images(word)) == 1


def test_n8n_tests_its_credential_and_lists_models(api: httpx.Client) -> None:
    answer = api.get("/models", headers={"OpenAI-Organization": ""})
    assert answer.status_code == 200
    assert [m for m in answer.json()["data"] if "gpt-image" in m["id"] or "dall-e" in m["id"]] == answer.json()["data"]
    assert api.get("/models", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_n8n_generates_and_edits_with_files_before_fields(api: httpx.Client) -> None:
    asked = {"prompt": "a fox", "model": "gpt-image-2", "n": 1, "quality": "auto", "size": "1024x1024"}
    assert picture_in(api.post("/images/generations", json=asked))
    files: Parts = [("image[]", PART), ("mask", PART), *fields(**asked)]
    assert picture_in(api.post("/images/edits", files=files))


def test_lobechat_asks_for_a_fidelity_that_its_model_does_not_have(api: httpx.Client) -> None:
    files: Parts = [("image", PART), *fields(model="gpt-image-2", prompt="a fox", n=1, input_fidelity="high")]
    assert picture_in(api.post("/images/edits", files=files))
    drawn = {"seed": 7, "steps": 20, "cfg": 7.5, "aspectRatio": "1:1"}
    asked = {"model": "gpt-image-2", "n": 1, "prompt": "a fox", **drawn}
    assert picture_in(api.post("/images/generations", json=asked))


def test_cherry_studio_repeats_the_part_of_the_picture(api: httpx.Client, sketching: Endpoint) -> None:
    word = a_word()
    files: Parts = [("image", PART), ("image", PART), *fields(model="gpt-image-2", prompt=word)]
    assert picture_in(api.post("/images/edits", files=files))
    (image,) = sketching.images(word)
    assert len(image["references"]) == 2


def test_langchain_for_javascript_gets_a_url(api: httpx.Client) -> None:
    old: Mapping[str, object] = {"style": "vivid", "quality": "standard", "size": "1024x1024", "response_format": "url"}
    answer = api.post("/images/generations", json={"model": "dall-e-3", "prompt": "a fox", "n": 1, **old})
    assert answer.status_code == 200, answer.text
    (item,) = answer.json()["data"]
    assert item.get("b64_json") is None
    for headers in ({}, {"Authorization": api.headers["Authorization"]}):
        fetched = httpx.get(item["url"], headers=headers)
        assert (fetched.status_code, fetched.headers["Content-Type"]) == (200, "image/png")


def test_codex_sends_pictures_as_data_urls(api: httpx.Client, sketching: Endpoint) -> None:
    word = a_word()
    url = "data:image/png;base64," + base64.b64encode(PICTURE).decode()
    assert picture_in(
        api.post("/images/edits", json={"model": "gpt-image-2", "prompt": word, "images": [{"image_url": url}]})
    )
    (image,) = sketching.images(word)
    assert [reference["byte_size"] for reference in image["references"]] == [len(PICTURE)]
