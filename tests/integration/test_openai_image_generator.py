"""The OpenAI adapter against a stand-in that misbehaves in every way that was seen or can be feared."""

import asyncio
import io
import logging
import socket
import threading
import time
import traceback
from contextlib import ExitStack
from typing import Any

import pybase64
import pytest
from PIL import Image

from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.adapters.openai.retry_policy import RetryPolicy
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.errors import (
    GenerationBrokenOffError,
    GenerationError,
    GenerationFailedError,
    GenerationRateLimitedError,
    GenerationRefusedError,
    GenerationTimedOutError,
    GeneratorCredentialsError,
    GeneratorQuotaError,
    GeneratorSetupError,
    GeneratorUnavailableError,
)
from pixyproxy.domain.generation_request import GenerationRequest
from tests.doubles.hostile_svg import hostile_svg
from tests.doubles.openai_server import OpenAIServer
from tests.integration.conftest import Generators

PROMPT = "a red fox in the snow"
REQUEST = GenerationRequest(prompt=PROMPT)


@pytest.fixture
def size() -> str:
    """One whose answers do not fit into a socket's buffers."""
    return "256x256"


async def failure(generator: OpenAIImageGenerator, request: GenerationRequest = REQUEST) -> GenerationError:
    with pytest.raises(GenerationError) as raised:
        await generator.generate(request)
    return raised.value


# What is sent


async def test_only_options_that_are_set_are_sent(server: OpenAIServer, generators: Generators) -> None:
    await generators(size=None).generate(REQUEST)

    assert server.requests[0].json == {"model": "gpt-image-2", "prompt": PROMPT, "n": 1}


async def test_everything_that_is_set_is_sent(server: OpenAIServer, generators: Generators) -> None:
    settings = {
        "model": "gpt-image-2.5-flare",
        "size": "1536x864",
        "quality": "high",
        "output_format": "webp",
        "background": "transparent",
    }
    image = await generators(**settings).generate(REQUEST)

    assert server.requests[0].json == {**settings, "prompt": PROMPT, "n": 1}
    assert (image.media_type, image.width, image.height) == (MediaType.WEBP, 1536, 864)


async def test_the_options_of_a_request_are_sent_in_place_of_the_operators(
    server: OpenAIServer, generators: Generators
) -> None:
    options: dict[str, Any] = {
        "model": "gpt-image-1.5",
        "size": "1024x1536",
        "quality": "medium",
        "background": "opaque",
        "output_format": "jpeg",
        "output_compression": 40,
        "moderation": "low",
    }
    generator = generators(models=["gpt-image-2", "gpt-image-1.5"], quality="low", output_format="png")
    image = await generator.generate(GenerationRequest(prompt=PROMPT, **options))

    assert server.requests[0].json == {**options, "prompt": PROMPT, "n": 1}
    assert (image.media_type, image.width, image.height) == (MediaType.JPEG, 1024, 1536)


@pytest.mark.parametrize("send_extra", [True, False])
async def test_unknown_parameters_are_sent_if_the_operator_allows_it(
    server: OpenAIServer, generators: Generators, send_extra: bool
) -> None:
    extra = {"complexity": "high", "frame_count": 3}
    await generators(send_extra=send_extra, size=None).generate(GenerationRequest(prompt=PROMPT, extra=extra))

    expected = {"model": "gpt-image-2", "prompt": PROMPT, "n": 1}
    assert server.requests[0].json == {**expected, **(extra if send_extra else {})}


async def test_the_key_is_sent_and_compression_is_not_asked_for(
    server: OpenAIServer, generator: OpenAIImageGenerator
) -> None:
    await generator.generate(REQUEST)

    assert server.requests[0].headers["authorization"] == f"Bearer {server.api_key}"
    assert server.requests[0].headers["accept-encoding"] == "identity"


async def test_white_space_around_the_key_is_not_sent(server: OpenAIServer, generators: Generators) -> None:
    await generators(api_key=f" {server.api_key}\n").generate(REQUEST)

    assert len(server.billed) == 1


@pytest.mark.parametrize("background", [None, "opaque", "auto"])
@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp", "gif", "svg"])
async def test_every_format_is_taken(generators: Generators, output_format: str, background: str | None) -> None:
    image = await generators(output_format=output_format, background=background).generate(REQUEST)

    assert image.media_type is MediaType[output_format.upper()]
    assert (image.width, image.height) == (256, 256)


# Good answers


