"""How the OpenAI adapter handles paid answers, over a real socket."""

import asyncio
import gc
import io
import json
import logging
import time
import weakref
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from PIL import Image

from pixyproxy.adapters.openai.retry_policy import RetryPolicy
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.errors import (
    GenerationBrokenOffError,
    GenerationError,
    GenerationFailedError,
    GenerationOptionError,
    GenerationRateLimitedError,
    GenerationRefusedError,
    GenerationTimedOutError,
    GeneratorCredentialsError,
    GeneratorQuotaError,
    GeneratorSetupError,
    GeneratorUnavailableError,
)
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.generation_result import GenerationResult
from pixyproxy.domain.ports import GeneratedImage
from tests.doubles.openai_server import ANSWERS, OpenAIServer, Order
from tests.doubles.strange_answers import CODINGS, ENCODINGS, HEAPS, LABELS, USAGES
from tests.integration.conftest import Generators

PROMPT = "a red fox in the snow"
REQUEST = GenerationRequest(prompt=PROMPT)
PICTURE = Order({"prompt": PROMPT, "size": "64x64"}).picture()


@pytest.fixture
def retry() -> RetryPolicy:
    return RetryPolicy(max_retries=0)


@pytest.fixture
def ports(server: OpenAIServer, unused_tcp_port: int) -> dict[str, int]:
    return {"free": unused_tcp_port, "server": server.port}


Generate = Callable[..., Any]


@pytest.fixture
def generate(server: OpenAIServer, generators: Generators) -> Generate:
    """Let the stand-in behave in some way once, and return the adapter's result."""

    async def generate(behaviour: str, **settings: Any) -> GeneratedImage:
        server.script(behaviour)
        return await generators(**settings).generate(REQUEST)

    return generate


async def failure(generation: Any) -> GenerationError:
    with pytest.raises(GenerationError) as raised:
        await generation
    return raised.value


