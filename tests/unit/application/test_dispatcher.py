"""The queue, and how much of it a process works off."""

import asyncio
import dataclasses
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.memory.rate_limits import InMemoryRateLimits
from pixyproxy.application import GenerateImage
from pixyproxy.application.dispatcher import Dispatcher, DispatchPolicy
from pixyproxy.application.generate_image import GenerationPolicy
from pixyproxy.application.generations import Generations
from pixyproxy.domain.errors import (
    ContentStoreError,
    DamagedRecordError,
    DataValidationError,
    DBConnectionError,
    GenerationNotStartedError,
    GenerationRateLimitedError,
    OverloadedError,
)
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageStatus
from pixyproxy.domain.ports import GeneratedImage, InputPictures
from pixyproxy.domain.reference import Reference
from pixyproxy.domain.user import UserName
from tests.factories import PendingImageFactory
from tests.images import ANN, BOB, held

POLL = 0.02
MODEL = InMemoryImageGenerator().capabilities().default


class GatedGenerator(InMemoryImageGenerator):
    """Draws each image when it is let go on."""

    def __init__(self) -> None:
        super().__init__()
        self.prompts: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.most = self.running = 0

    async def generate(self, request: GenerationRequest, **kwargs: Any) -> GeneratedImage:
        self.prompts.append(request.prompt)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.gates.setdefault(request.prompt, asyncio.Event()).wait()
            return await super().generate(request, **kwargs)
        finally:
            self.running -= 1

    def let(self, *prompts: str) -> None:
        for prompt in prompts:
            self.gates.setdefault(prompt, asyncio.Event()).set()

    async def called(self, number: int) -> list[str]:
        """Wait for `number` calls and return their prompts."""
        async with asyncio.timeout(5):
            while len(self.prompts) < number:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        return self.prompts


class DamagedRepository(InMemoryImageRepository):
    """Can't read the record of the image `damaged`."""

    damaged: UUID | None = None

    async def get(self, guid: UUID) -> Image:
        if guid == self.damaged:
            raise DamagedRecordError("The record is damaged.")
        return await super().get(guid)


@pytest.fixture
def gated() -> GatedGenerator:
    return GatedGenerator()


@pytest.fixture
async def processes(
    images: InMemoryImageRepository, contents: InMemoryContentStore, clock: InMemoryClock, gated: GatedGenerator
) -> AsyncIterator["Processes"]:
    processes = Processes(images, contents, clock, gated)
    yield processes
    for dispatcher in processes.started:
        dispatcher.stop()
        await dispatcher.generations.close(0)
        await dispatcher.close()
        await dispatcher.generations.close(0)


class Processes:
    """Starts processes on one database."""

    def __init__(
        self,
        images: InMemoryImageRepository,
        contents: InMemoryContentStore,
        clock: InMemoryClock,
        generator: GatedGenerator,
    ) -> None:
        self.images = images
        self.rate_limits = InMemoryRateLimits()
        self.contents = contents
        self._parts: dict[str, Any] = {"clock": clock, "generator": generator}
        self.started: list[Dispatcher] = []

    def start(self, *, serves: bool = True, has_queue: bool = True, **policy: Any) -> Dispatcher:
        images = self.images if has_queue else None
        generate_image = GenerateImage(
            images=self.images,
            contents=self.contents,
            leases=images,
            policy=GenerationPolicy(owner=f"process {len(self.started)}", lease_seconds=0.03, pause=0.01),
            **self._parts,
        )
        dispatcher = Dispatcher(
            generate_image=generate_image,
            queue=images,
            rate_limits=self.rate_limits,
            generations=Generations(),
            policy=DispatchPolicy(**{"poll": POLL, **policy}),
        )
        self.started.append(dispatcher)
        if serves:
            dispatcher.serve()
        return dispatcher

    async def queue(self, *prompts: str, author: UserName | None = ANN, to: Dispatcher | None = None) -> list[Image]:
        """Store pending images with these prompts, one after the other, and begin them in the process `to`."""
        clock = self._parts["clock"]
        queued = []
        for prompt in prompts:
            request = GenerationRequest(prompt=prompt)
            image = PendingImageFactory.build(
                request=request, author=author, created_at=clock.now(), batch=None, model=MODEL
            )
            queued.append(await self.images.add(image))
        if to is not None:
            await to.begin(queued)
        return queued

    def now(self) -> datetime:
        """Return the time by the clock of all processes."""
        now: datetime = self._parts["clock"].now()
        return now

    async def ready(self, *images: Image) -> None:
        """Return when all are ready."""
        for image in images:
            assert await Generations().result(self.images, image.guid, 5) is not None


