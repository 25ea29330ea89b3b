"""How many generations run and wait, and the answers to the rest."""

import asyncio
from typing import Any

from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.ports import GeneratedImage
from tests.unit.entrypoints.http.conftest import ANN, BOB
from tests.unit.entrypoints.http.problem_bodies import problem
from tests.unit.entrypoints.http.serving import SOON, HeldGenerator, serving, with_settings

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
        waiting = await served.post({"prompt": "second"}, prefer="respond-async")
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


async def test_an_author_with_many_waiting_gives_up_the_latest_for_another() -> None:
    generator = HeldGenerator()
    async with serving(with_settings(max_generations=1, max_waiting=2), generator=generator) as served:
        anns = [served.post_later({"prompt": f"ann's {number}"}, auth=ANN) for number in range(3)]
        await generator.is_drawing.wait()
        await asyncio.sleep(0.05)
        assert len(await served.all_stored()) == len(anns)
        bobs = served.post_later({"prompt": "bob's"}, auth=BOB)

        response = await asyncio.wait_for(anns[2], SOON)

        found = problem(response, 503)
        assert found["type"] == "urn:pixyproxy:problem:generation-not-started"
        assert (found["retryable"], found["maybe_billed"]) == (True, False)
        assert (await served.stored(found["guid"])).status == "failed"
        assert int(response.headers["Retry-After"]) > 0
        generator.go_on()
        assert (await asyncio.wait_for(bobs, SOON)).status_code == 200