def told(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """Return the facts of the one line that was logged of the upstream."""
    (record,) = (record for record in caplog.records if record.name == "pixyproxy.openai")
    return vars(record)


# Pictures


@pytest.mark.parametrize("name", ENCODINGS)
async def test_a_picture_is_found_however_it_is_written(generate: Generate, name: str) -> None:
    assert (await generate(f"encoding {name}")).data == PICTURE


@pytest.mark.parametrize("name", CODINGS)
async def test_a_picture_is_found_whatever_is_said_or_done_about_compression(generate: Generate, name: str) -> None:
    image = await generate(f"coding {name}")

    assert image.data == PICTURE
    assert image.usage["total_tokens"] > 0


@pytest.mark.parametrize("label", LABELS)
async def test_a_picture_has_the_type_of_its_bytes_whatever_it_is_called(generate: Generate, label: str) -> None:
    assert (await generate(f"label {label}" if label else "label", output_format="webp")).media_type is MediaType.WEBP


@pytest.mark.parametrize("name", USAGES)
async def test_an_odd_account_costs_the_account_and_not_the_picture(generate: Generate, name: str) -> None:
    image = await generate(f"usage {name}")

    assert image.data == PICTURE
    assert image.usage is None


@pytest.mark.parametrize("kind", HEAPS)
async def test_a_picture_is_found_after_a_heap_of_useless_json(generate: Generate, kind: str) -> None:
    assert (await generate(f"heap {kind} 2")).data == PICTURE


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
async def test_a_bomb_is_inflated_no_further_than_an_answer_may_be_large(generate: Generate, coding: str) -> None:
    assert (await generate(f"bomb {coding} 64", max_answer_size=1 << 20)).data == PICTURE


@pytest.mark.parametrize("behaviour", ["part", "part 0"])
async def test_an_answer_that_breaks_off_after_the_picture_is_a_picture(generate: Generate, behaviour: str) -> None:
    assert (await generate(behaviour)).data == PICTURE


@pytest.mark.parametrize("left", [1, 2, 5, 100])
async def test_an_answer_that_breaks_off_before_has_its_bytes_to_be_kept(generate: Generate, left: int) -> None:
    error = await failure(generate(f"part {left}"))

    assert type(error) is GenerationBrokenOffError
    assert error.quarantine is not None
    assert PICTURE.startswith(error.quarantine)
    assert len(PICTURE) - len(error.quarantine) <= left


async def test_an_answer_that_comes_too_slowly_has_its_bytes_to_be_kept(generate: Generate) -> None:
    error = await failure(generate("gate-body never", timeout=1))

    assert type(error) is GenerationTimedOutError
    assert error.quarantine
    assert PICTURE.startswith(error.quarantine)


async def test_an_answer_of_which_only_the_head_comes_has_nothing_to_be_kept(generate: Generate) -> None:
    assert (await failure(generate("cut 0"))).quarantine is None


@pytest.mark.parametrize("behaviour", ["html", "a-list", "no-data", "url-only", "bad-base64", "not-json", "nan"])
async def test_an_answer_without_a_picture_is_to_be_kept_as_it_came(generate: Generate, behaviour: str) -> None:
    error = await failure(generate(behaviour))

    assert error.maybe_billed
    assert error.quarantine


@pytest.mark.parametrize("behaviour", ["html", "url-only", "no-picture", "part 2", "gate-body never"])
async def test_an_error_and_what_it_holds_are_freed_at_once(generate: Generate, behaviour: str) -> None:
    errors: list[weakref.ref[GenerationError]] = []
    gc.collect()
    gc.disable()
    try:
        await generate(behaviour, timeout=1)
    except GenerationError as exc:
        errors.append(weakref.ref(exc))
    # The decoder's thread holds its result a moment longer.
    await asyncio.sleep(0.1)
    is_gone = errors[0]() is None
    gc.enable()

    assert is_gone


async def test_a_picture_that_can_not_be_shown_is_to_be_kept_by_itself(generate: Generate) -> None:
    assert (await failure(generate("no-picture"))).quarantine == b"GIF is only a word here, not a picture"


async def test_an_answer_that_is_too_large_and_has_no_picture_is_to_be_kept_as_far_as_it_came(
    generate: Generate,
) -> None:
    error = await failure(generate("heap deep 4", max_answer_size=1 << 20))

    assert type(error) is GenerationFailedError
    assert "larger than 1,048,576 bytes" in error.detail
    assert error.quarantine is not None
    assert len(error.quarantine) == 1 << 20


@pytest.mark.parametrize("path", sorted(ANSWERS.glob("*.json")), ids=lambda path: path.stem)
async def test_each_answer_that_was_seen_elsewhere_means_what_it_says(generate: Generate, path: Any) -> None:
    expected: dict[str, Any] = {
        "answer-200-with-error": (GenerationRefusedError, False),
        "answer-base64-line-breaks": MediaType.PNG,
        "answer-data-uri-prefix": MediaType.PNG,
        "answer-url-data-uri": MediaType.PNG,
        "answer-webp-for-png": MediaType.WEBP,
        "error-400-content_filter": (GenerationRefusedError, True),
        "error-403-org-verification": (GeneratorSetupError, False),
    }
    generation = generate(f"case {path.name}", output_format="png")
    if isinstance(expected[path.stem], MediaType):
        image = await generation
        assert image.media_type is expected[path.stem]
        with Image.open(io.BytesIO(image.data)) as picture:
            assert picture.size == (image.width, image.height)
    else:
        error = await failure(generation)
        assert (type(error), error.maybe_billed) == expected[path.stem]


# Errors


@pytest.mark.parametrize(
    ("answer", "kind", "is_billed"),
    [
        ('{"error": {"code": "content_policy_violation"}}', GenerationRefusedError, False),
        ('{"error": {"code": "x", "innererror": {"code": "ContentFilter"}}}', GenerationRefusedError, False),
        ('{"error": {"code": "rate_limit_exceeded"}}', GenerationRateLimitedError, False),
        ('{"error": {"code": 429, "message": "slow down"}}', GenerationRateLimitedError, False),
        ('{"error": {"code": "402"}}', GeneratorQuotaError, False),
        ('{"error": {"code": "invalid_api_key"}}', GeneratorCredentialsError, False),
        ('{"error": {"code": "insufficient_quota"}}', GeneratorQuotaError, False),
        ('{"error": {"code": "invalid_value", "param": "size"}}', GeneratorSetupError, False),
        ('{"error": {"code": "invalid_value", "param": "prompt"}}', GenerationRefusedError, False),
        ('{"error": {"type": "server_error"}}', GenerationFailedError, False),
        ('{"error": {"code": 504}}', GenerationFailedError, False),
        ('{"error": {"code": 503}}', GeneratorUnavailableError, False),
        ('{"error": "something went wrong"}', GenerationFailedError, False),
        ('{"error": {"message": "unheard of"}, "data": []}', GenerationFailedError, False),
        ('{"error": {"message": "unheard of"}, "data": null}', GenerationFailedError, False),
        ('{"code": "DataInspectionFailed", "message": "inappropriate"}', GenerationRefusedError, False),
        ('{"error": {"code": "server_error"}, "usage": {"total_tokens": 7}}', GenerationFailedError, True),
        (
            '{"error": {"code": "moderation_blocked", "moderation_details": {"moderation_stage": "output"}}}',
            GenerationRefusedError,
            True,
        ),
        ('{"error": null}', GenerationFailedError, True),
        ('{"error": {}}', GenerationFailedError, True),
    ],
)
async def test_an_error_in_an_answer_with_status_200_is_decided_by_its_code_and_billed_only_if_it_says_so(
    generate: Generate, answer: str, kind: type[GenerationError], is_billed: bool
) -> None:
    error = await failure(generate(f"says 200 {answer}"))

    assert (type(error), error.maybe_billed) == (kind, is_billed)
    assert (error.quarantine is not None) == is_billed


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        *(
            (f"400 {body}", GenerationRefusedError)
            for body in (
                '{"error": {"code": "contentFilter", "message": "no"}}',
                '{"error": {"code": "BadRequest", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}',
                '{"error": {"code": null, "inner_error": {"code": "ResponsibleAIPolicyViolation"}}}',
                '{"error": {"code": "a", "innererror": {"code": "b", "innererror": {"code": "content_filter"}}}}',
                '{"error": {"type": "image_generation_user_error", "code": null, "message": "no"}}',
                '{"error": {"type": "image_generation_user_error", "message": "no"}}',
                '{"error": {"message": "Your request was rejected by the safety system. safety_violations=[x]"}}',
                '{"error": {"message": "The response was filtered due to Azure\'s content management policy."}}',
                '{"error": {"message": "This prompt violates our usage policies."}}',
                '{"error": "Your prompt was rejected by our safety system."}',
                '{"detail": "blocked by our content filter"}',
                '{"error": {"code": "string_above_max_length", "param": "prompt"}}',
                '{"error": {"code": "invalid_value", "param": "input.prompt"}}',
            )
        ),
        ('422 {"detail": [{"loc": ["body", "prompt"], "msg": "too long"}]}', GenerationRefusedError),
        ('403 {"error": {"code": "content_policy_violation"}}', GenerationRefusedError),
        ('500 {"error": {"code": "content_filter"}}', GenerationRefusedError),
        ('400 {"error": {"type": "image_generation_user_error", "code": "invalid_size"}}', GeneratorSetupError),
        ('400 {"error": {"message": "Invalid value for moderation.", "param": "moderation"}}', GeneratorSetupError),
        ('400 {"error": {"code": "unknown_parameter", "param": "output_format"}}', GeneratorSetupError),
        ("400 nonsense", GeneratorSetupError),
        ('402 {"error": {"message": "Insufficient credits"}}', GeneratorQuotaError),
        ("402 ", GeneratorQuotaError),
        ('404 {"error": {"code": "model_not_found", "param": "model"}}', GeneratorSetupError),
        ("404 <!doctype html><h1>Not Found</h1>", GeneratorSetupError),
        ('413 {"error": {"message": "too large"}}', GeneratorSetupError),
        ('422 {"detail": [{"loc": ["body", "size"], "msg": "bad"}]}', GeneratorSetupError),
        ('403 {"error": {"message": "exhausted", "code": "insufficient_quota"}}', GeneratorQuotaError),
        ("401 ", GeneratorCredentialsError),
        ("409 ", GenerationFailedError),
        ("301 ", GeneratorSetupError),
    ],
)
async def test_a_failure_that_would_repeat_is_not_retryable(
    generate: Generate, answer: str, kind: type[GenerationError]
) -> None:
    error = await failure(generate(f"says {answer}"))

    assert type(error) is kind
    assert error.is_retryable == (kind is GenerationFailedError)
    assert error.quarantine is None