async def test_as_many_as_may_run_begin_at_once_and_the_next_when_one_ends(
    processes: Processes, gated: GatedGenerator
) -> None:
    process = processes.start(max_running=2, poll=60)
    first, *_ = await processes.queue("a", "b", "c", to=process)
    assert await gated.called(2) == ["a", "b"]
    gated.let("a")
    await processes.ready(first)
    assert await gated.called(3) == ["a", "b", "c"]


async def test_a_process_makes_what_another_has_queued(processes: Processes, gated: GatedGenerator) -> None:
    full = processes.start(max_running=0)
    processes.start()
    gated.let("a", "b")
    await processes.ready(*await processes.queue("a", "b", to=full))


async def test_looks_into_the_queue_leave_the_random_numbers_of_the_host_alone(processes: Processes) -> None:
    state = random.getstate()
    processes.start()
    await asyncio.sleep(2 * POLL)
    assert random.getstate() == state


async def test_a_process_that_does_not_serve_makes_its_own_alone(processes: Processes, gated: GatedGenerator) -> None:
    command = processes.start(serves=False)
    gated.let("others", "own", "own too")
    (others,) = await processes.queue("others")
    await processes.ready(*await processes.queue("own", "own too", to=command))
    await asyncio.sleep(3 * POLL)
    assert (await processes.images.get(others.guid)).status is ImageStatus.PENDING


async def test_a_process_that_makes_its_own_alone_tries_again_after_a_store_that_failed_slowly(
    processes: Processes, gated: GatedGenerator
) -> None:
    class SlowlyFailingStore(InMemoryContentStore):
        is_away = True

        async def check_writing(self) -> None:
            if self.is_away:
                self.is_away = False
                await asyncio.sleep(3 * POLL)
                raise ContentStoreError("The store does not answer.")

    processes.contents = SlowlyFailingStore()
    gated.let("a")
    queued = await processes.queue("a", to=processes.start(serves=False))
    await processes.ready(*queued)


async def test_two_processes_make_each_image_once(processes: Processes, gated: GatedGenerator) -> None:
    one, two = processes.start(max_running=3), processes.start(max_running=3)
    names = [f"image {number}" for number in range(20)]
    gated.let(*names)
    queued = await processes.queue(*names)
    await asyncio.gather(one.begin(queued), two.begin(queued))
    await processes.ready(*queued)
    assert Counter(gated.prompts) == Counter(names)


@pytest.mark.parametrize("has_queue", [True, False])
async def test_authors_take_turns_however_many_images_of_one_wait(
    processes: Processes, gated: GatedGenerator, *, has_queue: bool
) -> None:
    process = processes.start(serves=has_queue, has_queue=has_queue, max_running=1, poll=60)
    anns = await processes.queue("ann 1", "ann 2", "ann 3", to=process)
    bobs = await processes.queue("bob 1", "bob 2", author=BOB, to=process)
    anonymous = await processes.queue("anonymous 1", author=None, to=process)
    await gated.called(1)
    gated.let(*(image.prompt for image in (*anns, *bobs, *anonymous)))
    await processes.ready(*anns, *bobs, *anonymous)
    assert gated.prompts == ["ann 1", "bob 1", "anonymous 1", "ann 2", "bob 2", "ann 3"]


