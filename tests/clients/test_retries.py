"""What clients that send requests again cost: the stand-in counts what it bills."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

import pytest

from tests.clients.endpoint import Endpoint, Upstream, a_word, running_endpoint, until
from tests.clients.program import (
    AI_SDK,
    AI_SDKS,
    ANSWER_SECONDS,
    LITELLM,
    OPENAI_NODE,
    OPENAI_PYTHON,
    OPENAI_PYTHON_1,
    OPENAI_PYTHON_ASYNC,
    OPENAI_SDKS,
    CallError,
    Client,
    Programs,
)
from tests.doubles.openai_server import KEY
from tests.doubles.relay import Relay

MODEL = "gpt-image-2"
ROUTER = "LiteLLM's Router"
RETRYING: Mapping[str, tuple[Client, str, Mapping[str, Any]]] = {
    **{client.name: (client, "generate", {}) for client in (OPENAI_PYTHON, OPENAI_NODE, AI_SDK, LITELLM)},
    ROUTER: (LITELLM, "generate_by_router", {"num_retries": 2}),
}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory, programs: Programs, upstream: Upstream) -> Iterator[Endpoint]:
    """A service that gives up on upstream soon."""
    environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": upstream.url, "PIXYPROXY_OPENAI_TIMEOUT": "8"}
    with running_endpoint(tmp_path_factory.mktemp("hasty"), programs, environment) as endpoint:
        yield endpoint


@pytest.fixture
def relay(endpoint: Endpoint) -> Iterator[Relay]:
    with Relay(endpoint.service.port) as relay:
        yield relay


def fail(endpoint: Endpoint, behaviour: str) -> Mapping[str, tuple[str, CallError]]:
    """Let all clients ask for an image at once that fails in this way; return each one's prompt and its error."""
    prompts = {name: f"{a_word()} [[{behaviour}]]" for name in RETRYING}
    futures = {
        name: endpoint.begin(client, call, model=MODEL, size="1024x1024", prompt=prompts[name], **more)
        for name, (client, call, more) in RETRYING.items()
    }
    errors = {name: future.exception(ANSWER_SECONDS) for name, future in futures.items()}
    assert [name for name, error in errors.items() if not isinstance(error, CallError)] == []
    return {name: (prompts[name], error) for name, error in errors.items() if isinstance(error, CallError)}


@pytest.mark.parametrize("behaviour", ["error 500", "error 503", "drop", "cut", "hang", "html", "no-picture"])
def test_what_may_have_been_billed_is_sent_once(endpoint: Endpoint, upstream: Upstream, behaviour: str) -> None:
    before = endpoint.posts()
    failures = fail(endpoint, behaviour)
    assert {name: error.status for name, (_, error) in failures.items()} == dict.fromkeys(RETRYING, 424)
    assert {name: upstream.billed(prompt) for name, (prompt, _) in failures.items()} == dict.fromkeys(RETRYING, 1)
    assert endpoint.posts() - before == len(RETRYING)
    assert all(failures[client.name][1].maybe_billed for client in (OPENAI_PYTHON, OPENAI_NODE, AI_SDK))


@pytest.mark.parametrize("behaviour", ["refuse", "billing-limit", "bad-key"])
def test_what_will_not_pass_is_sent_once(endpoint: Endpoint, upstream: Upstream, behaviour: str) -> None:
    before = endpoint.posts()
    failures = fail(endpoint, behaviour)
    statuses = {error.status for _, error in failures.values()}
    assert statuses == ({400} if behaviour == "refuse" else {424})
    assert endpoint.posts() - before == len(RETRYING)
    assert {upstream.billed(prompt) for prompt, _ in failures.values()} == {0}


def test_what_was_not_billed_may_be_sent_again(endpoint: Endpoint, upstream: Upstream) -> None:
    before = endpoint.posts()
    # A wait would hold up the orders of all others.
    failures = fail(endpoint, "rate-limit 0")
    assert {name: error.status for name, (_, error) in failures.items()} == dict.fromkeys(RETRYING, 429)
    assert endpoint.posts() - before >= 2 * len(RETRYING)
    assert {upstream.billed(prompt) for prompt, _ in failures.values()} == {0}


@pytest.mark.parametrize("client", [*OPENAI_SDKS, LITELLM], ids=lambda client: client.name)
def test_a_client_that_is_cut_off_gets_the_image_that_it_paid_for(
    endpoint: Endpoint, upstream: Upstream, relay: Relay, client: Client
) -> None:
    word = a_word()
    prompt = f"{word} [[gate {word}]]"
    answer = endpoint.at(relay.url).begin(client, "generate", model=MODEL, size="1024x1024", prompt=prompt)
    until(lambda: upstream.waiting(word) == 1)
    before = endpoint.posts()
    relay.cut()
    until(lambda: endpoint.posts() == before + 1)
    upstream.open(word)
    pictures = answer.result(ANSWER_SECONDS)["pictures"]
    (image,) = endpoint.images(word)
    assert [picture["sha256"] for picture in pictures] == [image["sha256"]]
    assert upstream.billed(prompt) == 1


