"""Streams of partial images, read by the OpenAI adapter over a real socket."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import pytest

from pixyproxy.adapters.openai import events
from pixyproxy.adapters.openai.answer import Answer, NoPicture, read_answer
from pixyproxy.adapters.openai.redaction import Redaction
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
    GeneratorUnavailableError,
)
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.ports import GeneratedImage, PartialImage, ignore_partial
from tests.doubles.openai_server import OpenAIServer, Order
from tests.doubles.strange_answers import CODINGS, ENCODINGS, STREAMS
from tests.integration.conftest import Generators

PROMPT = "a red fox in the snow"
REQUEST = GenerationRequest(prompt=PROMPT, partial_images=2)
ORDER = Order({"prompt": PROMPT, "size": "64x64"})
PICTURE = ORDER.picture()
PARTIALS = [ORDER.partial(0), ORDER.partial(1)]
Generate = Callable[..., Awaitable[GeneratedImage]]


@pytest.fixture
def retry() -> RetryPolicy:
    return RetryPolicy(max_retries=0)


@pytest.fixture
def partials() -> list[bytes]:
    """The partial images that were handed over."""
    return []


@pytest.fixture
def generate(server: OpenAIServer, generators: Generators, partials: list[bytes]) -> Generate:
    """Let the stand-in behave in some way once, and return the adapter's result."""

    async def on_partial(partial: PartialImage) -> None:
        partials.append(partial.data)

    async def generate(
        behaviour: str, request: GenerationRequest = REQUEST, on_partial: Any = on_partial, **settings: Any
    ) -> GeneratedImage:
        server.script(behaviour)
        return await generators(**settings).generate(request, on_partial=on_partial)

    return generate


async def failure(generation: Awaitable[GeneratedImage]) -> GenerationError:
    with pytest.raises(GenerationError) as raised:
        await generation
    return raised.value


async def run_now(read: Callable[[], PartialImage | None]) -> PartialImage | None:
    return read()


# What is asked for


async def test_partial_images_are_asked_for_in_a_stream(server: OpenAIServer, generate: Generate) -> None:
    await generate("ok", GenerationRequest(prompt=PROMPT, partial_images=3))
    await generate("ok", GenerationRequest(prompt=PROMPT))
    streamed, plain = (request.json for request in server.requests)

    assert (streamed["stream"], streamed["partial_images"]) == (True, 3)
    assert streamed.keys() - plain.keys() == {"stream", "partial_images"}


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_partial_images_are_handed_over_in_order_before_the_final_one(
    generate: Generate, partials: list[bytes], count: int
) -> None:
    image = await generate("ok", GenerationRequest(prompt=PROMPT, partial_images=count))

    assert image.data == PICTURE
    assert (image.media_type, image.width, image.height) == (MediaType.PNG, 64, 64)
    assert partials == [ORDER.partial(number) for number in range(count)]


async def test_usage_and_request_id_are_kept(server: OpenAIServer, generate: Generate) -> None:
    image = await generate("ok")

    assert image.usage is not None
    assert image.usage["total_tokens"] > 0
    assert image.request_id == server.requests[0].request_id


async def test_what_openai_says_it_has_drawn_is_that_of_the_final_event(generate: Generate) -> None:
    image = await generate("ok", quality="low", background="transparent", output_format="webp")

    assert image.result is not None
    assert msgspec.to_builtins(image.result) == {
        "size": "64x64",
        "quality": "low",
        "background": "transparent",
        "output_format": "webp",
    }


async def test_partial_images_come_while_the_final_one_is_drawn(server: OpenAIServer, generate: Generate) -> None:
    came: asyncio.Queue[PartialImage] = asyncio.Queue()
    task = asyncio.ensure_future(generate("gate-body a", on_partial=came.put))
    async with asyncio.timeout(10):
        first, second = await came.get(), await came.get()
    assert not task.done()
    server.open_gate("a")

    assert [first.data, second.data] == PARTIALS
    assert first.media_type is MediaType.PNG
    assert (await task).data == PICTURE


# Ways to write events


