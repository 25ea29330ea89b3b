"""The stand-in itself: what it answers must be what the official client takes for OpenAI."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import openai
import pytest
from openai.types import ImagesResponse
from pydantic import ConfigDict, TypeAdapter

from tests.doubles.openai_server import BEHAVIOURS, OpenAIServer

GOOD = ["ok", "slow 0.1", "big 30000", "two", "chunked", "no-usage", "svg-usage"]


class StrictImagesResponse(ImagesResponse):
    """The client's own type, which lets no unknown field and no wrong type pass."""

    model_config = ConfigDict(extra="forbid", strict=True)


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server:
        yield server


@pytest.fixture
async def http(server: OpenAIServer) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"authorization": f"Bearer {server.api_key}"}
    async with httpx2.AsyncClient(base_url=server.base_url, headers=headers, trust_env=False) as client:
        yield client


async def post(http: httpx2.AsyncClient, **parameters: Any) -> httpx2.Response:
    return await http.post("/images/generations", json={"model": "gpt-image-2", "prompt": "a red fox", **parameters})


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
        account = msgspec.json.decode((await http.get(base_url.removesuffix("/v1") + "/stand-in")).content)
    process.send_signal(signal.SIGTERM)

    assert await process.wait() == 0
    assert account == {"requests": 2, "billed": ["a red fox"]}