@pytest.mark.parametrize(
    "behaviour",
    [
        "ok",
        "slow 0.2",
        "chunked",
        "big 300000",
        "no-usage",
        "odd-usage",
        "huge-usage",
        "gzip",
        "oversized",
        "wrong-label",
        "half",
    ],
)
async def test_a_good_answer_is_an_image(server: OpenAIServer, generator: OpenAIImageGenerator, behaviour: str) -> None:
    server.script(behaviour)
    image = await generator.generate(REQUEST)

    assert Image.open(io.BytesIO(image.data)).size == (image.width, image.height)
    assert len(server.requests) == 1


async def test_the_account_of_tokens_is_kept(server: OpenAIServer, generator: OpenAIImageGenerator) -> None:
    server.script("svg-usage")
    usage = (await generator.generate(REQUEST)).usage

    assert usage is not None
    assert usage["output_tokens_details"] == {"image_tokens": 256, "text_tokens": 0}
    assert usage["svg_usage"]["total_tokens"] == 3


@pytest.mark.parametrize("behaviour", ["no-usage", "odd-usage", "huge-usage"])
async def test_a_strange_account_does_not_cost_the_image(
    server: OpenAIServer, generator: OpenAIImageGenerator, behaviour: str
) -> None:
    server.script(behaviour)

    assert (await generator.generate(REQUEST)).usage is None


async def test_the_first_of_several_images_is_kept(server: OpenAIServer, generator: OpenAIImageGenerator) -> None:
    server.script("ok", "two")

    assert (await generator.generate(REQUEST)).data == (await generator.generate(REQUEST)).data


async def test_an_svg_is_kept_as_it_came_whatever_it_can_do(server: OpenAIServer, generators: Generators) -> None:
    server.script("hostile-svg http://127.0.0.1:9")
    image = await generators(output_format="svg").generate(REQUEST)

    assert image.data == hostile_svg("http://127.0.0.1:9")
    assert (image.media_type, image.width, image.height) == (MediaType.SVG, 320, 200)


# Errors


@pytest.mark.parametrize(
    ("behaviour", "expected", "words"),
    [
        ("refuse", (GenerationRefusedError, False), "violence, self-harm"),
        ("refuse-output", (GenerationRefusedError, True), "violence, self-harm"),
        ("refuse-bare", (GenerationRefusedError, True), "refuses to draw"),
        ("content-policy", (GenerationRefusedError, True), "refuses to draw"),
        ("rate-limit", (GenerationRateLimitedError, False), "fewer requests"),
        ("rate-limit 60", (GenerationRateLimitedError, False), "fewer requests"),
        ("no-quota", (GeneratorQuotaError, False), "no quota"),
        ("billing-limit", (GeneratorQuotaError, False), "no quota"),
        ("bad-key", (GeneratorCredentialsError, False), "invalid_api_key"),
        ("forbidden", (GeneratorSetupError, False), "unsupported_country_region_territory"),
        ("invalid-size", (GeneratorSetupError, False), "status 400, code invalid_value, parameter size"),
        ("error 404", (GeneratorSetupError, False), "status 404"),
        ("error 409", (GenerationFailedError, False), "status 409"),
        ("error 422", (GeneratorSetupError, False), "status 422"),
        ("error 500", (GenerationFailedError, True), "status 500"),
        ("error 502", (GenerationBrokenOffError, True), "status 502"),
        ("error 520", (GenerationBrokenOffError, True), "status 520"),
        ("error 503", (GeneratorUnavailableError, True), "status 503"),
        ("error 504", (GenerationTimedOutError, True), "in time"),
        ("error 524", (GenerationTimedOutError, True), "in time"),
        ("error 408", (GenerationTimedOutError, True), "in time"),
        ("error 529", (GeneratorUnavailableError, True), "status 529"),
        ("redirect", (GeneratorSetupError, False), "status 307"),
        ("drop", (GenerationBrokenOffError, True), "broke off"),
        ("cut", (GenerationBrokenOffError, True), "broke off"),
        ("cut 0", (GenerationBrokenOffError, True), "broke off"),
        ("reset", (GenerationBrokenOffError, True), "broke off"),
        ("html", (GenerationFailedError, True), "a web page instead of a JSON object"),
        ("empty", (GenerationFailedError, True), "with nothing"),
        ("not-json", (GenerationFailedError, True), "ends before its image does"),
        ("nan", (GenerationFailedError, True), "something instead of a JSON object"),
        ("a-list", (GenerationFailedError, True), "something instead of a JSON object"),
        ("no-data", (GenerationFailedError, True), "has no data"),
        ("null-data", (GenerationFailedError, True), "has no data"),
        ("object-data", (GenerationFailedError, True), "data that is no list"),
        ("empty-data", (GenerationFailedError, True), "no image in its data"),
        ("string-data", (GenerationFailedError, True), "an image without content"),
        ("url-only", (GenerationFailedError, True), "could not be fetched"),
        ("null-base64", (GenerationFailedError, True), "an image without content"),
        ("empty-base64", (GenerationFailedError, True), "an image without content"),
        ("number-base64", (GenerationFailedError, True), "an image without content"),
        ("bad-base64", (GenerationFailedError, True), "not valid base64"),
        ("no-picture", (GenerationFailedError, True), "none of PNG, JPEG, WebP, GIF and SVG"),
        ("broken-svg", (GenerationFailedError, True), "SVG picture is damaged or incomplete"),
        ("html-picture", (GenerationFailedError, True), "web page"),
        ("truncated", (GenerationFailedError, True), "damaged or incomplete"),
    ],
)
async def test_each_thing_that_goes_wrong_is_one_error_of_its_own_kind_and_one_request(
    server: OpenAIServer,
    generators: Generators,
    behaviour: str,
    expected: tuple[type[GenerationError], bool],
    words: str,
) -> None:
    server.script(behaviour)
    error = await failure(generators(max_answer_size=4 << 20))

    assert (type(error), error.maybe_billed) == expected
    assert words in error.detail
    assert [request.method for request in server.requests] == ["POST"]
    assert error.maybe_billed or not server.billed
    assert error.request_id == (None if behaviour == "drop" else server.requests[0].request_id)