@pytest.mark.parametrize("name", [name for name in STREAMS if "partials" not in name and name != "a-document"])
async def test_events_are_read_however_they_are_written(generate: Generate, partials: list[bytes], name: str) -> None:
    image = await generate(f"stream {name}")

    assert image.data == PICTURE
    assert partials == PARTIALS


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("name", ["plain", "crlf", "byte-order-mark"])
async def test_events_are_read_however_they_are_split(name: str, size: int) -> None:
    written = STREAMS.get(name, b"".join)
    document = written([b"event: a\ndata: 1\n\n", b": nothing\n\ndata: 2\n\n"])
    body = bytearray()
    splitter, found = events.EventSplitter(body), []
    for start in range(0, len(document), size):
        body += document[start : start + size]
        while (raw := splitter.next()) is not None:
            found.append(events._fields(raw))

    assert found == [(b"a", b"1"), (b"", b""), (b"", b"2")]
    assert not body.strip()


async def test_events_that_come_byte_by_byte_are_read(server: OpenAIServer, generate: Generate) -> None:
    assert (await generate("stream-bytes 1")).data == PICTURE


async def test_a_document_in_an_event_is_a_picture(generate: Generate) -> None:
    assert (await generate("stream a-document")).data == PICTURE


# Partial images


@pytest.mark.parametrize("name", [name for name in STREAMS if "partials" in name])
async def test_a_bad_partial_image_is_dropped_and_the_final_one_kept(
    generate: Generate, partials: list[bytes], name: str
) -> None:
    assert (await generate(f"stream {name}")).data == PICTURE
    assert partials == []


async def test_no_more_partial_images_are_handed_over_than_were_asked_for() -> None:
    partials: list[PartialImage] = []

    async def on_partial(partial: PartialImage) -> None:
        partials.append(partial)

    stream = events.EventStream(1, on_partial, run_now)
    for raw in Order({**ORDER.parameters, "partial_images": 3}).events(PICTURE):
        await stream.take(raw)

    assert [partial.data for partial in partials] == [ORDER.partial(0)]


async def test_a_listener_that_fails_costs_nothing(generate: Generate) -> None:
    async def on_partial(partial: PartialImage) -> None:
        raise RuntimeError("a bug")

    assert (await generate("ok", on_partial=on_partial)).data == PICTURE