async def test_authors_take_turns_across_processes(processes: Processes, gated: GatedGenerator) -> None:
    one, two = (processes.start(max_running=8, max_running_together=1) for _ in range(2))
    anns = await processes.queue("ann 1", "ann 2", "ann 3", to=one)
    bobs = await processes.queue("bob 1", author=BOB, to=two)
    await gated.called(1)
    gated.let(*(image.prompt for image in (*anns, *bobs)))
    await processes.ready(*anns, *bobs)
    assert gated.prompts == ["ann 1", "bob 1", "ann 2", "ann 3"]
    assert gated.most == 1


async def test_all_processes_together_run_no_more_than_the_limit(processes: Processes, gated: GatedGenerator) -> None:
    started = [processes.start(max_running=8, max_running_together=3) for _ in range(3)]
    names = [f"image {number}" for number in range(12)]
    queued = await processes.queue(*names)
    await asyncio.gather(*(process.begin(queued) for process in started))
    await gated.called(3)
    await asyncio.sleep(3 * POLL)
    assert len(gated.prompts) == 3
    gated.let(*names)
    await processes.ready(*queued)
    assert gated.most == 3


async def test_no_more_begin_than_the_rate_allows(processes: Processes, gated: GatedGenerator) -> None:
    process = processes.start(images_per_minute=600)
    names = [f"image {number}" for number in range(70)]
    gated.let(*names)
    await processes.queue(*names, to=process)
    await asyncio.sleep(0.1)
    # A tenth of the rate at once, and then one each tenth of a second.
    assert 8 <= len(gated.prompts) <= 63


async def test_a_rate_limit_of_the_generator_holds_up_all_processes(
    processes: Processes, gated: GatedGenerator
) -> None:
    one, two = processes.start(max_running=1), processes.start(max_running=1)
    gated.fail_next(GenerationRateLimitedError("Too many.", maybe_billed=False, retry_after=60))
    gated.let("a", "b", "c")
    (first,) = await processes.queue("a", to=one)
    with pytest.raises(GenerationRateLimitedError):
        await one.generations.result(processes.images, first.guid, 5)
    await processes.queue("b", to=one)
    await processes.queue("c", to=two)
    await asyncio.sleep(3 * POLL)
    assert gated.prompts == ["a"]


async def test_a_paused_process_leaves_the_queue_to_others(processes: Processes, gated: GatedGenerator) -> None:
    paused = processes.start()
    paused.pause()
    gated.let("a")
    (image,) = await processes.queue("a", to=paused)
    await asyncio.sleep(3 * POLL)
    assert (await processes.images.get(image.guid)).status is ImageStatus.PENDING
    processes.start()
    assert await paused.generations.result(processes.images, image.guid, 5) is not None


async def test_a_process_that_was_closed_can_serve_again(processes: Processes, gated: GatedGenerator) -> None:
    process = processes.start()
    await process.close()
    process.serve()
    await process.ensure_room(ANN)
    gated.let("a")
    await processes.ready(*await processes.queue("a", to=process))


async def test_a_stopped_process_admits_nothing(processes: Processes) -> None:
    process = processes.start()
    process.stop()
    with pytest.raises(OverloadedError, match="stopped"):
        await process.ensure_room(ANN)


async def test_without_a_queue_images_that_wait_when_the_process_ends_have_failed(
    processes: Processes, gated: GatedGenerator
) -> None:
    process = processes.start(serves=False, has_queue=False, max_running=1)
    _, waiting = await processes.queue("a", "b", to=process)
    await process.close()
    with pytest.raises(GenerationNotStartedError):
        await process.generations.result(processes.images, waiting.guid, 5)
    assert (await processes.images.get(waiting.guid)).status is ImageStatus.FAILED
    assert gated.prompts == ["a"]


@pytest.mark.parametrize("given", ["leases", "queue"])
async def test_a_queue_without_leases_or_leases_without_a_queue_are_refused(processes: Processes, given: str) -> None:
    leases, queue = (processes.images, None) if given == "leases" else (None, processes.images)
    generate_image = dataclasses.replace(processes.start().generate_image, leases=leases)
    with pytest.raises(ValueError, match="go together"):
        Dispatcher(generate_image=generate_image, queue=queue)


