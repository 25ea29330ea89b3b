"""Processes that share a database, a folder of contents, the queue of images, and the limits of an OpenAI key."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from pixyproxy.entrypoints.cli.serve import HAND_OVER_SECONDS
from tests.doubles.openai_server import OpenAIServer
from tests.doubles.service import Service, running_service

SOON = 60.0


class Replicas:
    """Services that are started one by one; `login` is that of the user whom the first start has created."""

    def __init__(self, folder: Path, stack: ExitStack, environment: dict[str, str]) -> None:
        self._folder = folder
        self._stack = stack
        self._environment = environment
        self.login = ("", "")

    async def start(self, **settings: str) -> Service:
        """Start one more."""
        starting = running_service(self._folder, {**self._environment, **settings})
        service = await asyncio.to_thread(self._stack.enter_context, starting)
        self.login = service.login if self.login == ("", "") else self.login
        return service


@pytest.fixture
async def openai() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server:
        yield server


@pytest.fixture
def environment(openai: OpenAIServer) -> dict[str, str]:
    return {
        "PIXYPROXY_GENERATOR": "openai",
        "PIXYPROXY_OPENAI_SIZE": "256x256",
        "PIXYPROXY_LEASE": "0.6",
        "OPENAI_API_KEY": str(openai.api_key),
        "OPENAI_BASE_URL": openai.base_url,
    }


@pytest.fixture
def on_sqlite(tmp_path: Path, environment: dict[str, str]) -> Iterator[Replicas]:
    """Replicas that share an SQLite file."""
    with ExitStack() as stack:
        yield Replicas(tmp_path, stack, environment)


@pytest.fixture
def on_mysql(tmp_path: Path, environment: dict[str, str], empty_mysql_url: str) -> Iterator[Replicas]:
    """Replicas that share a MySQL server."""
    database = {"PIXYPROXY_DATABASE_URL": empty_mysql_url, "PIXYPROXY_AUTO_UPGRADE": "true"}
    with ExitStack() as stack:
        yield Replicas(tmp_path, stack, environment | database)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=SOON) as client:
        yield client


class Author:
    """Asks replicas for images."""

    def __init__(self, client: httpx.AsyncClient, replicas: Replicas) -> None:
        self._client = client
        self._replicas = replicas

    async def ask(self, service: Service, prompt: str) -> httpx.Response:
        """Ask for an image and wait for it."""
        return await self._client.post(
            f"{service.url}/private/image", json={"prompt": prompt}, auth=self._replicas.login
        )

    async def order(self, service: Service, prompt: str) -> str:
        """Ask for an image, do not wait for it, and return its guid."""
        response = await self._client.post(
            f"{service.url}/private/image",
            json={"prompt": prompt},
            auth=self._replicas.login,
            headers={"Prefer": "respond-async"},
        )
        assert response.status_code == 202, response.text
        return str(response.json()["guid"])

    async def statuses(self, service: Service, guids: Sequence[str]) -> list[str]:
        """Return the status of each image."""
        listed: list[dict[str, Any]] = []
        for guid in guids:
            url = f"{service.url}/private/image/{guid}"
            listed.append((await self._client.get(url, auth=self._replicas.login)).json())
        return [image["status"] for image in listed]

    async def finished(self, service: Service, guids: Sequence[str]) -> list[str]:
        """Return the status of each image when all are final."""
        async with asyncio.timeout(SOON):
            while {"pending", "generating"} & set(statuses := await self.statuses(service, guids)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return statuses


async def until(is_so: Callable[[], bool]) -> None:
    """Return as soon as it is so."""
    async with asyncio.timeout(SOON):
        while not is_so():  # noqa: ASYNC110 -- the stand-in sends no event
            await asyncio.sleep(0.01)


async def test_what_waits_when_a_process_is_killed_is_made_by_another_and_billed_once(
    openai: OpenAIServer, on_sqlite: Replicas, client: httpx.AsyncClient
) -> None:
    two_run = {"PIXYPROXY_OPENAI_CONCURRENCY": "2"}
    author, killed = Author(client, on_sqlite), await on_sqlite.start(**two_run)
    prompts = [f"fox {number} [[gate a]]" for number in range(5)]
    guids = [await author.order(killed, prompt) for prompt in prompts]
    await until(lambda: openai.waiting["a"] == 2)
    other = await on_sqlite.start(**two_run)
    assert await author.statuses(other, guids) == ["generating"] * 2 + ["pending"] * 3

    killed.stop(signal.SIGKILL)
    openai.open_gate("a")

    assert await author.finished(other, guids) == ["unknown"] * 2 + ["ready"] * 3
    assert sorted(openai.billed) == prompts


async def test_a_process_that_is_stopped_leaves_what_waits_to_another_and_its_clients_get_their_images(
    openai: OpenAIServer, on_sqlite: Replicas, client: httpx.AsyncClient
) -> None:
    one_runs = {"PIXYPROXY_OPENAI_CONCURRENCY": "1"}
    author, stopped = Author(client, on_sqlite), await on_sqlite.start(**one_runs)
    running = asyncio.create_task(author.ask(stopped, "fox 0 [[gate a]]"))
    await until(lambda: openai.waiting["a"] == 1)
    await on_sqlite.start(**one_runs)
    waiting = [asyncio.create_task(author.ask(stopped, f"fox {number}")) for number in (1, 2)]
    await asyncio.sleep(0.2)

    stopping = asyncio.create_task(asyncio.to_thread(stopped.stop, signal.SIGTERM))
    await until(lambda: "waiting for generations" in stopped.output or "Shutting down" in stopped.output)
    openai.open_gate("a")

    answers = [await answer for answer in (running, *waiting)]
    assert [(answer.status_code, answer.json().get("status")) for answer in answers] == [(200, "ready")] * 3
    assert await stopping in {0, -signal.SIGTERM}
    assert sorted(openai.billed) == ["fox 0 [[gate a]]", "fox 1", "fox 2"]


async def test_a_stream_has_what_another_process_makes_and_ends_as_soon_as_its_own_is_stopped(
    openai: OpenAIServer, on_sqlite: Replicas, client: httpx.AsyncClient
) -> None:
    author, stopped, other = Author(client, on_sqlite), await on_sqlite.start(), await on_sqlite.start()
    url = f"{stopped.url}/private/image/events"
    async with client.stream("GET", url, auth=on_sqlite.login) as stream, asyncio.timeout(SOON):
        lines = stream.aiter_lines()
        assert await anext(lines) == "retry: 2000"
        guid = (await author.ask(other, "a fox")).json()["guid"]
        while await anext(lines) != "event: ready":
            continue
        assert f'"guid":"{guid}"' in await anext(lines)

        running = asyncio.create_task(author.ask(stopped, "a hen [[gate a]]"))
        await until(lambda: openai.waiting["a"] == 1)
        stopping = asyncio.create_task(asyncio.to_thread(stopped.stop, signal.SIGTERM))
        async with asyncio.timeout(0.9 * HAND_OVER_SECONDS):
            async for _ in lines:
                continue
        assert not running.done()
    openai.open_gate("a")
    assert (await running).status_code == 200
    assert await stopping in {0, -signal.SIGTERM}


async def test_processes_share_the_queue_and_the_limits_of_a_key(
    openai: OpenAIServer, on_mysql: Replicas, client: httpx.AsyncClient
) -> None:
    two_run = {"PIXYPROXY_OPENAI_CONCURRENCY": "2"}
    small = await on_mysql.start(PIXYPROXY_MAX_GENERATIONS="1", **two_run)
    author, large = Author(client, on_mysql), await on_mysql.start(**two_run)

    # An image for which this process has no room is made by the other one, and shown to the client who waits here.
    held = asyncio.create_task(author.ask(small, "a fox [[gate a]]"))
    await until(lambda: openai.waiting["a"] == 1)
    assert (await author.ask(small, "another fox")).status_code == 200
    openai.open_gate("a")
    assert (await held).status_code == 200

    # No more run at once than the key allows.
    asked = [
        author.ask(service, f"{service.port} {number} [[slow 0.1]]")
        for number in range(4)
        for service in (small, large)
    ]
    assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}
    assert openai.most_at_once == 2
    assert len(openai.billed) == 10

    # When OpenAI asks one of them to wait, all wait.
    openai.script("rate-limit 2")
    limited = asyncio.create_task(author.ask(large, "a limited fox"))
    await until(lambda: len(openai.requests) == 11)
    limited_at = time.monotonic()
    await asyncio.sleep(0.3)
    answers = await asyncio.gather(author.ask(large, "a late fox"), author.ask(small, "a later fox"), limited)
    assert {answer.status_code for answer in answers} == {200}
    assert time.monotonic() - limited_at >= 1.9
    assert min(request.at for request in openai.requests[11:]) - openai.requests[10].at >= 1.9