async def test_a_listener_that_hangs_is_left(generate: Generate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_PARTIAL_SECONDS", 0.1)

    async def on_partial(partial: PartialImage) -> None:
        await asyncio.sleep(60)

    assert (await generate("ok", on_partial=on_partial)).data == PICTURE


async def test_partial_images_are_handed_over_one_after_the_other(generate: Generate) -> None:
    running: list[int] = []

    async def on_partial(partial: PartialImage) -> None:
        assert not running
        running.append(1)
        await asyncio.sleep(0.05)
        running.clear()

    assert (await generate("ok", on_partial=on_partial)).data == PICTURE


async def test_events_are_decoded_outside_of_the_event_loop(
    generate: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[threading.Thread] = set()
    read = events._read_event

    def spy(raw: bytes) -> Any:
        threads.add(threading.current_thread())
        return read(raw)

    monkeypatch.setattr(events, "_read_event", spy)
    await generate("ok")

    assert len(threads) == 1
    assert threading.current_thread() not in threads


# The end


@pytest.mark.parametrize("behaviour", ["stream-open", "stream two-completed"])
async def test_nothing_is_waited_for_after_the_final_picture(generate: Generate, behaviour: str) -> None:
    began = time.monotonic()

    assert (await generate(behaviour)).data == PICTURE
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("behaviour", ["stream-end", "stream-cut", "stream-end 100", "stream-cut 100", "stream-cut 20"])
@pytest.mark.parametrize("count", [1, 3])
async def test_a_stream_that_ends_without_the_final_picture_has_an_unknown_outcome(
    server: OpenAIServer, generate: Generate, partials: list[bytes], behaviour: str, count: int
) -> None:
    error = await failure(generate(behaviour, GenerationRequest(prompt=PROMPT, partial_images=count)))

    assert type(error) is GenerationBrokenOffError
    assert error.maybe_billed
    assert error.request_id == server.requests[0].request_id
    assert len(partials) == count
    assert error.quarantine


@pytest.mark.parametrize("behaviour", ["stream-end", "stream-cut"])
async def test_the_last_partial_image_is_kept_if_the_final_one_does_not_come(
    generate: Generate, behaviour: str
) -> None:
    assert (await failure(generate(behaviour))).quarantine == PARTIALS[-1]


@pytest.mark.parametrize("byte_size", [45, 60, 80])
async def test_the_last_partial_image_is_kept_if_the_final_event_has_nothing_of_a_picture_yet(
    generate: Generate, byte_size: int
) -> None:
    assert (await failure(generate(f"stream-cut {byte_size}"))).quarantine == PARTIALS[-1]


async def test_a_truncated_final_picture_is_kept_as_far_as_it_came(generate: Generate) -> None:
    error = await failure(generate("stream-cut 300"))

    assert error.quarantine
    assert PICTURE.startswith(error.quarantine)


@pytest.mark.parametrize("behaviour", ["stream-cut", "stream-end"])
async def test_a_final_picture_that_came_as_a_whole_is_taken(
    server: OpenAIServer, generate: Generate, behaviour: str
) -> None:
    final = Order({"prompt": PROMPT, "size": "64x64", "partial_images": 2}).events(PICTURE)[-1]
    size = final.index(b'", "size"') + 1

    assert (await generate(f"{behaviour} {size}")).data == PICTURE
    assert (await failure(generate(f"{behaviour} {size - 1}"))).maybe_billed


async def test_a_truncated_partial_image_is_not_taken_for_the_final_one(generate: Generate) -> None:
    one = Order({"prompt": PROMPT, "size": "64x64", "partial_images": 1}).events(PICTURE)[0]
    error = await failure(generate(f"cut {one.index(b'partial_image_index')}"))

    assert type(error) is GenerationBrokenOffError


async def test_a_truncated_picture_of_unknown_kind_is_not_taken_for_the_final_one() -> None:
    one = Order({**ORDER.parameters, "partial_images": 1}).events(PICTURE)[0]
    unnamed = one[one.index(b"data:") : one.index(b', "partial_image_index')].replace(b'"type": ', b'"kind": ')
    stream = events.EventStream(1, ignore_partial, run_now)
    settled = stream.settle(Answer(body=unnamed), max_size=1 << 20, redact=Redaction())

    assert isinstance(settled, NoPicture)
    assert type(settled.error) is GenerationBrokenOffError
    assert settled.error.quarantine


async def test_an_idle_stream_ends_with_the_time_out(generate: Generate, partials: list[bytes]) -> None:
    error = await failure(generate("stream-idle", timeout=1))

    assert type(error) is GenerationTimedOutError
    assert error.maybe_billed
    assert error.quarantine == PARTIALS[-1]
    assert partials == PARTIALS


async def test_a_final_picture_that_came_in_time_is_taken_if_it_was_not_read_in_time() -> None:
    async def run(read: Callable[[], PartialImage | None]) -> PartialImage | None:
        raise TimeoutError

    stream = events.EventStream(2, ignore_partial, run)
    with pytest.raises(TimeoutError):
        await stream.take(ORDER.events(PICTURE)[-1])
    broken = GenerationTimedOutError("It is late.", maybe_billed=True)
    settled = stream.settle(Answer(body=b"", broken=broken), max_size=1 << 20, redact=Redaction())

    assert isinstance(settled, Answer)
    image = read_answer(settled, max_size=1 << 20, redact=Redaction())
    assert isinstance(image, GeneratedImage)
    assert image.data == PICTURE


async def test_an_event_without_end_is_bounded(generate: Generate) -> None:
    error = await failure(generate("stream-flood", max_answer_size=1 << 20))

    assert type(error) is GenerationFailedError
    assert "larger than 1,048,576 bytes" in error.detail
    assert error.maybe_billed


async def test_a_stream_may_be_larger_than_each_of_its_events(generate: Generate) -> None:
    request = GenerationRequest(prompt=PROMPT, partial_images=3, size="256x256")
    order = Order({"prompt": PROMPT, "size": "256x256", "partial_images": 3})
    size = max(map(len, order.events(order.picture())))

    assert (await generate("stream-bytes 1000", request, max_answer_size=size + 2_000)).data == order.picture()


# Errors


@pytest.mark.parametrize(
    ("error", "kind", "is_billed"),
    [
        ("rate_limit_exceeded requests", GenerationRateLimitedError, False),
        ("invalid_api_key invalid_request_error", GeneratorCredentialsError, False),
        ("insufficient_quota insufficient_quota", GeneratorQuotaError, False),
        ("moderation_blocked image_generation_user_error", GenerationRefusedError, True),
        ("server_error", GenerationFailedError, True),
        ("service_unavailable", GeneratorUnavailableError, True),
        (" unheard_of", GenerationFailedError, True),
    ],
)
@pytest.mark.parametrize("count", [0, 2])
async def test_an_error_event_has_the_meaning_of_its_code_and_is_maybe_billed_after_partial_images(
    generate: Generate, error: str, kind: type[GenerationError], is_billed: bool, count: int
) -> None:
    found = await failure(generate(f"stream-error {count} {error}"))

    assert type(found) is kind
    assert found.maybe_billed is (is_billed or count > 0)


async def test_an_error_event_ends_the_stream(server: OpenAIServer, generate: Generate) -> None:
    error = await failure(generate("stream-error 2 server_error"))

    assert type(error) is GenerationFailedError
    assert error.maybe_billed
    assert error.request_id == server.requests[0].request_id


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (
            b'event: error\ndata: {"message": "slow down", "code": "rate_limit_exceeded"}\n\n',
            GenerationRateLimitedError,
        ),
        (b'data: {"error": {"code": "rate_limit_exceeded"}}\n\n', GenerationRateLimitedError),
        (b"event: error\ndata: rate_limit_exceeded\n\n", GenerationRateLimitedError),
        (
            b'event: error\ndata: {"type": "error", "error": {"code": "rate_limit_exceeded"}}',
            GenerationRateLimitedError,
        ),
        (b"data: [DONE]\n\n", GenerationBrokenOffError),
        (b": keepalive\n\n: keepalive\n\n", GenerationBrokenOffError),
        (b": keepalive", GenerationBrokenOffError),
        (b"", GenerationBrokenOffError),
        (b"\r\n\r\n", GenerationBrokenOffError),
        (b'data: {"type": "image_generation.completed"}\n\n', GenerationFailedError),
        (b'data: {"type": "image_generation.completed", "b64_json": "AAAA"}\n\n', GenerationFailedError),
        (b"data: \xff\xfe\n\nevent: \xff\n\n", GenerationBrokenOffError),
        (b"<!doctype html>\n\n<h1>It works!</h1>", GenerationFailedError),
        (b"\x00\x01\x02\n\n", GenerationFailedError),
        (b'{"error": {"code": "rate_limit_exceeded"}}', GenerationRateLimitedError),
        (b'{\n\n"error":\n\n{"code": "rate_limit_exceeded"}}', GenerationRateLimitedError),
    ],
)
async def test_each_body_without_a_picture_is_an_error_of_its_own_kind(
    generators: Generators, body: bytes, kind: type[GenerationError]
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        writer.write(head + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    generator = generators(base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    error = await failure(generator.generate(REQUEST))
    server.close()

    assert type(error) is kind


# Answers that are no streams


@pytest.mark.parametrize("name", [name for name in ENCODINGS if name != "the-picture-itself"])
async def test_an_ordinary_answer_is_read_as_without_a_stream(generate: Generate, name: str) -> None:
    assert (await generate(f"encoding {name}")).data == PICTURE


@pytest.mark.parametrize("name", CODINGS)
async def test_a_stream_is_read_whatever_is_said_or_done_about_compression(
    server: OpenAIServer, generate: Generate, name: str
) -> None:
    assert (await generate(f"coding {name}")).data == PICTURE


@pytest.mark.parametrize(
    ("behaviour", "kind", "is_billed"),
    [
        ("refuse", GenerationRefusedError, False),
        ("bad-key", GeneratorCredentialsError, False),
        ("error 500", GenerationFailedError, True),
        ("html", GenerationFailedError, True),
        ("a-list", GenerationFailedError, True),
        ("no-data", GenerationFailedError, True),
        ("drop", GenerationBrokenOffError, True),
        ("hang", GenerationTimedOutError, True),
    ],
)
async def test_other_failures_are_those_of_a_generation(
    generate: Generate, partials: Sequence[bytes], behaviour: str, kind: type[GenerationError], is_billed: bool
) -> None:
    error = await failure(generate(behaviour, timeout=1))

    assert (type(error), error.maybe_billed) == (kind, is_billed)
    assert partials == []


@pytest.mark.parametrize("behaviour", ["stream-end", "stream-cut 300", "stream-error 2 server_error", "html"])
async def test_an_error_and_what_it_holds_are_freed_at_once(generate: Generate, behaviour: str) -> None:
    errors: list[weakref.ref[GenerationError]] = []
    gc.collect()
    gc.disable()
    try:
        await generate(behaviour)
    except GenerationError as exc:
        errors.append(weakref.ref(exc))
    # The decoder's thread holds its result a moment longer.
    await asyncio.sleep(0.1)
    is_gone = errors[0]() is None
    gc.enable()

    assert is_gone