CLIENTS = GenerationRequest(
    prompt=PROMPT,
    model="house-model",
    size="640x480",
    output_compression=0,
    moderation="low",
    extra={"svg": {"model": "x"}, "complexity": "high"},
)


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        ('400 {"error": {"code": "invalid_value", "param": "size", "message": "640x480 secretwords"}}', "size"),
        ('400 {"error": {"code": null, "param": "moderation", "message": "no"}}', "moderation"),
        ('400 {"error": {"code": "unknown_parameter", "param": "output_compression"}}', "output_compression"),
        ('400 {"error": {"code": "invalid_value", "param": "body.size"}}', "size"),
        ('400 {"error": {"code": "unknown_parameter", "param": "complexity"}}', "extra"),
        ('400 {"error": {"code": "invalid_value", "param": "svg.model"}}', "extra"),
        ('400 {"error": {"code": "invalid_value", "param": "svg[reasoning][effort]"}}', "extra"),
        ('404 {"error": {"code": "model_not_found", "param": "model"}}', "model"),
        ('404 {"error": {"code": "model_not_found", "param": null}}', "model"),
        ('403 {"error": {"code": "model_not_found", "param": null}}', "model"),
        ('404 {"error": {"type": "ModelNotFound"}}', "model"),
        ('422 {"detail": [{"loc": ["body", "size"], "msg": "bad"}]}', "size"),
        ('200 {"error": {"code": "invalid_value", "param": "size"}}', "size"),
    ],
)
async def test_an_option_of_the_clients_that_openai_does_not_accept_is_named(
    generators: Generators, server: OpenAIServer, answer: str, field: str
) -> None:
    server.script(f"says {answer}")
    error = await failure(generators(allow_any=True, send_extra=True).generate(CLIENTS))

    assert type(error) is GenerationOptionError
    assert (error.field, error.maybe_billed, error.is_retryable) == (field, False, False)
    assert f"does not accept the request's {field} (status " in error.detail
    assert "secretwords" not in error.detail


