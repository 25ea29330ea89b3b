"""Following an image over HTTP, as server-sent events."""

import asyncio
from uuid import UUID, uuid4

import pytest

from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.domain.errors import DBConnectionError, GenerationRefusedError
from pixyproxy.domain.image import Image
from pixyproxy.entrypoints.http.images import responses
from tests.factories import GeneratingImageFactory
from tests.images import held
from tests.unit.entrypoints.http.conftest import ANN, BOB
from tests.unit.entrypoints.http.problem_bodies import problem
from tests.unit.entrypoints.http.serving import (
    SOON,
    HeldGenerator,
    Served,
    Stream,
    events,
    serving,
    with_settings,
)

BOTH = pytest.mark.parametrize("path", ["/image", "/private/image"])


class UnsteadyImageRepository(InMemoryImageRepository):
    """Is away when it is told so."""

    is_away = False

    async def get(self, guid: UUID) -> Image:
        if self.is_away:
            raise DBConnectionError("The database does not answer.")
        return await super().get(guid)


async def begin(served: Served, generator: HeldGenerator, path: str = "/image") -> str:
    """Ask for an image and return its address as soon as it is being drawn."""
    response = await served.post(path=path, prefer="respond-async")
    await generator.is_drawing.wait()
    return response.headers["Location"]


@BOTH
async def test_each_state_is_an_event_and_the_final_one_ends_the_stream(path: str) -> None:
    generator = HeldGenerator()
    settings = with_settings(max_generations=1)
    async with serving(settings, generator=generator) as served:
        await begin(served, generator)
        location = (await served.post(path=path, prefer="respond-async")).headers["Location"]
        following = asyncio.create_task(served.get(f"{location}/events", ANN))
        await asyncio.sleep(0.05)
        generator.go_on()

        response = await asyncio.wait_for(following, SOON)

        assert response.status_code == 200
        assert response.headers["Content-Type"].partition(";")[0] == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        found = events(response.text)
        assert [name for name, _ in found] == [detail["status"] for _, detail in found]
        # One that lasts for less than a moment may be missed; the first and the last never are.
        assert [name for name, _ in found if name != "generating"] == ["pending", "ready"]
        assert found[-1][1] == (await served.get(location, ANN)).json()


async def test_each_event_is_sent_as_soon_as_it_is_known() -> None:
    generator = HeldGenerator()
    async with serving(generator=generator) as served:
        location = await begin(served, generator)
        stream = Stream(served, f"{location}/events")

        assert [name for name, _ in events(await stream.piece())] == ["generating"]
        generator.go_on()
        assert [name for name, _ in events(await stream.piece())] == ["ready"]
        await stream.leave()


async def test_a_failure_ends_the_stream_with_its_problem() -> None:
    generator = InMemoryImageGenerator()
    generator.fail_next(GenerationRefusedError("No foxes.", maybe_billed=False))
    async with serving(generator=generator) as served:
        guid = (await served.post()).json()["guid"]

        [(name, detail)] = events((await served.get(f"/image/{guid}/events", ANN)).text)

        assert name == "failed"
        assert detail["problem"]["detail"] == "No foxes."


async def test_anybody_may_follow_an_image_that_is_ready() -> None:
    async with serving() as served:
        created = (await served.post()).json()

        assert events((await served.get(f"/image/{created['guid']}/events")).text) == [("ready", created)]


@BOTH
async def test_only_the_author_may_follow_an_image_that_is_being_made(path: str) -> None:
    generator = HeldGenerator()
    async with serving(generator=generator) as served:
        location = await begin(served, generator, path)

        problem(await served.get(f"{location}/events", BOB), 404)
        problem(await served.get(f"{location}/events"), 401 if "private" in path else 404)


@BOTH
@pytest.mark.parametrize(("guid", "status", "fields"), [(str(uuid4()), 404, []), ("fox", 400, ["guid"])])
async def test_an_unknown_image_can_not_be_followed(path: str, guid: str, status: int, fields: list[str]) -> None:
    async with serving() as served:
        problem(await served.get(f"{path}/{guid}/events", ANN), status, *fields)


async def test_a_stream_is_kept_alive_while_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "KEEP_ALIVE_SECONDS", 0.01)
    generator = HeldGenerator()
    async with serving(generator=generator) as served:
        stream = Stream(served, f"{await begin(served, generator)}/events")
        await stream.piece()

        assert [(await stream.piece()).rstrip() for _ in range(3)] == [": keep-alive"] * 3
        generator.go_on()
        while (piece := await stream.piece()).startswith(":"):
            continue
        assert [name for name, _ in events(piece)] == ["ready"]
        await stream.leave()


@pytest.mark.parametrize("keep_alive", [0.01, 15.0])
async def test_a_client_that_leaves_ends_the_following_and_not_the_drawing(
    keep_alive: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses, "KEEP_ALIVE_SECONDS", keep_alive)
    generator = HeldGenerator()
    async with serving(generator=generator) as served:
        location = await begin(served, generator)
        tasks_before = asyncio.all_tasks()
        stream = Stream(served, f"{location}/events")
        await stream.piece()

        await stream.leave()

        await asyncio.sleep(0)
        assert asyncio.all_tasks() <= tasks_before
        generator.go_on()
        assert (await served.ready(location.rpartition("/")[2])).status == "ready"


async def test_a_database_that_goes_away_ends_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    images = UnsteadyImageRepository()
    image = GeneratingImageFactory.build(author="ann")
    async with serving(images=images) as served:
        await held(images, image)
        stream = Stream(served, f"/image/{image.guid}/events")
        await stream.piece()

        images.is_away = True

        await stream.end()
        assert "events broken off" in caplog.messages


async def test_an_image_that_another_process_generates_is_followed_too() -> None:
    images = InMemoryImageRepository()
    image = GeneratingImageFactory.build(author="ann")
    async with serving(images=images) as served:
        image = await held(images, image)
        stream = Stream(served, f"/image/{image.guid}/events")
        assert [name for name, _ in events(await stream.piece())] == ["generating"]

        failed = image.failed(GenerationRefusedError("No.", maybe_billed=False), at=image.updated_at)
        await images.update(failed, expected=image.status)

        assert [name for name, _ in events(await stream.piece())] == ["failed"]
        await stream.leave()


@pytest.mark.parametrize("path", ["/image", "/private/image"])
async def test_the_stream_of_a_user_who_is_disabled_ends(path: str, caplog: pytest.LogCaptureFixture) -> None:
    generator = HeldGenerator()
    async with serving(generator=generator) as served:
        location = await begin(served, generator, path)
        stream = Stream(served, f"{location}/events")
        await stream.piece()
        await served.container.disable_user()("ann")
        await stream.end()
        assert "events broken off" in caplog.messages
        generator.go_on()


async def test_a_change_of_another_user_ends_no_stream() -> None:
    generator = HeldGenerator()
    async with serving(generator=generator) as served:
        stream = Stream(served, f"{await begin(served, generator)}/events")
        await stream.piece()
        await served.container.disable_user()("bob")
        await asyncio.sleep(0.3)
        generator.go_on()
        assert [name for name, _ in events(await stream.piece())] == ["ready"]
        await stream.end()
