"""Images and edits as real clients ask for them, from a service that draws sketches and from one that buys images."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.clients.endpoint import Endpoint, a_word
from tests.clients.program import (
    AI_SDK,
    AI_SDK_COMPATIBLE,
    AI_SDKS,
    ALL,
    LANGCHAIN,
    LITELLM,
    OPENAI_NODE,
    OPENAI_PYTHON,
    OPENAI_PYTHON_1,
    OPENAI_PYTHON_ASYNC,
    OPENAI_SDKS,
    CallError,
    Client,
)
from tests.doubles.library import png

MODEL = "gpt-image-2"
# Sketches are small, and images of upstream's model 1024x1024.
SIZE = "512x512"
PROGRAM_NAMES = {
    OPENAI_PYTHON.name: "OpenAI/Python",
    OPENAI_PYTHON_1.name: "OpenAI/Python",
    OPENAI_PYTHON_ASYNC.name: "AsyncOpenAI/Python",
    OPENAI_NODE.name: "OpenAI/JS",
    AI_SDK.name: "ai/",
    AI_SDK_COMPATIBLE.name: "ai/",
    LITELLM.name: "OpenAI/Python",
}
SDK_ERRORS = {400: "BadRequestError", 401: "AuthenticationError", 404: "NotFoundError"}


@pytest.fixture(scope="module", params=["sketching", "buying"])
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    endpoint: Endpoint = request.getfixturevalue(request.param)
    return endpoint


@pytest.fixture(params=ALL, ids=lambda client: client.name)
def client(request: pytest.FixtureRequest) -> Client:
    chosen: Client = request.param
    return chosen


@pytest.fixture(params=OPENAI_SDKS, ids=lambda client: client.name)
def sdk(request: pytest.FixtureRequest) -> Client:
    chosen: Client = request.param
    return chosen


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Paths of three pictures, one of whose names is not of ASCII alone."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / name for name in ("küste.png", "b.png", "c.png")]
    for path in paths:
        path.write_bytes(png(path.name))
    return [str(path) for path in paths]


def generate(endpoint: Endpoint, client: Client, prompt: str, **options: Any) -> dict[str, Any]:
    asked = {"model": MODEL, "size": SIZE, "quality": "low", **options}
    answer: dict[str, Any] = endpoint.ask(client, "generate", prompt=prompt, **asked)
    return answer


def asked_model(image: dict[str, Any]) -> str:
    """Return the id that was asked for, which may stand for another one."""
    model: str = image["sender"]["model"] or image["model"]
    return model


def test_an_image_is_kept_and_the_client_gets_its_bytes(endpoint: Endpoint, client: Client) -> None:
    word = a_word()
    answer = generate(endpoint, client, f"a red {word}")
    (image,) = endpoint.images(word)
    assert [picture["sha256"] for picture in answer["pictures"]] == [image["sha256"]]
    assert answer["pictures"][0]["media_type"] == "image/png"
    assert (image["status"], image["visibility"]) == ("ready", "private")
    assert asked_model(image) == MODEL
    assert image["author"] == endpoint.service.login[0]
    assert image["sender"]["client"].startswith(PROGRAM_NAMES[client.name])
    assert image["sender"]["key"] == "clients"


def test_a_sketch_has_no_usage_and_a_bought_image_has_that_of_upstream(endpoint: Endpoint, sdk: Client) -> None:
    word = a_word()
    answer = generate(endpoint, sdk, word)
    (image,) = endpoint.images(word)
    usage = (image["result"] or {}).get("usage")
    assert (answer["usage"] is None) == (usage is None) == (not endpoint.is_buying)
    if usage is not None:
        assert answer["usage"]["total_tokens"] == usage["total_tokens"] > 0


def test_several_images_of_one_request_are_all_kept(endpoint: Endpoint, client: Client) -> None:
    word = a_word()
    answer = generate(endpoint, client, word, n=2)
    images = endpoint.images(word)
    assert len(images) == 2
    assert sorted(p["sha256"] for p in answer["pictures"]) == sorted(image["sha256"] for image in images)
    if answer["usage"] and client in OPENAI_SDKS:
        told = sum(image["result"]["usage"]["total_tokens"] for image in images)
        assert answer["usage"]["total_tokens"] == told


def test_the_prompt_alone_is_enough(endpoint: Endpoint, sdk: Client) -> None:
    word = a_word()
    answer = endpoint.ask(sdk, "generate", prompt=word)
    (image,) = endpoint.images(word)
    (picture,) = answer["pictures"]
    assert (picture["guid"], picture["through"]) == (image["guid"], "b64_json")
    assert image["model"] == (MODEL if endpoint.is_buying else "sketch")
    assert type(answer["created"]) is int
    assert answer["request_id"]


def test_all_options_arrive_and_the_answer_says_what_the_bytes_are(endpoint: Endpoint, sdk: Client) -> None:
    word = a_word()
    options: dict[str, object] = {"output_format": "jpeg", "output_compression": 80, "background": "opaque"}
    # A sketch is not moderated.
    moderation = {"moderation": "low"} if endpoint.is_buying else {}
    answer = generate(endpoint, sdk, word, user="someone@example.org", moderation="low", **options)
    (image,) = endpoint.images(word)
    assert answer["pictures"][0]["media_type"] == image["media_type"] == "image/jpeg"
    assert answer["output_format"] == "jpeg"
    assert (options | moderation).items() <= image["request"].items()
    assert image["sender"]["user"] == "someone@example.org"


def test_options_of_a_provider_arrive(endpoint: Endpoint) -> None:
    word = a_word()
    generate(endpoint, AI_SDK_COMPATIBLE, word, background="opaque", user="someone", seed=7)
    (image,) = endpoint.images(word)
    assert image["request"]["background"] == "opaque"
    assert image["request"]["extra"] == {"seed": 7}
    assert image["sender"]["user"] == "someone"


def test_unknown_fields_are_kept_without_what_may_be_secret(endpoint: Endpoint) -> None:
    word = a_word()
    fields = {"seed": 7, "negative_prompt": "blur", "metadata": {"a": 1}, "provider": None}
    hidden = {"extra_headers": {"x": "y"}, "api_key": "secret"}
    generate(endpoint, OPENAI_PYTHON, word, extra_body=fields | hidden)
    (image,) = endpoint.images(word)
    assert image["request"]["extra"] == {"seed": 7, "negative_prompt": "blur", "metadata": {"a": 1}}


def test_headers_that_litellm_repeats_in_the_body_are_not_kept(endpoint: Endpoint) -> None:
    word = a_word()
    generate(endpoint, LITELLM, word, extra_headers={"X-Anything": "1"}, seed=7)
    (image,) = endpoint.images(word)
    assert image["request"]["extra"] == {"seed": 7}


@pytest.mark.parametrize("chosen", [*OPENAI_SDKS, AI_SDK_COMPATIBLE], ids=lambda client: client.name)
def test_a_url_brings_the_image_to_a_client_without_a_key(endpoint: Endpoint, chosen: Client) -> None:
    word = a_word()
    answer = generate(endpoint, chosen, word, response_format="url")
    (image,) = endpoint.images(word)
    (picture,) = answer["pictures"]
    assert picture["sha256"] == image["sha256"]
    if chosen in OPENAI_SDKS:
        assert (picture["through"], picture["content_type"]) == ("url", "image/png")
        assert picture["url"].partition("?")[0].endswith(".png")


def test_b64_json_can_be_asked_for(endpoint: Endpoint, sdk: Client) -> None:
    for model in (MODEL, "dall-e-3"):
        (picture,) = generate(endpoint, sdk, a_word(), model=model, response_format="b64_json")["pictures"]
        assert picture["through"] == "b64_json"


def test_ids_and_options_of_older_models_answer_as_they_did(endpoint: Endpoint, sdk: Client) -> None:
    word = a_word()
    answer = generate(endpoint, sdk, word, model="dall-e-3", quality="standard", style="vivid", size="1792x1024")
    (image,) = endpoint.images(word)
    (picture,) = answer["pictures"]
    assert (picture["through"], picture["sha256"]) == ("url", image["sha256"])
    assert image["model"] == (MODEL if endpoint.is_buying else "sketch")
    assert asked_model(image) == "dall-e-3"
    assert image["request"]["quality"] == "medium"
    assert image["request"]["size"] in {"1536x1024", "1792x1024"}


def test_equal_requests_of_the_ai_sdk_at_the_same_moment_are_different_images(endpoint: Endpoint) -> None:
    word = a_word()
    # For ids that it does not know, it asks for one image at a time.
    answer = generate(endpoint, AI_SDK, word, model="dall-e-3", quality="standard", response_format="b64_json", n=2)
    assert len(answer["pictures"]) == 2
    assert [image["batch"] for image in endpoint.images(word)] == [None, None]


@pytest.mark.parametrize(
    "options",
    [
        {"model": "dall-e-2", "n": 2, "size": "256x256"},
        {"model": MODEL, "default_query": {"response_format": "url"}},
    ],
    ids=["by the id", "by the query"],
)
def test_langchain_gets_the_urls_that_it_needs(endpoint: Endpoint, options: dict[str, Any]) -> None:
    word = a_word()
    answer = endpoint.ask(LANGCHAIN, "generate", prompt=word, **options)
    images = endpoint.images(word)
    assert len(images) == options.get("n", 1)
    assert sorted(p["sha256"] for p in answer["pictures"]) == sorted(image["sha256"] for image in images)


def test_one_picture_is_edited(endpoint: Endpoint, client: Client, pictures: list[str]) -> None:
    word = a_word()
    answer = endpoint.ask(client, "edit", model=MODEL, prompt=word, size=SIZE, image=pictures[0])
    (image,) = endpoint.images(word)
    assert [picture["sha256"] for picture in answer["pictures"]] == [image["sha256"]]
    (reference,) = image["references"]
    assert reference["media_type"] == "image/png"
    assert reference["byte_size"] == Path(pictures[0]).stat().st_size


def test_several_pictures_are_edited_with_a_mask(endpoint: Endpoint, client: Client, pictures: list[str]) -> None:
    word = a_word()
    answer = endpoint.ask(client, "edit", model=MODEL, prompt=word, size=SIZE, n=2, image=pictures, mask=pictures[0])
    images = endpoint.images(word)
    assert len(images) == len(answer["pictures"]) == 2
    sizes = [Path(path).stat().st_size for path in pictures]
    assert [[reference["byte_size"] for reference in image["references"]] for image in images] == [sizes] * 2
    assert all(image["mask"]["byte_size"] == sizes[0] for image in images)


@pytest.mark.parametrize("chosen", [*OPENAI_SDKS, LITELLM], ids=lambda client: client.name)
def test_an_edit_answers_with_a_url(endpoint: Endpoint, chosen: Client, pictures: list[str]) -> None:
    answer = endpoint.ask(
        chosen, "edit", model=MODEL, prompt=a_word(), image=pictures[0], size=SIZE, response_format="url"
    )
    assert [picture["through"] for picture in answer["pictures"]] == ["url"]


def test_the_same_key_brings_the_same_image(endpoint: Endpoint, client: Client) -> None:
    word, headers = a_word(), {"Idempotency-Key": str(uuid4())}
    answers = [generate(endpoint, client, word, extra_headers=headers)["pictures"] for _ in range(2)]
    (image,) = endpoint.images(word)
    assert [[picture["sha256"] for picture in answer] for answer in answers] == [[image["sha256"]]] * 2
    with pytest.raises(CallError) as caught:
        generate(endpoint, client, "something else", extra_headers=headers)
    assert caught.value.status in {400, 422}


@pytest.mark.parametrize("chosen", [OPENAI_PYTHON, OPENAI_PYTHON_1, OPENAI_NODE], ids=lambda client: client.name)
def test_models_are_listed_and_found(endpoint: Endpoint, chosen: Client) -> None:
    names = endpoint.ask(chosen, "models")
    assert MODEL in names
    assert all("gpt-image" in name for name in names)
    for name in (MODEL, "dall-e-3"):
        assert endpoint.ask(chosen, "model", name=name) == name
    with pytest.raises(CallError) as caught:
        endpoint.ask(chosen, "model", name="no-such-model")
    assert (caught.value.kind, caught.value.code) == ("NotFoundError", "model_not_found")


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"prompt": " "}, 400, "prompt"),
        ({"size": "0x0"}, 400, "size"),
        ({"model": "no-such-model"}, 404, "model"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_refusal_names_the_parameter_and_is_sent_once(
    endpoint: Endpoint, client: Client, fields: dict[str, Any], status: int, param: str
) -> None:
    before = endpoint.posts()
    with pytest.raises(CallError) as caught:
        generate(endpoint, client, **{"prompt": "a fox", **fields})
    error = caught.value
    assert error.status == status
    assert error.message
    if client is not LITELLM:
        assert error.param == param
    assert error.kind == ("AI_APICallError" if client in AI_SDKS else SDK_ERRORS[status])
    assert endpoint.posts() == before + 1


@pytest.mark.parametrize("chosen", [*OPENAI_SDKS, LITELLM], ids=lambda client: client.name)
def test_too_many_images_are_refused(endpoint: Endpoint, chosen: Client) -> None:
    with pytest.raises(CallError) as caught:
        generate(endpoint, chosen, "a fox", n=11)
    assert caught.value.kind == "BadRequestError"
    assert "n" in caught.value.message


def test_a_wrong_key_is_refused(endpoint: Endpoint, client: Client) -> None:
    before = endpoint.posts()
    with pytest.raises(CallError) as caught:
        endpoint.ask(client, "generate", connection={"api_key": "sk-wrong"}, model=MODEL, prompt="a fox")
    assert caught.value.status == 401
    if client is not LITELLM:
        assert caught.value.code == "invalid_api_key"
    assert caught.value.kind == ("AI_APICallError" if client in AI_SDKS else SDK_ERRORS[401])
    assert endpoint.posts() == before + 1


def test_an_edit_without_a_picture_is_refused(endpoint: Endpoint) -> None:
    with pytest.raises(CallError) as caught:
        endpoint.ask(OPENAI_PYTHON, "edit", model=MODEL, prompt="a fox", image=[])
    assert (caught.value.kind, caught.value.param) == ("BadRequestError", "image")


def test_a_path_that_there_is_not_is_an_error_that_clients_read(endpoint: Endpoint) -> None:
    with pytest.raises(CallError) as caught:
        endpoint.ask(OPENAI_PYTHON, "generate", connection={"base_url": f"{endpoint.base_url}/v1"}, prompt="a fox")
    assert caught.value.kind == "NotFoundError"
    assert "/v1" in caught.value.message