@pytest.mark.parametrize("name", ["seed", "a.b", "size]"])
async def test_an_extra_parameter_that_openai_does_not_know_is_the_clients_whatever_its_name(
    generators: Generators, name: str
) -> None:
    error = await failure(generators(send_extra=True).generate(GenerationRequest(prompt=PROMPT, extra={name: 1})))

    assert type(error) is GenerationOptionError
    assert error.field == "extra"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        # About parameters that the client did not choose, or that the request does not have.
        ('400 {"error": {"code": "invalid_value", "param": "quality"}}', GeneratorSetupError),
        ('400 {"error": {"code": "invalid_value", "param": "background"}}', GeneratorSetupError),
        ('400 {"error": {"code": "invalid_value", "param": "tools"}}', GeneratorSetupError),
        ('400 {"error": {"code": "invalid_value", "param": "input_image[0]"}}', GeneratorSetupError),
        ('400 {"error": {"code": "invalid_value", "param": "image[0]"}}', GeneratorSetupError),
        ('400 {"error": {"code": "invalid_value", "param": null}}', GeneratorSetupError),
        ('400 {"error": {"code": "invalid_value", "param": 7}}', GeneratorSetupError),
        ('400 {"error": {"code": "invalid_value", "param": ["size"]}}', GeneratorSetupError),
        # About the account, whatever they name.
        ('403 {"error": {"code": "forbidden", "param": "model"}}', GeneratorSetupError),
        ("403 <!doctype html>size", GeneratorSetupError),
        ('401 {"error": {"code": "invalid_api_key", "param": "size"}}', GeneratorCredentialsError),
        ('400 {"error": {"code": "billing_hard_limit_reached", "param": "size"}}', GeneratorQuotaError),
        # Of another meaning.
        ('400 {"error": {"code": "moderation_blocked", "param": "size"}}', GenerationRefusedError),
        ('400 {"error": {"code": "invalid_value", "param": "prompt"}}', GenerationRefusedError),
        ('409 {"error": {"code": "conflict", "param": "size"}}', GenerationFailedError),
        ('429 {"error": {"code": "rate_limit_exceeded", "param": "size"}}', GenerationRateLimitedError),
        ('500 {"error": {"code": "invalid_value", "param": "size"}}', GenerationFailedError),
    ],
)
async def test_any_other_error_is_no_fault_of_the_clients_options(
    generators: Generators, server: OpenAIServer, answer: str, kind: type[GenerationError]
) -> None:
    server.script(f"says {answer}")
    generator = generators(allow_any=True, send_extra=True, quality="low", background="opaque")
    error = await failure(generator.generate(CLIENTS))

    assert type(error) is kind
    assert error.field is None


