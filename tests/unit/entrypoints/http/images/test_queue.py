"""How many generations run and wait, and the answers to the rest."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.domain.errors import ContentStoreError
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.ports import GeneratedImage
from tests.factories import PendingImageFactory
from tests.unit.entrypoints.http.conftest import ANN, BOB
from tests.unit.entrypoints.http.problem_bodies import problem
from tests.unit.entrypoints.http.serving import SOON, HeldGenerator, serving, with_settings
from tests.use_cases import FOX

ASYNC = "respond-async"
NOW = datetime.now(UTC)
ONE_RUNS_ONE_WAITS = with_settings(max_generations=1, max_waiting=1)


class CountingGenerator(InMemoryImageGenerator):
    """Counts how many prompts it draws at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self._drawing = 0
        self.most = 0

    async def generate(self, request: GenerationRequest, **kwargs: Any) -> GeneratedImage:
        self._drawing += 1
        self.most = max(self.most, self._drawing)
        await asyncio.sleep(0.01)
        self._drawing -= 1
        return await super().generate(request)


async def test_no_more_than_so_many_run_at_once_and_all_get_their_turn() -> None:
    generator = CountingGenerator()
    async with serving(with_settings(max_generations=3, max_waiting=20), generator=generator) as served:
        responses = await asyncio.gather(*(served.post({"prompt": f"fox {number}"}) for number in range(12)))

        assert {response.status_code for response in responses} == {200}
        assert generator.most == 3


async def test_who_finds_no_place_is_turned_away_and_nothing_is_written_down() -> None:
    generator = HeldGenerator()
    async with serving(ONE_RUNS_ONE_WAITS, generator=generator) as served:
        running = served.post_later({"prompt": "first"})
        await generator.is_drawing.wait()
        waiting = await served.post({"prompt": "second"}, prefer=ASYNC)
        assert waiting.json()["status"] == "pending"

        response = await served.post({"prompt": "third"})

        found = problem(response, 503)
        assert found["type"] == "urn:pixyproxy:problem:overloaded"
        assert (found["retryable"], found["maybe_billed"]) == (True, False)
        assert "guid" not in found
        assert int(response.headers["Retry-After"]) > 0
        assert response.headers["Connection"] == "close"
        assert [image.prompt for image in await served.all_stored() if image.prompt == "third"] == []

        generator.go_on()
        assert (await asyncio.wait_for(running, SOON)).status_code == 200
        assert (await served.ready(waiting.json()["guid"])).status == "ready"
        assert (await served.post({"prompt": "third"})).status_code == 200


async def test_a_failed_generation_gives_its_place_back() -> None:
    generator = InMemoryImageGenerator()
    async with serving(with_settings(max_generations=1, max_waiting=0), generator=generator) as served:
        for _ in range(3):
            generator.fail_next(ZeroDivisionError("boom"))
            problem(await served.post(), 500)

        assert (await served.post()).status_code == 200


async def test_an_author_with_few_images_is_admitted_to_a_full_queue_and_comes_first() -> None:
    generator = HeldGenerator()
    async with serving(with_settings(max_generations=1, max_waiting=2), generator=generator) as served:
        anns = [await served.post({"prompt": f"ann's {number}"}, auth=ANN, prefer=ASYNC) for number in range(3)]
        problem(await served.post({"prompt": "ann's last"}, auth=ANN), 503)

        bobs = await served.post({"prompt": "bob's"}, auth=BOB, prefer=ASYNC)

        assert bobs.status_code == 202
        generator.go_on()
        ends = [await served.ready(response.json()["guid"]) for response in (*anns, bobs)]
        assert {image.status for image in ends} == {"ready"}
        assert [request.prompt for request in served.requests] == ["ann's 0", "bob's", "ann's 1", "ann's 2"]


async def test_a_full_queue_takes_no_more_of_an_author_than_of_the_one_with_the_most() -> None:
    generator = HeldGenerator()
    async with serving(with_settings(max_generations=1, max_waiting=2), generator=generator) as served:
        for number in range(3):
            assert (await served.post({"prompt": f"ann's {number}"}, auth=ANN, prefer=ASYNC)).status_code == 202

        statuses = [
            (await served.post({"prompt": f"bob's {number}"}, auth=BOB, prefer=ASYNC)).status_code
            for number in range(3)
        ]

        assert statuses == [202, 202, 503]
        generator.go_on()


async def test_images_that_another_process_has_queued_are_made_and_have_their_places() -> None:
    generator, images = HeldGenerator(), InMemoryImageRepository()
    async with serving(ONE_RUNS_ONE_WAITS, generator=generator, images=images) as served:
        model = generator.capabilities().default
        facts = {"author": "ann", "created_at": NOW, "request": FOX, "batch": None, "model": model}
        others = [await images.add(PendingImageFactory.build(**facts)) for _ in range(3)]

        problem(await served.post(auth=ANN), 503)

        generator.go_on()
        assert {(await served.ready(image.guid)).status for image in others} == {"ready"}
        assert (await served.post(auth=ANN)).status_code == 200


async def test_a_process_that_is_being_stopped_turns_images_away_and_leaves_the_queue_alone() -> None:
    generator = HeldGenerator()
    async with serving(ONE_RUNS_ONE_WAITS, generator=generator) as served:
        running = await served.post({"prompt": "running"}, prefer=ASYNC)
        waiting = await served.post({"prompt": "waiting"}, prefer=ASYNC)

        served.container.dispatcher().stop()

        problem(await served.post(), 503)
        generator.go_on()
        assert (await served.ready(running.json()["guid"])).status == "ready"
    assert (await served.stored(waiting.json()["guid"])).status == "pending"


async def test_nothing_is_recorded_when_the_content_could_not_be_stored() -> None:
    class Full(InMemoryContentStore):
        async def check(self) -> None:
            raise ContentStoreError("The content store is full.")

    async with serving(contents=Full()) as served:
        found = problem(await served.post(), 503)

        assert (found["detail"], found["maybe_billed"]) == ("The content store is full.", False)
        assert await served.all_stored() == []


async def test_an_image_waits_for_a_content_store_that_fails_before_the_purchase() -> None:
    class Unsteady(InMemoryContentStore):
        checks = 0

        async def check(self) -> None:
            self.checks += 1
            if self.checks in {2, 3}:
                raise ContentStoreError("The content store is full.")

    contents = Unsteady()
    async with serving(with_settings(lease=0.1), contents=contents) as served:
        assert (await served.post()).status_code == 200
        assert contents.checks == 4
        assert len(served.requests) == 1
