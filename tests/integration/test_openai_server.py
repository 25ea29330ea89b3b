"""The stand-in itself: its answers must satisfy the official client."""

import asyncio
import hashlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec
import openai
import pytest
from openai.types import (
    ImageEditCompletedEvent,
    ImageEditPartialImageEvent,
    ImageGenCompletedEvent,
    ImageGenPartialImageEvent,
    ImagesResponse,
)
from pydantic import BaseModel, ConfigDict, TypeAdapter

from tests.doubles.openai_server import BEHAVIOURS, OpenAIServer, Order

GOOD = ["ok", "slow 0.1", "big 30000", "two", "chunked", "no-usage", "svg-usage", "request-id req_1"]


class StrictImagesResponse(ImagesResponse):
    """The client's own type, which lets no unknown field and no wrong type pass."""

    model_config = ConfigDict(extra="forbid", strict=True)


PICTURE = Order({"prompt": "a picture", "size": "64x64"}).picture()
FILES = [("image[]", ("a.png", PICTURE, "image/png")), ("image[]", ("b.png", PICTURE, "image/png"))]
GENERATION_EVENTS = (ImageGenPartialImageEvent, ImageGenCompletedEvent)
EDIT_EVENTS = (ImageEditPartialImageEvent, ImageEditCompletedEvent)
GOOD_STREAMS = ["ok", "slow 0.1", "big 30000", "chunked", "request-id req_1", "stream-bytes 1000", "stream comments"]


@pytest.fixture
async def http(server: OpenAIServer) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"authorization": f"Bearer {server.api_key}"}
    async with httpx2.AsyncClient(base_url=server.base_url, headers=headers, trust_env=False) as client:
        yield client


async def account(http: httpx2.AsyncClient) -> dict[str, Any]:
    document: dict[str, Any] = (await http.get(http.base_url.copy_with(path="/stand-in"))).json()
    return document


async def open_gate(http: httpx2.AsyncClient, name: str) -> None:
    answer = await http.post(http.base_url.copy_with(path=f"/stand-in/open/{quote(name)}"))
    assert answer.status_code == 200


async def waiting(http: httpx2.AsyncClient, expected: dict[str, int]) -> None:
    """Return as soon as exactly this many answers are held."""
    async with asyncio.timeout(30):
        while (await account(http))["waiting"] != expected:
            pass


async def post(http: httpx2.AsyncClient, **parameters: Any) -> httpx2.Response:
    return await http.post("/images/generations", json={"model": "gpt-image-2", "prompt": "a red fox", **parameters})


async def edit(http: httpx2.AsyncClient, files: Any = FILES, **fields: Any) -> httpx2.Response:
    return await http.post(
        "/images/edits", data={"model": "gpt-image-2", "prompt": "a red fox", "size": "64x64", **fields}, files=files
    )


@asynccontextmanager
async def raw_post(server: OpenAIServer, prompt: str) -> AsyncIterator[asyncio.StreamReader]:
    """Ask for a picture and yield the answer, byte by byte."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    body = msgspec.json.encode({"model": "gpt-image-2", "prompt": prompt})
    head = f"POST /v1/images/generations HTTP/1.1\r\nauthorization: Bearer {server.api_key}\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    try:
        yield reader
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("behaviour", GOOD)
async def test_good_answers_fit_the_types_of_the_client_strictly(
    server: OpenAIServer, http: httpx2.AsyncClient, behaviour: str
) -> None:
    server.script(behaviour)
    answer = await post(http, size="256x256")

    TypeAdapter(StrictImagesResponse).validate_json(answer.content)


async def test_the_official_client_takes_it_for_openai(server: OpenAIServer) -> None:
    async with openai.AsyncOpenAI(api_key=server.api_key, base_url=server.base_url, max_retries=0) as client:
        answer = await client.images.generate(model="gpt-image-2", prompt="a red fox", size="256x256")
        assert answer.data is not None
        assert answer.data[0].b64_json
        server.script("refuse")
        with pytest.raises(openai.BadRequestError) as raised:
            await client.images.generate(model="gpt-image-2", prompt="a red fox")

    assert raised.value.code == "moderation_blocked"


def strict(kind: type[BaseModel]) -> TypeAdapter[Any]:
    """Return the client's own type, which lets no unknown field and no wrong type pass."""
    return TypeAdapter(type("Strict", (kind,), {"model_config": ConfigDict(extra="forbid", strict=True)}))