async def test_another_format_than_was_asked_for_is_kept(server: OpenAIServer, generators: Generators) -> None:
    server.script("wrong-format")

    assert (await generators(output_format="webp").generate(REQUEST)).media_type is MediaType.PNG


async def test_a_wrong_key_is_an_error_of_its_own(generators: Generators) -> None:
    assert type(await failure(generators(api_key="sk-wrong"))) is GeneratorCredentialsError


async def test_a_model_that_was_shut_down_is_named_by_its_parameter(generators: Generators) -> None:
    assert "code model_not_found, parameter model" in (await failure(generators(model="dall-e-3"))).detail


@pytest.mark.parametrize("behaviour", ["hang", "drip", "slow 60"])
async def test_the_time_out_bounds_the_whole_answer(
    server: OpenAIServer, generators: Generators, behaviour: str
) -> None:
    server.script(behaviour)
    began = time.monotonic()
    error = await failure(generators(timeout=0.5))

    assert type(error) is GenerationTimedOutError
    assert error.maybe_billed
    assert time.monotonic() - began < 20
    assert len(server.requests) == 1


# The id of the request


@pytest.mark.parametrize("behaviour", ["ok", "chunked", "no-usage"])
async def test_an_image_has_the_id_that_openai_gave_the_request(
    server: OpenAIServer, generator: OpenAIImageGenerator, behaviour: str
) -> None:
    server.script(behaviour)

    assert (await generator.generate(REQUEST)).request_id == server.requests[0].request_id


async def test_images_that_are_bought_at_once_have_each_its_own_id(
    server: OpenAIServer, generator: OpenAIImageGenerator
) -> None:
    prompts = [f"fox {number} [[slow {number % 3 / 10}]]" for number in range(8)]
    images = await asyncio.gather(*(generator.generate(GenerationRequest(prompt=prompt)) for prompt in prompts))

    assert [[image.request_id] for image in images] == [server.request_ids[prompt] for prompt in prompts]


@pytest.mark.parametrize("text", ["req_1", "x", "a b", "x" * 255])
async def test_an_id_of_printable_ascii_is_taken(
    server: OpenAIServer, generator: OpenAIImageGenerator, text: str
) -> None:
    server.script(f"request-id {text}")

    assert (await generator.generate(REQUEST)).request_id == text


@pytest.mark.parametrize("argument", ["", " ключ", " caf\xe9", " a\tb", " " + "x" * 256])
async def test_any_other_id_is_none_and_costs_nothing(
    server: OpenAIServer, generator: OpenAIImageGenerator, argument: str
) -> None:
    server.script(f"request-id{argument}")
    image = await generator.generate(REQUEST)

    assert image.data
    assert image.request_id is None


