"""Generators on the stand-in OpenAI server."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.adapters.openai.retry_policy import RetryPolicy
from tests.doubles.openai_server import OpenAIServer

Generators = Callable[..., OpenAIImageGenerator]


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server:
        yield server


@pytest.fixture
def pauses() -> list[float]:
    """The pauses that were made between attempts; none of them takes any time."""
    return []


@pytest.fixture
def retry(pauses: list[float]) -> RetryPolicy:
    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    return RetryPolicy(sleep=sleep, jitter=lambda: 0.5)


@pytest.fixture
def size() -> str:
    """The size of pictures that no test asks to be of another."""
    return "64x64"


@pytest.fixture
async def generators(server: OpenAIServer, retry: RetryPolicy, size: str) -> AsyncIterator[Generators]:
    """Make generators that draw on the stand-in."""
    made: list[OpenAIImageGenerator] = []

    def make(**settings: Any) -> OpenAIImageGenerator:
        defaults = {"api_key": server.api_key, "base_url": server.base_url, "size": size, "retry": retry}
        made.append(OpenAIImageGenerator(**{**defaults, **settings}))
        return made[-1]

    yield make
    for generator in made:
        await generator.close()


@pytest.fixture
def generator(generators: Generators) -> OpenAIImageGenerator:
    return generators()