@pytest.mark.parametrize("behaviour", GOOD)
async def test_good_answers_to_edits_fit_the_types_of_the_client_strictly(
    server: OpenAIServer, http: httpx2.AsyncClient, behaviour: str
) -> None:
    server.script(behaviour)

    strict(ImagesResponse).validate_json((await edit(http)).content)


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("behaviour", GOOD_STREAMS)
@pytest.mark.parametrize("kinds", [GENERATION_EVENTS, EDIT_EVENTS])
async def test_good_events_fit_the_types_of_the_client_strictly(
    server: OpenAIServer, kinds: tuple[type[BaseModel], type[BaseModel]], behaviour: str, count: int
) -> None:
    server.script(behaviour)
    options: Any = {"model": "gpt-image-2", "prompt": "a fox", "size": "64x64", "stream": True, "partial_images": count}
    async with openai.AsyncOpenAI(api_key=server.api_key, base_url=server.base_url, max_retries=0) as client:
        if kinds is EDIT_EVENTS:
            stream = await client.images.edit(image=[file for _, file in FILES], **options)
        else:
            stream = await client.images.generate(**options)
        *partials, last = [event async for event in stream]
    for number, event in enumerate(partials):
        strict(kinds[0]).validate_python(event.to_dict())
        assert event.partial_image_index == number

    assert len(partials) == count
    strict(kinds[1]).validate_python(last.to_dict())


@pytest.mark.parametrize(
    ("fields", "files", "expected"),
    [
        ({}, [], (400, None, None)),
        ({}, FILES[:1] * 17, (400, "invalid_value", "image")),
        ({}, [("mask", FILES[0][1])], (400, "missing_required_parameter", "image")),
        ({}, [*FILES, *[("mask", FILES[0][1])] * 2], (400, "invalid_value", "mask")),
        ({}, [("image", ("a.txt", b"text", "text/plain"))], (400, "unsupported_file_mimetype", "image")),
        ({}, [*FILES, ("mask", ("a.png", b"text", "image/png"))], (400, "invalid_image_file", "mask")),
        ({"moderation": "low"}, FILES, (400, "unknown_parameter", "moderation")),
        ({"image": "text"}, FILES, (400, "unknown_parameter", "image")),
        ({"n": "two"}, FILES, (400, "invalid_value", "n")),
        ({"partial_images": "4"}, FILES, (400, "invalid_value", "partial_images")),
        ({"stream": "true", "output_format": "gif"}, FILES, (400, "invalid_value", "stream")),
        ({"input_fidelity": "best"}, FILES, (400, "invalid_value", "input_fidelity")),
    ],
)
async def test_edits_are_checked_as_openai_checks_them(
    server: OpenAIServer, http: httpx2.AsyncClient, fields: dict[str, str], files: Any, expected: tuple[int, str, str]
) -> None:
    answer = await edit(http, files, **fields)
    error = answer.json()["error"]

    assert (answer.status_code, error["code"], error["param"]) == expected
    assert server.billed == []


