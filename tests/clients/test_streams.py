"""Streams as the official clients read them, and as they pass a real nginx."""

import base64
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.endpoint import Endpoint, Upstream, a_word
from tests.clients.program import (
    ANSWER_SECONDS,
    OPENAI_NODE,
    OPENAI_PYTHON,
    OPENAI_PYTHON_1,
    OPENAI_SDKS,
    CallError,
    Client,
)
from tests.doubles.library import png
from tests.doubles.nginx import Nginx, documented

MODEL = "gpt-image-2"
# Sketches are small, and images of upstream's model 1024x1024.
SIZE = "512x512"
FIELDS = ("created_at", "size", "quality", "background", "output_format")


@pytest.fixture(scope="module", params=["sketching", "buying"])
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    endpoint: Endpoint = request.getfixturevalue(request.param)
    return endpoint


@pytest.mark.parametrize("client", OPENAI_SDKS, ids=lambda client: client.name)
def test_partial_images_come_before_the_final_one(endpoint: Endpoint, client: Client) -> None:
    word = a_word()
    *partial, final = endpoint.ask(client, "stream", model=MODEL, prompt=word, size=SIZE, partial_images=2)
    (image,) = endpoint.images(word)
    assert [event["type"] for event in partial] == ["image_generation.partial_image"] * len(partial)
    assert [event["partial_image_index"] for event in partial] == list(range(len(partial)))
    assert 1 <= len(partial) <= 2
    assert (final["type"], final["sha256"]) == ("image_generation.completed", image["sha256"])
    assert all(event[name] is not None for event in (*partial, final) for name in FIELDS)
    if final["usage"] is not None:
        assert final["usage"]["total_tokens"] == image["result"]["usage"]["total_tokens"]