@pytest.mark.parametrize(("behaviour", "has_begun"), [("hang", False), ("drip", True), ("gate-body never", True)])
async def test_a_time_out_has_the_id_of_an_answer_that_has_begun(
    server: OpenAIServer, generators: Generators, behaviour: str, has_begun: bool
) -> None:
    server.script(behaviour)
    error = await failure(generators(timeout=1))

    assert type(error) is GenerationTimedOutError
    assert error.request_id == (server.requests[0].request_id if has_begun else None)


async def test_the_id_is_that_of_the_last_attempt(server: OpenAIServer, generators: Generators) -> None:
    server.script("rate-limit 0", "refuse", "rate-limit 0", "drop", "rate-limit 0", "ok")
    refused = await failure(generators())
    broken_off = await failure(generators())
    image = await generators().generate(REQUEST)

    assert refused.request_id == server.requests[1].request_id
    assert broken_off.request_id is None
    assert image.request_id == server.requests[5].request_id


# Waits


@pytest.mark.parametrize(("behaviour", "seconds"), [("rate-limit 77", 77), ("rate-limit", None), ("error 503", 1)])
async def test_the_wait_that_openai_asks_for_is_passed_on(
    server: OpenAIServer, generator: OpenAIImageGenerator, behaviour: str, seconds: float | None
) -> None:
    server.script(behaviour)

    assert (await failure(generator)).retry_after == seconds


# Secrets