async def test_what_an_edit_consists_of_is_recorded(server: OpenAIServer, http: httpx2.AsyncClient) -> None:
    large = PICTURE + os.urandom(300_000) + b"\r\n--"
    await edit(http, [*FILES, ("mask", ("Füchse.png", large, "image/png"))], n="1")
    form = server.requests[0].form

    assert form is not None
    assert form.fields == {"model": "gpt-image-2", "prompt": "a red fox", "size": "64x64", "n": "1"}
    assert [(part.filename, part.byte_size) for part in form.files("image[]")] == [
        ("a.png", len(PICTURE)),
        ("b.png", len(PICTURE)),
    ]
    assert [(part.filename, part.media_type, part.sha256) for part in form.files("mask")] == [
        ("Füchse.png", "image/png", hashlib.sha256(large).hexdigest())
    ]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"response_format": "b64_json"}, (400, "unknown_parameter", "response_format")),
        ({"style": "vivid"}, (400, "unknown_parameter", "style")),
        ({"colour": "red"}, (400, "unknown_parameter", "colour")),
        ({"prompt": ""}, (400, "invalid_value", "prompt")),
        ({"prompt": "x" * 32_001}, (400, "invalid_value", "prompt")),
        ({"prompt": 7}, (400, "invalid_value", "prompt")),
        ({"model": None}, (400, "missing_required_parameter", "model")),
        ({"model": "dall-e-3"}, (404, "model_not_found", "model")),
        ({"n": 11}, (400, "invalid_value", "n")),
        ({"n": "1"}, (400, "invalid_value", "n")),
        ({"size": "1000x1000"}, (400, "invalid_value", "size")),
        ({"size": "4096x1024"}, (400, "invalid_value", "size")),
        ({"size": "big"}, (400, "invalid_value", "size")),
        ({"quality": "best"}, (400, "invalid_value", "quality")),
        ({"output_format": "bmp"}, (400, "invalid_value", "output_format")),
        ({"output_format": "jpeg", "background": "transparent"}, (400, "invalid_value", "background")),
    ],
)
async def test_parameters_are_checked_as_openai_checks_them(
    server: OpenAIServer, http: httpx2.AsyncClient, parameters: dict[str, Any], expected: tuple[int, str, str]
) -> None:
    answer = await post(http, **parameters)
    error = answer.json()["error"]

    assert (answer.status_code, error["code"], error["param"]) == expected
    assert server.billed == []


@pytest.mark.parametrize("key", ["", "Bearer", "Bearer sk-wrong", "Basic eDp5"])
async def test_only_the_right_key_is_taken(server: OpenAIServer, http: httpx2.AsyncClient, key: str) -> None:
    http.headers["authorization"] = key

    assert (await post(http)).status_code == 401
    assert server.billed == []