async def test_a_parameter_that_was_not_sent_is_not_blamed(generators: Generators, server: OpenAIServer) -> None:
    server.script('says 400 {"error": {"code": "unknown_parameter", "param": "complexity"}}')

    assert type(await failure(generators(allow_any=True).generate(CLIENTS))) is GeneratorSetupError


async def test_an_error_about_an_option_that_cost_tokens_may_be_billed(
    generators: Generators, server: OpenAIServer
) -> None:
    server.script('says 200 {"error": {"code": "invalid_value", "param": "size"}, "usage": {"total_tokens": 5}}')
    error = await failure(generators(allow_any=True).generate(CLIENTS))

    assert (type(error), error.maybe_billed) == (GenerationOptionError, True)


# What came back


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({}, {"size": "64x64", "quality": "medium", "background": "opaque", "output_format": "png"}),
        (
            {"model": "gpt-image-2-2026-04-21", "quality": None, "size": 256, "background": {"a": [1]}},
            {"model": "gpt-image-2-2026-04-21", "output_format": "png"},
        ),
        ({"size": "", "quality": "x" * 32_001, "background": "a\0b", "output_format": "\ud800"}, {}),
    ],
)
async def test_what_openai_says_it_has_drawn_is_kept_as_far_as_it_is_text(
    generate: Generate, changes: dict[str, Any], result: dict[str, str]
) -> None:
    image = await generate(f"changed {json.dumps(changes)}")

    assert image.result == (GenerationResult(**result) if result else None)


@pytest.mark.parametrize(
    ("items", "revised"),
    [
        ([{"revised_prompt": "A red fox, in the snow."}], "A red fox, in the snow."),
        ([None, {"revised_prompt": 7}], None),
        ([{"revised_prompt": ["a"]}], None),
        ([{}, {"revised_prompt": "The second."}], "The second."),
    ],
)
async def test_the_prompt_that_openai_has_drawn_instead_is_kept(
    generate: Generate, items: list[Any], revised: str | None
) -> None:
    image = await generate(f"changed {json.dumps({'items': items})}")

    assert image.result is not None
    assert image.result.revised_prompt == revised


async def test_what_is_said_about_a_linked_picture_is_kept(generate: Generate, server: OpenAIServer) -> None:
    item = {"b64_json": None, "url": server.base_url.removesuffix("/v1") + "/pictures/good", "revised_prompt": "A fox."}
    image = await generate(f"changed {json.dumps({'items': [item]})}")

    assert image.result == GenerationResult(
        size="64x64", quality="medium", background="opaque", output_format="png", revised_prompt="A fox."
    )


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("case error-403-org-verification.json", "organization to be verified"),
        ("says 403 <!DOCTYPE html><title>Attention Required! | Cloudflare</title>", "with a web page"),
        ('says 403 {"error": {"message": "You exceeded your current quota."}}', "no quota left"),
        ('says 403 {"error": {"code": "quota_exceeded"}}', "no quota left"),
        ('says 403 {"error": {"message": "Your credit balance is exhausted."}}', "no quota left"),
        ("forbidden", "does not permit PixyProxy's account"),
        ("says 403 ", "does not permit PixyProxy's account"),
    ],
)
async def test_a_403_is_reported_as_one(generate: Generate, answer: str, words: str) -> None:
    error = await failure(generate(answer))

    assert isinstance(error, GeneratorSetupError)
    assert words in error.detail
    assert "API key" not in error.detail


# The log