@pytest.mark.parametrize("behaviour", ["ok", "echo", "bad-key", "truncated", "bad-base64", "cut", "refuse", "hang"])
async def test_no_error_and_no_log_line_has_the_key_the_prompt_or_the_content(
    server: OpenAIServer, generators: Generators, behaviour: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.script(behaviour)
    generator = generators(timeout=1)
    prompt = "verysecretwords"
    try:
        text = repr(await generator.generate(GenerationRequest(prompt=prompt)))[:0]
    except GenerationError as exc:
        text = f"{exc!s} {exc!r} {exc.detail}"
        text += "" if behaviour == "echo" else "".join(traceback.format_exception(exc))
    text += repr(generator) + "\n".join(record.getMessage() for record in caplog.records)

    for secret in (server.api_key or "", "verysecretwords", "iVBORw0KGgo"):
        assert secret not in text


# Retries


async def test_a_short_rate_limit_is_waited_for(
    server: OpenAIServer, generator: OpenAIImageGenerator, pauses: list[float]
) -> None:
    server.script("rate-limit 2", "rate-limit 0.5")
    await generator.generate(REQUEST)

    assert len(server.requests) == 3
    assert len(server.billed) == 1
    assert pauses == [2.25, 0.75]


async def test_a_rate_limit_is_waited_for_no_more_than_twice(
    server: OpenAIServer, generator: OpenAIImageGenerator, pauses: list[float]
) -> None:
    server.script(*["rate-limit 1"] * 4)

    assert (await failure(generator)).retry_after == 1
    assert len(server.requests) == 3


@pytest.mark.parametrize(("behaviour", "count"), [("rate-limit 5", 3), ("rate-limit 5.1", 1), ("rate-limit", 1)])
async def test_a_long_wait_and_one_that_openai_does_not_name_are_left_to_the_client(
    server: OpenAIServer, generator: OpenAIImageGenerator, behaviour: str, count: int
) -> None:
    server.script(*[behaviour] * 3)

    assert type(await failure(generator)) is GenerationRateLimitedError
    assert len(server.requests) == count


async def test_a_possibly_billed_failure_is_not_retried_even_after_a_retry(
    server: OpenAIServer, generator: OpenAIImageGenerator, pauses: list[float]
) -> None:
    server.script("rate-limit 1", "cut", "ok")

    assert type(await failure(generator)) is GenerationBrokenOffError
    assert len(server.requests) == 2
    assert pauses == [1.25]


async def test_a_missing_connection_is_tried_again_with_growing_pauses(
    generators: Generators, pauses: list[float], unused_tcp_port: int
) -> None:
    error = await failure(generators(base_url=f"http://127.0.0.1:{unused_tcp_port}/v1"))

    assert type(error) is GeneratorUnavailableError
    assert not error.maybe_billed
    assert error.request_id is None
    assert pauses == [0.75, 1.25]


async def test_pauses_differ_by_chance(server: OpenAIServer, generators: Generators, pauses: list[float]) -> None:
    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    server.script(*["rate-limit 1", "ok"] * 8)
    generator = generators(retry=RetryPolicy(sleep=sleep))
    for _ in range(8):
        await generator.generate(REQUEST)

    assert all(1 <= pause <= 1.5 for pause in pauses)
    assert len(set(pauses)) == 8


@pytest.mark.parametrize(
    ("limits", "retries"), [({"timeout": 10, "connect_timeout": 0.2}, 2), ({"timeout": 0.5, "connect_timeout": 10}, 0)]
)
async def test_time_that_runs_out_before_the_request_was_sent_is_surely_not_billed(
    generators: Generators, pauses: list[float], limits: dict[str, float], retries: int
) -> None:
    with ExitStack() as sockets:
        full, *waiting = [sockets.enter_context(socket.socket()) for _ in range(3)]
        full.bind(("127.0.0.1", 0))
        # The backlog is full: a further connection attempt never completes.
        full.listen(0)
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        error = await failure(generators(base_url=f"http://127.0.0.1:{full.getsockname()[1]}/v1", **limits))

    assert type(error) is GeneratorUnavailableError
    assert not error.maybe_billed
    assert len(pauses) == retries


async def test_tls_that_the_server_breaks_off_is_surely_not_billed_and_tried_again(generators: Generators) -> None:
    connections = []

    def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    error = await failure(generators(base_url=f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"))
    server.close()

    assert type(error) is GeneratorUnavailableError
    assert not error.maybe_billed
    assert len(connections) == 3


async def test_a_connection_that_can_be_made_at_last_brings_the_image(
    server: OpenAIServer, generators: Generators, unused_tcp_port: int
) -> None:
    late = OpenAIServer(port=unused_tcp_port)

    async def open_late(seconds: float) -> None:
        await late.__aenter__()

    retry = RetryPolicy(sleep=open_late, max_retries=1)
    image = await generators(base_url=f"http://127.0.0.1:{unused_tcp_port}/v1", retry=retry).generate(REQUEST)
    await late.__aexit__(None, None, None)

    assert image.data
    assert len(late.billed) == 1


async def test_no_retry_outlasts_the_time_out(
    server: OpenAIServer, generators: Generators, pauses: list[float]
) -> None:
    server.script("rate-limit 4")

    assert type(await failure(generators(timeout=3))) is GenerationRateLimitedError
    assert pauses == []


async def test_attempts_and_pauses_share_one_time_out(server: OpenAIServer, generators: Generators) -> None:
    server.script("rate-limit 2", "hang")
    began = time.monotonic()
    error = await failure(generators(timeout=3, retry=RetryPolicy(jitter=lambda: 0.0)))

    assert type(error) is GenerationTimedOutError
    assert 2.9 < time.monotonic() - began < 4.9
    assert len(server.requests) == 2


async def test_retries_end_with_the_time_out_however_many_are_allowed(
    generators: Generators, unused_tcp_port: int
) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(seconds)

    retry = RetryPolicy(max_retries=1_000, backoff=0.01, sleep=sleep)
    url = f"http://127.0.0.1:{unused_tcp_port}/v1"
    error = await failure(generators(base_url=url, timeout=1, retry=retry))

    assert type(error) is GeneratorUnavailableError
    assert pauses == sorted(pauses)
    assert 0 < sum(pauses) < 1


# Concurrency


async def test_giving_up_ends_the_request_and_is_no_generation_error(
    server: OpenAIServer, generator: OpenAIImageGenerator
) -> None:
    server.script("hang")
    task = asyncio.create_task(generator.generate(REQUEST))
    await server.began_to_draw.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (await generator.generate(REQUEST)).data


async def test_one_client_serves_all(server: OpenAIServer, generator: OpenAIImageGenerator) -> None:
    await asyncio.gather(*(generator.generate(REQUEST) for _ in range(8)))
    first = generator._endpoint
    await generator.generate(REQUEST)

    assert generator._endpoint is first
    assert server.most_at_once > 1


async def test_answers_are_decoded_one_at_a_time_and_not_on_the_event_loop(
    generator: OpenAIImageGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[threading.Thread] = set()

    def decode(text: str, *, validate: bool) -> bytes:
        threads.add(threading.current_thread())
        return b64decode(text, validate=validate)

    b64decode = pybase64.b64decode
    monkeypatch.setattr("pixyproxy.adapters.openai.encoded.pybase64.b64decode", decode)
    await asyncio.gather(*(generator.generate(REQUEST) for _ in range(8)))

    assert len(threads) == 1
    assert threading.current_thread() not in threads