async def test_other_addresses_are_not_found(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/models")).status_code == 404


async def test_a_prompt_can_choose_the_behaviour(server: OpenAIServer, http: httpx2.AsyncClient) -> None:
    assert (await post(http, prompt="a fox [[rate-limit 3]]")).headers["retry-after"] == "3"
    assert (await post(http, prompt="a fox [[html]]")).headers["content-type"] == "text/html"
    assert (await post(http, prompt="a fox [[unheard of]]")).status_code == 200


# Request ids


async def test_every_answer_has_an_id_of_its_own_which_is_recorded(
    server: OpenAIServer, http: httpx2.AsyncClient
) -> None:
    answers = [
        await post(http, prompt="good"),
        await post(http, prompt="[[refuse]]"),
        await post(http, prompt="[[error 500]]"),
        await post(http, prompt="[[html]]"),
        await post(http, size="bad"),
        await http.get("/models"),
        await http.post("/images/generations", headers={"authorization": "Bearer sk-wrong"}),
    ]
    ids = [answer.headers["x-request-id"] for answer in answers]

    assert all(re.fullmatch(r"req_[0-9a-f]{24}", request_id) for request_id in ids)
    assert len(set(ids)) == len(ids)
    assert [request.request_id for request in server.requests] == ids


async def test_an_id_can_be_chosen(http: httpx2.AsyncClient) -> None:
    assert (await post(http, prompt="[[request-id ключ]]")).headers["x-request-id"] == "ключ"
    assert (await post(http, prompt="[[request-id]]")).headers["x-request-id"] == ""


# The account


async def test_the_account_tells_how_often_each_prompt_was_billed_and_by_which_ids(http: httpx2.AsyncClient) -> None:
    answers = [await post(http, prompt=prompt) for prompt in ("a", "b", "a", "c [[refuse]]")]
    ids = [answer.headers["x-request-id"] for answer in answers]

    assert await account(http) == {
        "requests": 4,
        "billed": ["a", "b", "a"],
        "times_billed": {"a": 2, "b": 1},
        "request_ids": {"a": [ids[0], ids[2]], "b": [ids[1]]},
        "waiting": {},
    }


# Gates


@pytest.mark.parametrize("behaviour", ["gate", "gate-body"])
async def test_an_answer_at_a_gate_is_billed_and_held_until_the_gate_opens(
    server: OpenAIServer, http: httpx2.AsyncClient, behaviour: str
) -> None:
    prompt = f"a fox [[{behaviour} night one]]"
    call = asyncio.create_task(post(http, prompt=prompt))
    await waiting(http, {"night one": 1})
    await open_gate(http, "day")

    assert (await account(http))["times_billed"] == {prompt: 1}
    assert not (await asyncio.wait([call], timeout=0.2))[0]
    await open_gate(http, "night one")
    TypeAdapter(StrictImagesResponse).validate_json((await call).content)
    assert (await account(http))["waiting"] == {}


async def test_nothing_goes_out_before_a_gate_opens(server: OpenAIServer, http: httpx2.AsyncClient) -> None:
    async with raw_post(server, "a fox [[gate a]]") as reader:
        await waiting(http, {"a": 1})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        server.open_gate("a")

        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_the_head_and_half_of_the_body_go_out_before_a_gate_in_the_body_opens(
    server: OpenAIServer, http: httpx2.AsyncClient
) -> None:
    async with raw_post(server, "a fox [[gate-body a]]") as reader:
        await waiting(http, {"a": 1})
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.findall(rb"content-length: (\d+)", head)[0])
        first = await reader.readexactly(length // 2)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        server.open_gate("a")

        assert f"x-request-id: {server.requests[0].request_id}".encode() in head
        TypeAdapter(StrictImagesResponse).validate_json(first + await reader.readexactly(length - length // 2))


@pytest.mark.parametrize("behaviour", ["gate", "gate-body"])
async def test_a_gate_that_is_open_lets_through_at_once(http: httpx2.AsyncClient, behaviour: str) -> None:
    await open_gate(http, "a")

    assert (await post(http, prompt=f"a fox [[{behaviour} a]]")).status_code == 200


async def test_one_gate_holds_several_and_not_those_of_another(http: httpx2.AsyncClient) -> None:
    held = [asyncio.create_task(post(http, prompt="[[gate a]]")) for _ in range(2)]
    other = asyncio.create_task(post(http, prompt="[[gate b]]"))
    await waiting(http, {"a": 2, "b": 1})
    await open_gate(http, "a")
    await asyncio.gather(*held)

    assert (await account(http))["waiting"] == {"b": 1}
    await open_gate(http, "b")
    assert (await other).status_code == 200


@pytest.mark.parametrize("behaviour", ["gate", "gate-body"])
async def test_a_client_that_goes_away_waits_no_longer_and_stays_billed(
    http: httpx2.AsyncClient, behaviour: str
) -> None:
    prompt = f"a fox [[{behaviour} a]]"
    call = asyncio.create_task(post(http, prompt=prompt))
    await waiting(http, {"a": 1})
    call.cancel()
    await waiting(http, {})

    assert (await account(http))["times_billed"] == {prompt: 1}


async def test_closing_the_server_ends_held_answers() -> None:
    async with OpenAIServer() as server, raw_post(server, "[[gate a]]") as reader:
        await server.began_to_draw.wait()
        await server.__aexit__(None, None, None)

        assert await asyncio.wait_for(reader.read(), 10) == b""


async def test_a_misspelt_script_is_an_error(server: OpenAIServer) -> None:
    with pytest.raises(KeyError):
        server.script("okay")


def test_every_behaviour_can_be_named_in_a_prompt() -> None:
    assert all(name.replace("-", "").isalnum() and name == name.lower() for name in BEHAVIOURS)


async def test_it_runs_as_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "tests.doubles.openai_server", "--port", "0"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    base_url = (await process.stdout.readline()).decode().strip().removeprefix("OPENAI_BASE_URL=")
    async with httpx2.AsyncClient(base_url=base_url, headers={"authorization": "Bearer any"}, trust_env=False) as http:
        await post(http, size="256x256")
        await post(http, prompt="no [[refuse]]")
        found = await account(http)
    process.send_signal(signal.SIGTERM)

    assert await process.wait() == 0
    assert (found["requests"], found["billed"]) == (2, ["a red fox"])