@pytest.mark.parametrize(
    ("answer", "level", "facts"),
    [
        (
            'says 403 {"error": {"message": "Your organization\\nmust be verified.", "type": "t", "code": "c_d"}}',
            logging.ERROR,
            (403, "c_d", "t", "Your organization must be verified."),
        ),
        ('says 429 {"error": {"message": "Slower."}}', logging.WARNING, (429, None, None, "Slower.")),
        ('says 500 {"error": {"message": "Oh."}}', logging.WARNING, (500, None, None, "Oh.")),
        (
            'says 200 {"error": {"message": "Oh.", "code": "moderation_blocked"}}',
            logging.WARNING,
            (200, "moderation_blocked", None, "Oh."),
        ),
        ("says 403 <html><h1>Blocked</h1></html>", logging.ERROR, (403, None, None, "Blocked")),
        ("says 400 plain words", logging.ERROR, (400, None, None, "plain words")),
        (
            'says 422 {"detail": [{"loc": ["body", "size"], "msg": "bad"}]}',
            logging.ERROR,
            (422, None, None, "bad"),
        ),
        (f"says 400 {'word ' * 2_000}", logging.ERROR, (400, None, None, ("word " * 100).strip())),
    ],
)
async def test_the_upstreams_own_words_are_logged(
    generate: Generate, caplog: pytest.LogCaptureFixture, answer: str, level: int, facts: tuple[Any, ...]
) -> None:
    await failure(generate(answer))
    line = told(caplog)

    assert line["levelno"] == level
    assert tuple(line[f"upstream_{name}"] for name in ("status", "code", "type", "message")) == facts
    assert line["upstream_request_id"].startswith("req_")


@pytest.mark.parametrize(
    "prompt",
    [
        "x",
        "fox",
        "a fox",
        "a red fox in the snow at night",
        "первая лиса в снегу",
        "狐狸在雪地里奔跑",
        "a\tred\n\nfox, dancing",
    ],
)
@pytest.mark.parametrize(
    "quoted",
    [
        "{prompt}",
        "'{prompt}'",
        "({upper})",
        "{part}",
        "{line}",
        "prompt={prompt}.",
        "{escaped}",
        "?p={percent}",
        "?p={plus}&",
    ],
)
async def test_the_prompt_and_the_key_are_cut_out(
    server: OpenAIServer, generators: Generators, caplog: pytest.LogCaptureFixture, prompt: str, quoted: str
) -> None:
    # A part of a short prompt says nothing.
    part = prompt if len(prompt) <= 12 else prompt[: len(prompt) * 3 // 4]
    line = " ".join(prompt.split())
    said = quoted.format(
        prompt=prompt,
        upper=prompt.upper(),
        part=part,
        line=line,
        escaped=json.dumps(line),
        percent=quote(line),
        plus=quote_plus(line),
    )
    message = f"We can't take {said} with the key {server.api_key}, sorry"
    server.script(f"says 400 {json.dumps({'error': {'message': message, 'code': said, 'param': said}})}")
    error = await failure(generators().generate(GenerationRequest(prompt=prompt)))
    text = " ".join(str(value) for value in told(caplog).values()) + error.detail

    assert "We can't take" in text
    assert "sorry" in text
    assert str(server.api_key) not in text
    if len(prompt) > 3:
        for secret in (said, prompt, " ".join(prompt.split())):
            assert secret.lower() not in text.lower()


@pytest.mark.parametrize(
    ("scheme", "host", "cause"),
    [
        ("http", "name.invalid:80", "gaierror"),
        ("https", "name.invalid:8443", "gaierror"),
        ("http", "127.0.0.1:{free}", "ConnectionRefusedError"),
        ("https", "127.0.0.1:{server}", "SSL"),
    ],
)
async def test_a_failed_connection_names_host_and_cause_in_the_log(  # noqa: PLR0917
    generators: Generators, ports: dict[str, int], caplog: pytest.LogCaptureFixture, scheme: str, host: str, cause: str
) -> None:
    host = host.format(**ports)
    error = await failure(generators(base_url=f"{scheme}://{host}/v1").generate(REQUEST))
    line = told(caplog)

    assert type(error) is GeneratorUnavailableError
    assert not error.maybe_billed
    assert line["host"] == host
    assert cause in line["cause"]


@pytest.mark.parametrize("seconds", ["99999999", "1e300", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_no_client_is_told_to_wait_for_longer_than_an_hour(generate: Generate, seconds: str) -> None:
    assert (await failure(generate(f"rate-limit {seconds}"))).retry_after == 3_600


# The event loop


@pytest.mark.parametrize("kind", HEAPS)
async def test_a_heap_of_json_leaves_the_event_loop_alone(generate: Generate, kind: str) -> None:
    """No time is asserted: however slow the machine is, the loop turns many times while the answer is read."""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    turning = asyncio.create_task(turn())
    began = time.monotonic()
    await asyncio.gather(generate(f"heap {kind} 8"), return_exceptions=True)
    seconds = time.monotonic() - began
    turning.cancel()

    assert turns > seconds * 20
