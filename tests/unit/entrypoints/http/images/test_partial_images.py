"""Partial images over HTTP: events that tell of them, and their bytes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest

from pixyproxy.adapters.memory.image_generator import PICTURE, InMemoryImageGenerator, Script
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Visibility
from pixyproxy.domain.user import Principal, UserName
from pixyproxy.entrypoints.settings import Settings
from tests.pausing_generator import PausingGenerator
from tests.unit.entrypoints.http.conftest import ANN, BOB
from tests.unit.entrypoints.http.problem_bodies import problem
from tests.unit.entrypoints.http.serving import IMPATIENT, SOON, Served, events, serving, with_settings

BOTH = pytest.mark.parametrize("path", ["/image", "/private/image"])
FOX = GenerationRequest(prompt="a fox", partial_images=2)


@asynccontextmanager
async def drawing(
    path: str = "/image", settings: Settings = IMPATIENT
) -> AsyncIterator[tuple[Served, PausingGenerator, str]]:
    """Serve, and give the address of an image of Ann's all of whose partial images are there."""
    generator = PausingGenerator()
    async with serving(settings, generator=generator) as served:
        created = await served.container.create_image()(
            FOX,
            visibility=Visibility.PUBLIC if path == "/image" else Visibility.PRIVATE,
            principal=Principal(name=UserName(ANN[0])),
            wait=0,
        )
        await generator.is_pausing.wait()
        yield served, generator, f"{path}/{created.image.guid}"


@BOTH
async def test_the_events_tell_of_each_partial_image_and_where_its_bytes_are(path: str) -> None:
    async with drawing(path) as (served, generator, location):
        following = asyncio.create_task(served.get(f"{location}/events", ANN))
        await asyncio.sleep(0.05)
        generator.may_go_on.set()

        found = events((await asyncio.wait_for(following, SOON)).text)

        assert [name for name, _ in found] == ["generating", "partial", "partial", "ready"]
        assert [data for name, data in found if name == "partial"] == [
            {"guid": location.rpartition("/")[2], "position": position, "url": f"{location}/partial/{position}"}
            for position in range(2)
        ]


@BOTH
async def test_the_bytes_can_be_fetched_until_the_image_is_final(path: str) -> None:
    async with drawing(path) as (served, generator, location):
        response = await served.get(f"{location}/partial/1", ANN)

        assert (response.status_code, response.content) == (200, PICTURE)
        assert response.headers["Content-Type"] == "image/png"
        assert response.headers["Content-Length"] == str(len(PICTURE))
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "sandbox" in response.headers["Content-Security-Policy"]
        guid = location.rpartition("/")[2]
        assert response.headers["Content-Disposition"] == f'inline; filename="{guid}-1.png"'
        generator.may_go_on.set()
        assert (await served.ready(guid)).status == "ready"
        problem(await served.get(f"{location}/partial/1", ANN), 404)


@BOTH
async def test_head_has_the_headers_and_no_bytes(path: str) -> None:
    async with drawing(path) as (served, _, location):
        whole = await served.get(f"{location}/partial/0", ANN)
        head = await served.client.head(f"{location}/partial/0", auth=ANN)

        assert (head.status_code, head.content) == (200, b"")
        assert {**head.headers, "x-request-id": ""} == {**whole.headers, "x-request-id": ""}


@BOTH
async def test_only_those_may_read_them_who_may_see_the_image_being_made(path: str) -> None:
    async with drawing(path) as (served, _, location):
        problem(await served.get(f"{location}/partial/0", BOB), 404)
        problem(await served.get(f"{location}/partial/0"), 401 if "private" in path else 404)
        problem(await served.get(f"{location}/partial/0", ("ann", "wrong password")), 401)


async def test_a_private_image_has_none_on_the_public_route() -> None:
    async with drawing("/private/image") as (served, _, location):
        problem(await served.get(f"{location.removeprefix('/private')}/partial/0", ANN), 404)


@BOTH
@pytest.mark.parametrize(
    ("position", "status"),
    [("2", 404), ("99999999999999999999", 404), ("-1", 400), ("x", 400), ("1.5", 400), ("", 404), ("0/1", 404)],
)
async def test_another_position_is_refused(path: str, position: str, status: int) -> None:
    async with drawing(path) as (served, _, location):
        problem(
            await served.get(f"{location}/partial/{position}", ANN), status, *(["position"] if status == 400 else [])
        )


@BOTH
@pytest.mark.parametrize(("guid", "status", "fields"), [(str(uuid4()), 404, []), ("fox", 400, ["guid"])])
async def test_an_unknown_image_has_none(path: str, guid: str, status: int, fields: list[str]) -> None:
    async with drawing() as (served, _, _location):
        problem(await served.get(f"{path}/{guid}/partial/0", ANN), status, *fields)


async def test_their_addresses_begin_with_the_prefix_of_the_service() -> None:
    settings = with_settings(public_url="https://example.com/pixy")
    async with drawing(settings=settings) as (served, generator, location):
        following = asyncio.create_task(served.get(f"/pixy{location}/events", ANN))
        await asyncio.sleep(0.05)
        generator.may_go_on.set()

        found = events((await asyncio.wait_for(following, SOON)).text)

        urls = [data["url"] for name, data in found if name == "partial"]
        assert urls == [f"/pixy{location}/partial/{position}" for position in range(2)]


async def test_a_listener_that_leaves_costs_nothing() -> None:
    async with drawing() as (served, generator, location):
        listening = asyncio.create_task(served.get(f"{location}/events", ANN))
        await asyncio.sleep(0.05)

        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        generator.may_go_on.set()

        image = await served.ready(UUID(location.rpartition("/")[2]))
        assert image.status == "ready"
        assert (await served.get(f"{location}/content")).content == PICTURE


async def test_events_of_an_image_without_partial_images_are_as_ever() -> None:
    generator = InMemoryImageGenerator()
    generator.script(Script(partials=[PICTURE], delay=0.05))
    async with serving(generator=generator) as served:
        location = (await served.post(prefer="respond-async")).headers["Location"]

        found = events((await served.get(f"{location}/events", ANN)).text)

        assert "partial" not in [name for name, _ in found]