@pytest.mark.parametrize("client", [OPENAI_PYTHON, OPENAI_PYTHON_ASYNC], ids=lambda client: client.name)
def test_a_client_that_is_cut_off_within_the_answer_gets_it_again(
    endpoint: Endpoint, upstream: Upstream, relay: Relay, client: Client
) -> None:
    word = a_word()
    # More than the buffers of the connection can take.
    prompt = f"{word} [[big 6000000]]"
    before = endpoint.posts()
    relay.hold()
    answer = endpoint.at(relay.url).begin(client, "generate", model=MODEL, size="1024x1024", prompt=prompt)
    until(lambda: [image["status"] for image in endpoint.images(word)] == ["ready"])
    until(lambda: relay.is_holding)
    relay.cut()
    until(lambda: endpoint.posts() == before + 2)
    (image,) = endpoint.images(word)
    assert [picture["sha256"] for picture in answer.result(ANSWER_SECONDS)["pictures"]] == [image["sha256"]]
    assert upstream.billed(prompt) == 1


def resent(
    endpoint: Endpoint, upstream: Upstream, relay: Relay, client: Client, headers: Mapping[str, str]
) -> tuple[int, int]:
    """Cut a client off that asks for an image; return how many images there are then, and how many were billed."""
    word = a_word()
    prompt = f"{word} [[gate {word}]]"
    answer = endpoint.at(relay.url).begin(
        client, "generate", model=MODEL, size="1024x1024", prompt=prompt, extra_headers=headers
    )
    until(lambda: upstream.waiting(word) == 1)
    before = endpoint.posts()
    relay.cut()
    until(lambda: endpoint.posts() == before + 1)
    upstream.open(word)
    images = answer.result(ANSWER_SECONDS)["pictures"] and endpoint.images(word)
    return len(images), upstream.billed(prompt)


@pytest.mark.parametrize("client", AI_SDKS, ids=lambda client: client.name)
def test_a_client_that_does_not_mark_what_it_sends_again_needs_a_key(
    endpoint: Endpoint, upstream: Upstream, relay: Relay, client: Client
) -> None:
    assert resent(endpoint, upstream, relay, client, {"Idempotency-Key": str(uuid4())}) == (1, 1)
    assert resent(endpoint, upstream, relay, client, {}) == (2, 2)


def test_a_stream_that_is_cut_off_can_be_asked_for_again_with_its_key(
    endpoint: Endpoint, upstream: Upstream, relay: Relay
) -> None:
    word, headers = a_word(), {"Idempotency-Key": str(uuid4())}
    prompt = f"{word} [[gate-body {word}]]"
    asked: dict[str, Any] = {"model": MODEL, "size": "1024x1024", "prompt": prompt, "extra_headers": headers}
    stream = endpoint.at(relay.url).begin(OPENAI_NODE, "stream", partial_images=1, **asked)
    until(lambda: upstream.waiting(word) == 1)
    relay.cut()
    assert isinstance(stream.exception(ANSWER_SECONDS), CallError)
    upstream.open(word)
    pictures = endpoint.ask(OPENAI_PYTHON, "generate", **asked)["pictures"]
    (image,) = endpoint.images(word)
    assert [picture["sha256"] for picture in pictures] == [image["sha256"]]
    assert upstream.billed(prompt) == 1


@pytest.mark.parametrize("client", [OPENAI_PYTHON, OPENAI_NODE, LITELLM], ids=lambda client: client.name)
def test_equal_requests_at_the_same_moment_are_different_orders(
    endpoint: Endpoint, upstream: Upstream, client: Client
) -> None:
    word = a_word()
    prompt = f"{word} [[gate {word}]]"
    answers = [endpoint.begin(client, "generate", model=MODEL, size="1024x1024", prompt=prompt) for _ in range(2)]
    until(lambda: upstream.waiting(word) == 2)
    upstream.open(word)
    assert [len(answer.result(ANSWER_SECONDS)["pictures"]) for answer in answers] == [1, 1]
    assert len(endpoint.images(word)) == upstream.billed(prompt) == 2


def test_an_ai_sdk_that_asks_twice_for_two_images_gets_two(endpoint: Endpoint, upstream: Upstream) -> None:
    word = a_word()
    asked = {"model": "dall-e-3", "size": "1024x1024", "n": 2, "response_format": "b64_json"}
    answer = endpoint.ask(AI_SDK, "generate", prompt=word, **asked)
    assert len(answer["pictures"]) == len(endpoint.images(word)) == upstream.billed(word) == 2


def test_a_client_whose_patience_ends_joins_its_own_order(endpoint: Endpoint, upstream: Upstream) -> None:
    clients = (OPENAI_PYTHON, OPENAI_PYTHON_ASYNC, OPENAI_PYTHON_1, OPENAI_NODE)
    words = {client.name: a_word() for client in clients}
    prompts = {name: f"{word} [[gate {word}]]" for name, word in words.items()}
    before = endpoint.posts()
    answers = {
        client.name: endpoint.begin(
            client,
            "generate",
            connection={"timeout": 3},
            model=MODEL,
            size="1024x1024",
            prompt=prompts[client.name],
        )
        for client in clients
    }
    until(lambda: endpoint.posts() == before + 2 * len(clients))
    for word in words.values():
        upstream.open(word)
    assert {name: len(answer.result(ANSWER_SECONDS)["pictures"]) for name, answer in answers.items()} == dict.fromkeys(
        answers, 1
    )
    assert {name: upstream.billed(prompt) for name, prompt in prompts.items()} == dict.fromkeys(answers, 1)