async def test_with_a_queue_they_stay_in_it(processes: Processes, gated: GatedGenerator) -> None:
    process = processes.start(max_running=1)
    _, waiting = await processes.queue("a", "b", to=process)
    await process.close()
    gated.let("a", "b")
    processes.start()
    await processes.ready(waiting)


async def test_a_cancelled_generation_gives_its_lease_up_at_once(processes: Processes, gated: GatedGenerator) -> None:
    process = processes.start()
    (image,) = await processes.queue("a", to=process)
    await gated.called(1)
    process.stop()
    await process.generations.close(0)
    (lease,) = await processes.images.list_leases(limit=1)
    assert (lease.guid, lease.owner) == (image.guid, None)


async def test_a_database_that_is_away_for_a_while_does_not_stop_the_queue(
    processes: Processes, gated: GatedGenerator
) -> None:
    class AwayRepository(InMemoryImageRepository):
        is_away = False

        async def list_next(self, **kwargs: Any) -> Sequence[UUID]:
            if self.is_away:
                raise DBConnectionError("The database does not answer.")
            return await super().list_next(**kwargs)

    processes.images = images = AwayRepository()
    errors: list[Exception] = []
    process = processes.start(serves=False)
    process.on_error = errors.append
    process.serve()
    images.is_away = True
    gated.let("a")
    queued = await processes.queue("a", to=process)
    await asyncio.sleep(2 * POLL)
    images.is_away = False
    await processes.ready(*queued)
    assert {type(error) for error in errors} == {DBConnectionError}


async def test_a_damaged_record_does_not_stop_the_queue(processes: Processes, gated: GatedGenerator) -> None:
    processes.images = images = DamagedRepository()
    (damaged,) = await processes.queue("damaged")
    images.damaged = damaged.guid
    gated.let("a")
    queued = await processes.queue("a")
    processes.start()
    await processes.ready(*queued)


async def test_an_image_that_was_taken_from_a_process_and_waits_again_is_bought_once(
    processes: Processes, gated: GatedGenerator
) -> None:
    class CutOffRepository(InMemoryImageRepository):
        is_cut_off = True

        async def update_leased(self, image: Image, **kwargs: Any) -> None:
            if self.is_cut_off:
                raise DBConnectionError("The database does not answer.")
            await super().update_leased(image, **kwargs)

    processes.images = images = CutOffRepository()
    process = processes.start()
    (image,) = await processes.queue("a", to=process)
    (lease,) = await images.list_leases(limit=1)
    assert await images.take_over(lease, "another process")
    await images.give_back(image.guid, "another process")
    await asyncio.sleep(3 * POLL)
    images.is_cut_off = False
    await gated.called(1)
    await asyncio.sleep(3 * POLL)
    gated.let("a")
    await processes.ready(image)
    assert gated.prompts == ["a"]


async def test_damaged_records_take_no_place_of_the_limit(processes: Processes, gated: GatedGenerator) -> None:
    processes.images = images = DamagedRepository()
    (damaged,) = await processes.queue("damaged")
    images.damaged = damaged.guid
    gated.let("a")
    queued = await processes.queue("a")
    processes.start(max_running_together=1)
    await processes.ready(*queued)


async def test_an_image_whose_record_can_not_be_read_at_its_turn_waits_for_the_next(
    processes: Processes, gated: GatedGenerator
) -> None:
    class StumblingRepository(InMemoryImageRepository):
        is_away = True

        async def get(self, guid: UUID) -> Image:
            if self.is_away:
                self.is_away = False
                raise DBConnectionError("The database does not answer.")
            return await super().get(guid)

    processes.images = StumblingRepository()
    gated.let("a")
    queued = await processes.queue("a")
    processes.start()
    async with asyncio.timeout(5):
        while not gated.prompts:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    await processes.ready(*queued)


async def test_an_image_of_a_model_that_this_process_does_not_have_is_left_to_others(
    processes: Processes, gated: GatedGenerator
) -> None:
    processes.start()
    foreign = await processes.images.add(PendingImageFactory.build(model="another", created_at=processes.now()))
    gated.let("a")
    await processes.ready(*await processes.queue("a"))
    assert (await processes.images.get(foreign.guid)).status is ImageStatus.PENDING