@pytest.mark.parametrize("client", [OPENAI_PYTHON, OPENAI_PYTHON_1, OPENAI_NODE], ids=lambda client: client.name)
def test_an_edit_is_streamed(endpoint: Endpoint, client: Client, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("picture") / "a.png"
    path.write_bytes(png("a"))
    word = a_word()
    *partial, final = endpoint.ask(
        client, "stream_edit", model=MODEL, prompt=word, image=str(path), size=SIZE, partial_images=1
    )
    (image,) = endpoint.images(word)
    assert [event["type"] for event in partial] == ["image_edit.partial_image"]
    assert (final["type"], final["sha256"]) == ("image_edit.completed", image["sha256"])


@pytest.mark.parametrize("client", OPENAI_SDKS, ids=lambda client: client.name)
def test_several_images_are_streamed_one_after_the_other(endpoint: Endpoint, client: Client) -> None:
    word = a_word()
    events = endpoint.ask(client, "stream", model=MODEL, prompt=word, size=SIZE, n=2, partial_images=1)
    kinds = [event["type"].partition(".")[2] for event in events]
    # What is final when its turn comes has no partial images any more.
    assert (kinds[0], kinds[-1], set(kinds)) == ("partial_image", "completed", {"partial_image", "completed"})
    final = [event["sha256"] for event, kind in zip(events, kinds, strict=True) if kind == "completed"]
    assert sorted(final) == sorted(image["sha256"] for image in endpoint.images(word))


@pytest.mark.parametrize("client", OPENAI_SDKS, ids=lambda client: client.name)
def test_what_is_refused_before_the_stream_is_an_ordinary_error(endpoint: Endpoint, client: Client) -> None:
    with pytest.raises(CallError) as caught:
        endpoint.ask(client, "stream", model=MODEL, prompt="a fox", n=99)
    assert (caught.value.kind, caught.value.param) == ("BadRequestError", "n")


@pytest.mark.parametrize("client", OPENAI_SDKS, ids=lambda client: client.name)
def test_a_failure_within_a_stream_is_an_error_that_is_not_sent_again(
    buying: Endpoint, upstream: Upstream, client: Client
) -> None:
    prompt = f"{a_word()} [[stream-error 1 moderation_blocked image_generation_user_error]]"
    with pytest.raises(CallError) as caught:
        buying.ask(client, "stream", model=MODEL, prompt=prompt, size=SIZE, partial_images=1)
    assert caught.value.kind == "APIError"
    assert caught.value.code
    assert upstream.billed(prompt) == 1


@pytest.fixture(scope="module", params=["caching.conf", "offload.conf"])
def nginx(request: pytest.FixtureRequest, buying: Endpoint) -> Iterator[Nginx]:
    replaced = {
        "listen 80;": "listen {port};",
        "127.0.0.1:8000": f"127.0.0.1:{buying.service.port}",
        "/var/log/nginx/pixyproxy.log": "{folder}/access.log",
    }
    own = {
        "caching.conf": {"/var/cache/pixyproxy": "{folder}/cache"},
        "offload.conf": {"/srv/pixyproxy/data/images/": f"{buying.service.folder}/data/images/"},
    }
    with Nginx(documented(request.param, replaced | own[request.param])) as nginx:
        yield nginx


def events(response: httpx.Response) -> Iterator[str]:
    """Yield the comments and the kinds of the events of a stream as they come in."""
    for line in response.iter_lines():
        if line.startswith((":", "event: ")):
            yield line.partition(": ")[2]


def streaming(nginx: Nginx, endpoint: Endpoint, body: dict[str, Any]) -> AbstractContextManager[httpx.Response]:
    return httpx.stream(
        "POST",
        f"{nginx.url}/v1/images/generations",
        json={"model": MODEL, "size": "1024x1024", "stream": True, **body},
        headers={"Authorization": f"Bearer {endpoint.key}"},
        timeout=ANSWER_SECONDS,
    )


def test_nginx_passes_each_event_on_as_it_comes(nginx: Nginx, buying: Endpoint, upstream: Upstream) -> None:
    word = a_word()
    with streaming(nginx, buying, {"prompt": f"{word} [[gate-body {word}]]", "partial_images": 2}) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        coming = (name for name in events(response) if "." in name)
        assert [next(coming), next(coming)] == ["image_generation.partial_image"] * 2
        # The final picture is not there yet.
        assert upstream.waiting(word) == 1
        upstream.open(word)
        assert list(coming) == ["image_generation.completed"]


@pytest.mark.parametrize("nginx", ["caching.conf"], indirect=True)
def test_nginx_passes_comments_on_while_there_is_nothing_else(
    nginx: Nginx, buying: Endpoint, upstream: Upstream
) -> None:
    word = a_word()
    with streaming(nginx, buying, {"prompt": f"{word} [[gate {word}]]"}) as response:
        coming = events(response)
        assert "." not in next(coming)
        assert upstream.waiting(word) == 1
        upstream.open(word)
        assert [name for name in coming if "." in name] == ["image_generation.completed"]


@pytest.mark.parametrize("client", [OPENAI_PYTHON, OPENAI_NODE], ids=lambda client: client.name)
def test_clients_stream_and_upload_large_pictures_through_nginx(
    nginx: Nginx, buying: Endpoint, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "large.png"
    # nginx refuses bodies of more than 1 MiB by default.
    path.write_bytes(png("large", width=1_200, height=1_000))
    assert path.stat().st_size > 2 << 20
    word = a_word()
    *_, final = buying.at(nginx.url).ask(
        client, "stream_edit", model=MODEL, prompt=word, image=str(path), size="1024x1024", partial_images=1
    )
    (image,) = buying.images(word)
    assert final["sha256"] == image["sha256"]
    assert image["references"][0]["byte_size"] == path.stat().st_size


def test_nginx_passes_pictures_in_json_on(nginx: Nginx, buying: Endpoint) -> None:
    data_url = "data:image/png;base64," + base64.b64encode(png("json", width=1_200, height=1_000)).decode()
    word = a_word()
    answer = httpx.post(
        f"{nginx.url}/v1/images/edits",
        json={"model": MODEL, "prompt": word, "images": [{"image_url": data_url}]},
        headers={"Authorization": f"Bearer {buying.key}"},
        timeout=ANSWER_SECONDS,
    )
    assert answer.status_code == 200, answer.text
    assert len(buying.images(word)) == 1


def test_urls_lead_back_through_nginx(nginx: Nginx, buying: Endpoint) -> None:
    answer = buying.at(nginx.url).ask(OPENAI_PYTHON, "generate", model="dall-e-3", prompt=a_word())
    assert answer["pictures"][0]["url"].startswith(nginx.url)
