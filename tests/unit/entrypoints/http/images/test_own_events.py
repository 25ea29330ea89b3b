"""Following all of one's own images over HTTP, as server-sent events."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator, Script
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application import watch_own_images
from pixyproxy.domain.errors import DBConnectionError
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image
from pixyproxy.domain.listing import ImageFilter
from pixyproxy.entrypoints.http.auth import authentication
from pixyproxy.entrypoints.http.images import responses
from tests.factories import FailedImageFactory, GeneratingImageFactory
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

PATH = "/private/image/events"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_own_images, "_POLL_SECONDS_MAX", 0.25)


async def opened(served: Served, auth: tuple[str, str] = ANN) -> Stream:
    """Return a stream that has begun."""
    stream = Stream(served, PATH, auth)
    assert (await stream.piece()).split() == ["retry:", "2000"]
    return stream


async def event(stream: Stream) -> tuple[str, Any]:
    """Return the name and the data of the next event."""
    (found,) = events(await stream.piece())
    return found


async def events_until(stream: Stream, name: str) -> list[tuple[str, Any]]:
    """Return the next events, the last of which has this name."""
    found = [await event(stream)]
    while found[-1][0] != name:
        found.append(await event(stream))
    return found


async def test_each_change_of_any_image_is_an_event_with_the_details() -> None:
    async with serving() as served:
        stream = await opened(served)
        public = (await served.post()).json()
        assert (await events_until(stream, "ready"))[-1] == (
            "ready",
            (await served.get(f"/private/image/{public['guid']}", ANN)).json(),
        )
        private = (await served.post(path="/private/image")).json()
        found = await events_until(stream, "ready")
        assert {detail["guid"] for _, detail in found} == {private["guid"]}
        assert [name for name, _ in found] == [detail["status"] for _, detail in found]
        changed = await served.client.patch(f"/private/image/{private['guid']}", json={"tags": ["sea"]}, auth=ANN)
        assert await event(stream) == ("ready", changed.json())
        await stream.leave()


async def test_the_images_that_are_being_made_come_first() -> None:
    generator = HeldGenerator()
    async with serving(with_settings(max_generations=1), generator=generator) as served:
        made = [(await served.post(prefer="respond-async")).json()["guid"] for _ in range(3)]
        await generator.is_drawing.wait()
        stream = await opened(served)
        found = [await event(stream) for _ in made]
        assert [detail["guid"] for _, detail in found] == made
        assert [name for name, _ in found] == ["generating", "pending", "pending"]
        generator.go_on()
        ready = set[str]()
        while len(ready) < 3:
            ready |= {detail["guid"] for _, detail in await events_until(stream, "ready")}
        assert ready == set(made)
        await stream.leave()


async def test_images_that_another_process_makes_come_too_and_those_of_others_do_not() -> None:
    images = InMemoryImageRepository()
    async with serving(images=images) as served, serving(images=images) as elsewhere:
        stream, other = await opened(served), await opened(served, BOB)
        created = (await elsewhere.post(path="/private/image")).json()
        found = await events_until(stream, "ready")
        assert {detail["guid"] for _, detail in found} == {created["guid"]}
        own = (await elsewhere.post(path="/private/image", auth=BOB)).json()
        assert {detail["guid"] for _, detail in await events_until(other, "ready")} == {own["guid"]}
        for each in (stream, other):
            await each.leave()


async def test_a_partial_image_is_an_event_with_its_address() -> None:
    generator = InMemoryImageGenerator()
    generator.script(Script(delay=0.1))
    async with serving(generator=generator) as served:
        stream = await opened(served)
        created = (await served.post({"prompt": "a fox", "partial_images": 2}, path="/private/image")).json()
        guid = created["guid"]
        found = await events_until(stream, "ready")
        partials = [detail for name, detail in found if name == "partial"]
        assert partials == [
            {"guid": guid, "position": position, "url": f"/private/image/{guid}/partial/{position}"}
            for position in range(2)
        ]
        await stream.leave()


async def test_head_has_the_headers_alone() -> None:
    async with serving() as served:
        async with asyncio.timeout(SOON):
            head = await served.client.head(PATH, auth=ANN)
        assert head.status_code == 200
        assert head.headers["Content-Type"].partition(";")[0] == "text/event-stream"
        assert head.headers["Cache-Control"] == "no-store"
        assert head.headers["X-Accel-Buffering"] == "no"
        assert head.content == b""


async def test_a_stream_needs_a_login() -> None:
    async with serving() as served:
        problem(await served.get(PATH), 401)
        problem(await served.get(PATH, ("ann", "wrong")), 401)


async def test_events_is_no_guid() -> None:
    async with serving() as served:
        problem(await served.get("/image/events"), 400, "guid")
        problem(await served.client.post(PATH, auth=ANN), 405)


async def test_a_stream_is_kept_alive_while_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "KEEP_ALIVE_SECONDS", 0.01)
    async with serving() as served:
        stream = await opened(served)
        assert [(await stream.piece()).rstrip() for _ in range(3)] == [": keep-alive"] * 3
        await stream.leave()


async def test_a_client_that_leaves_leaves_nothing_behind() -> None:
    async with serving() as served:
        before = asyncio.all_tasks()
        streams = [await opened(served) for _ in range(5)]
        for stream in streams:
            await stream.leave()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() <= before


@pytest.mark.parametrize("stop", ["stop_watching", "stop_waiting"])
async def test_a_service_that_stops_ends_all_streams_at_once(stop: str, caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as served:
        streams = [await opened(served) for _ in range(5)]
        getattr(served.container.generations(), stop)()
        for stream in streams:
            await stream.end()
        assert "events broken off" not in caplog.messages


async def test_the_stream_of_a_user_who_is_disabled_ends(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as served:
        stream, other = await opened(served), await opened(served, BOB)
        await served.container.disable_user()("ann")
        await stream.end()
        assert "events broken off" in caplog.messages
        created = (await served.post(auth=BOB)).json()
        assert (await events_until(other, "ready"))[-1][1]["guid"] == created["guid"]
        await other.leave()


async def test_the_stream_of_a_key_that_is_revoked_ends() -> None:
    async with serving() as served:
        made = await served.client.post("/private/key", json={"name": "studio", "scopes": ["read"]}, auth=ANN)
        stream = Stream(served, PATH, made.json()["key"])
        await stream.piece()
        await served.client.delete(f"/private/key/{made.json()['guid']}", auth=ANN)
        await stream.end()


async def test_the_stream_of_a_login_that_expires_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "_EVERY_SECONDS", 0.1)
    async with serving() as served:
        expires_at = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
        body = {"name": "studio", "scopes": ["read"], "expires_at": expires_at}
        made = await served.client.post("/private/key", json=body, auth=ANN)
        stream = Stream(served, PATH, made.json()["key"])
        await stream.piece()
        await stream.end()


class AbsentImages(InMemoryImageRepository):
    """Can be away."""

    is_away = False

    async def list(self, wanted: ImageFilter, **arguments: Any) -> Any:
        if self.is_away:
            raise DBConnectionError("The database does not answer.")
        return await super().list(wanted, **arguments)

    async def list_changes(self, *arguments: Any, **named: Any) -> Any:
        if self.is_away:
            raise DBConnectionError("The database does not answer.")
        return await super().list_changes(*arguments, **named)


async def test_a_stream_outlasts_a_database_that_goes_away_and_does_not_begin_without_one() -> None:
    images = AbsentImages()
    async with serving(images=images) as served:
        stream = await opened(served)
        images.is_away = True
        problem(await served.get(PATH, ANN), 503)
        added = await images.add(FailedImageFactory.build(author="ann", updated_at=served.container.clock().now()))
        images.is_away = False
        name, detail = await event(stream)
        assert (name, detail["guid"]) == ("failed", str(added.guid))
        await stream.leave()


async def test_a_database_that_stays_away_ends_the_stream(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch_own_images, "PATIENCE_SECONDS", 0.0)
    images = AbsentImages()
    async with serving(images=images) as served:
        stream = await opened(served)
        images.is_away = True
        await stream.end()
        assert "events broken off" in caplog.messages


async def test_a_stream_of_the_longest_prompts_is_sent_piece_by_piece() -> None:
    images = InMemoryImageRepository()
    added: list[Image] = []
    for _ in range(100):
        request = GenerationRequest(prompt="\N{FOX FACE}" * 32_000)
        added.append(await held(images, GeneratingImageFactory.build(author="ann", request=request)))
    async with serving(images=images) as served:
        stream = await opened(served)
        found = [await event(stream) for _ in added]
        assert {detail["guid"] for _, detail in found} == {str(image.guid) for image in added}
        await stream.leave()