async def test_an_image_whose_references_can_not_be_read_holds_up_no_other(
    processes: Processes, gated: GatedGenerator
) -> None:
    process = processes.start(serves=False, max_running=1)
    tries: list[UUID] = []

    class Unreadable:
        async def __call__(self, request: GenerationRequest, principal: object) -> InputPictures:
            tries.append(UUID(int=0))
            raise ContentStoreError("The reference can't be read.")

    process.generate_image = dataclasses.replace(process.generate_image, find_pictures=Unreadable())  # type: ignore[arg-type]
    reference = Reference.to_image(UUID(int=1))
    broken = await processes.images.add(
        PendingImageFactory.build(
            request=GenerationRequest(prompt="broken", references=(reference,)),
            author=ANN,
            model=MODEL,
            created_at=processes.now(),
        )
    )
    gated.let("a", "b", "c")
    queued = await processes.queue("a", "b", "c")
    process.serve()
    await processes.ready(*queued)
    assert (await processes.images.get(broken.guid)).status is ImageStatus.PENDING
    assert 1 <= len(tries) <= 10


class TestRoom:
    """Which images a queue takes."""

    async def test_one_more_than_may_wait_is_refused_and_told_when_to_come_back(self, processes: Processes) -> None:
        process = processes.start(max_running=1, max_waiting=2)
        await processes.queue("a", "b", "c", to=process)
        with pytest.raises(OverloadedError) as caught:
            await process.ensure_room(ANN)
        assert caught.value.retry_after > 0

    async def test_without_waiting_places_there_is_room_for_what_can_run(self, processes: Processes) -> None:
        process = processes.start(max_running=2, max_waiting=0)
        await process.ensure_room(ANN, 2)
        await processes.queue("a", to=process)
        await process.ensure_room(ANN, 1)
        with pytest.raises(OverloadedError):
            await process.ensure_room(ANN, 2)

    async def test_more_than_there_ever_are_break_a_rule(self, processes: Processes) -> None:
        with pytest.raises(DataValidationError, match="at most 3"):
            await processes.start(max_running=1, max_waiting=2).ensure_room(ANN, 4)

    async def test_places_are_kept_while_images_are_stored(self, processes: Processes) -> None:
        process = processes.start(max_running=0, max_waiting=2)
        async with process.reserved(ANN, 2):
            with pytest.raises(OverloadedError):
                await process.ensure_room(BOB)
        await process.ensure_room(BOB, 2)

    async def test_a_full_queue_takes_an_image_of_an_author_with_fewer(self, processes: Processes) -> None:
        process = processes.start(max_running=1, max_waiting=3)
        queued = await processes.queue("a", "b", "c", "d", to=process)
        await process.ensure_room(BOB, 3)
        with pytest.raises(OverloadedError):
            await process.ensure_room(BOB, 4)
        with pytest.raises(OverloadedError):
            await process.ensure_room(ANN)
        assert len(await processes.images.list_next(since=queued[0].created_at, limit=10)) == 3

    async def test_images_of_models_that_this_process_does_not_have_take_no_place(self, processes: Processes) -> None:
        foreign = PendingImageFactory.build(model="another", author=ANN, created_at=processes.now())
        await processes.images.add(foreign)
        await processes.start(max_running=0, max_waiting=1).ensure_room(ANN)

    async def test_running_images_alone_give_no_one_a_place(self, processes: Processes) -> None:
        process = processes.start(max_running=2, max_waiting=0)
        await processes.queue("a", "b", to=process)
        with pytest.raises(OverloadedError):
            await process.ensure_room(BOB)

    async def test_what_other_processes_have_queued_counts(self, processes: Processes) -> None:
        process = processes.start(serves=False, max_running=0, max_waiting=2)
        await processes.queue("a", "b")
        await held(processes.images, PendingImageFactory.build(author=ANN))
        with pytest.raises(OverloadedError):
            await process.ensure_room(ANN)
