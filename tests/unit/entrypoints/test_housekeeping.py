"""Background work of a process: recovery, the log of failed tasks, and an orderly shutdown."""

import asyncio
import logging
import os
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from uuid import UUID, uuid4

import pytest

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.data_upgrades import InMemoryDataUpgrades
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.pictures.pillow.content_inspector import PillowContentInspector
from pixyproxy.application import FinishDeletions, IndexPrompts, RecoverImages, SweepUploads, UpgradeData
from pixyproxy.application.dispatcher import Dispatcher
from pixyproxy.application.generate_image import GenerateImage, ImageHandedOverError
from pixyproxy.application.generations import Generations
from pixyproxy.application.lease_watch import LeaseWatch
from pixyproxy.application.upgrade_data import DataUpgrade, UpgradedBatch
from pixyproxy.domain.errors import (
    ContentStoreError,
    DBConnectionError,
    GenerationRefusedError,
    GenerationTimedOutError,
    ImageDelayedError,
)
from pixyproxy.domain.idempotency import Claim, IdempotencyKey
from pixyproxy.domain.image import Image, ImageStatus
from pixyproxy.domain.ports import Lease, chunks_of
from pixyproxy.domain.reference import upload_key_of
from pixyproxy.entrypoints.housekeeping import (
    end_generations,
    housekeeping,
    log_dispatch_error,
    log_end,
    log_thumbnail_error,
    process_name,
)
from tests.factories import GeneratingImageFactory, ImageFactory, PendingImageFactory
from tests.images import held

SOON = 10.0
NOTHING_TO_UPGRADE = UpgradeData(progress=InMemoryDataUpgrades(), upgrades=())


class WatchedImageRepository(InMemoryImageRepository):
    """Tells when it was looked through, and fails as often as it was told to."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.rounds: asyncio.Queue[int] = asyncio.Queue()
        self._errors = list(errors)
        self._round = 0

    async def list_leases(self, *, limit: int) -> Sequence[Lease]:
        self._round += 1
        self.rounds.put_nowait(self._round)
        if self._errors:
            raise self._errors.pop(0)
        return await super().list_leases(limit=limit)

    async def reach_round(self, number: int) -> None:
        """Return once this many recovery runs have finished."""
        async with asyncio.timeout(SOON):
            while await self.rounds.get() < number:
                continue


@pytest.fixture(autouse=True)
def _everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="pixyproxy.generations")


def deletions_of(images: InMemoryImageRepository) -> FinishDeletions:
    return FinishDeletions(deletions=images, contents=InMemoryContentStore())


def recovery_of(images: InMemoryImageRepository) -> RecoverImages:
    contents = InMemoryContentStore()
    return RecoverImages(
        images=images,
        leases=images,
        queue=images,
        contents=contents,
        quarantine=contents,
        inspector=PillowContentInspector(),
        generator=InMemoryImageGenerator(),
        clock=InMemoryClock(),
        lease_watch=LeaseWatch(seconds=0),
    )


def dispatcher_of(generations: Generations) -> Dispatcher:
    images = InMemoryImageRepository()
    generate_image = GenerateImage(
        images=images,
        leases=images,
        contents=InMemoryContentStore(),
        generator=InMemoryImageGenerator(),
        clock=InMemoryClock(),
    )
    return Dispatcher(generate_image=generate_image, queue=images, generations=generations)


def keeping_house(
    images: InMemoryImageRepository,
    *,
    every: float,
    upgrade_data: UpgradeData = NOTHING_TO_UPGRADE,
    upload_contents: InMemoryContentStore | None = None,
) -> AbstractAsyncContextManager[None]:
    return housekeeping(
        recovery_of(images),
        deletions_of(images),
        upgrade_data,
        IndexPrompts(index=images),
        images,
        sweep_uploads=SweepUploads(uploads=images, upload_contents=upload_contents or InMemoryContentStore()),
        every=every,
    )


async def test_abandoned_images_are_recovered_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    images = WatchedImageRepository()
    pending = await held(images, PendingImageFactory.build(created_at=InMemoryClock().now()))
    generating = await held(images, GeneratingImageFactory.build())
    async with keeping_house(images, every=3600):
        await images.reach_round(1)
        await asyncio.sleep(0)

    assert await images.list_leases(limit=10) == []
    assert (await images.get(pending.guid)).status is ImageStatus.PENDING
    assert (await images.get(generating.guid)).status is ImageStatus.UNKNOWN
    [line] = caplog.records
    assert (line.message, line.__dict__["number"]) == ("abandoned images recovered", 2)


async def test_images_that_are_abandoned_later_are_recovered_too() -> None:
    images = WatchedImageRepository()
    async with keeping_house(images, every=0.01):
        await images.reach_round(1)
        image = await images.add(GeneratingImageFactory.build())
        await images.reach_round(4)

    assert (await images.get(image.guid)).status is ImageStatus.UNKNOWN


async def test_idempotency_keys_whose_time_is_over_are_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    images = WatchedImageRepository()
    image = ImageFactory.build()
    claim = Claim.on(image, IdempotencyKey("abc"), seconds=-1)
    await images.add(image, claim=claim)
    async with keeping_house(images, every=3600):
        await images.reach_round(1)
        await asyncio.sleep(0)

    assert caplog.messages == ["expired idempotency keys dropped"]
    await images.add(ImageFactory.build(), claim=claim)


async def test_unused_uploads_are_deleted(caplog: pytest.LogCaptureFixture) -> None:
    images, contents = WatchedImageRepository(), InMemoryContentStore()
    key = upload_key_of("0" * 64)
    await contents.put(key, chunks_of(b"picture"))
    await images.hold(key, seconds=0.0)
    async with keeping_house(images, every=3600, upload_contents=contents):
        await images.reach_round(1)
        await asyncio.sleep(0.01)

    assert caplog.messages == ["unused uploads deleted"]
    assert [key async for key in contents.keys()] == []  # noqa: SIM118 -- it is a method of the port


@pytest.mark.parametrize(
    ("error", "event", "level"),
    [
        (DBConnectionError("The database does not answer."), "housekeeping failed", "WARNING"),
        (ZeroDivisionError("boom"), "housekeeping failed unexpectedly", "ERROR"),
    ],
)
async def test_it_goes_on_after_an_error(
    error: Exception, event: str, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    images = WatchedImageRepository(error, error)
    image = await images.add(GeneratingImageFactory.build())
    async with keeping_house(images, every=0.01):
        await images.reach_round(4)

    assert (await images.get(image.guid)).status is ImageStatus.UNKNOWN
    assert [(line.message, line.levelname) for line in caplog.records[:2]] == [(event, level)] * 2


class OneUpgrade(DataUpgrade):
    """Changes five records in one batch; fails as often as it was told to."""

    name = "fives"
    summary = "changed {} image(s)"

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)

    async def upgrade(self, *, after: str) -> UpgradedBatch | None:
        if self._errors:
            raise self._errors.pop(0)
        return None if after else UpgradedBatch("5", 5)


async def test_data_upgrades_are_retried_until_they_are_finished(caplog: pytest.LogCaptureFixture) -> None:
    images, progress = WatchedImageRepository(), InMemoryDataUpgrades()
    upgrade_data = UpgradeData(
        progress=progress, upgrades=[OneUpgrade(DBConnectionError("The database does not answer."), ValueError("boom"))]
    )
    async with keeping_house(images, every=0.01, upgrade_data=upgrade_data):
        await images.reach_round(10)

    assert await upgrade_data.unfinished() == []
    assert caplog.messages == ["housekeeping failed", "housekeeping failed unexpectedly", "data upgrade finished"]
    assert caplog.records[-1].__dict__["done"] == "changed 5 image(s)"


async def test_nothing_to_do_is_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    images = WatchedImageRepository()
    async with keeping_house(images, every=0.01):
        await images.reach_round(3)

    assert caplog.records == []


@pytest.mark.parametrize("is_error", [True, False])
async def test_it_ends_with_the_block(is_error: bool) -> None:
    images = WatchedImageRepository()
    tasks_before = asyncio.all_tasks()

    async def run() -> None:
        async with keeping_house(images, every=3600):
            await images.reach_round(1)
            if is_error:
                raise ZeroDivisionError

    if is_error:
        with pytest.raises(ZeroDivisionError):
            await run()
    else:
        await run()

    assert asyncio.all_tasks() == tasks_before


GUID = UUID("0b6f1c1e-5d0e-4a39-9f43-5c8d3f6f2b11")


@pytest.mark.parametrize(
    ("error", "event", "level", "facts"),
    [
        (None, "image ready", "INFO", {}),
        (
            GenerationRefusedError("A secret prompt.", maybe_billed=False, request_id="req_1"),
            "image failed",
            "WARNING",
            {"problem": "GenerationRefusedError", "maybe_billed": False, "generator_request_id": "req_1"},
        ),
        (
            GenerationTimedOutError("A secret prompt.", maybe_billed=True),
            "image failed",
            "WARNING",
            {"problem": "GenerationTimedOutError", "maybe_billed": True, "generator_request_id": None},
        ),
        (
            ImageDelayedError("A secret prompt.", guid=GUID, retry_after=1),
            "image left to recovery",
            "WARNING",
            {"problem": "ImageDelayedError"},
        ),
        (ImageHandedOverError(), "image left to another process, or to the queue", "WARNING", {}),
        (asyncio.CancelledError(), "generation interrupted and left to recovery", "WARNING", {}),
        (ZeroDivisionError("boom"), "generation failed unexpectedly", "ERROR", {}),
    ],
)
def test_each_end_has_a_line_of_its_own(
    error: BaseException | None, event: str, level: str, facts: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    log_end(GUID, error)

    [line] = caplog.records
    assert (line.message, line.levelname) == (event, level)
    assert line.__dict__.items() >= {**facts, "guid": str(GUID)}.items()
    assert (line.exc_info is not None) == isinstance(error, ZeroDivisionError)
    assert "secret prompt" not in str(line.__dict__)


class Work:
    """A generation that runs until it is told to end, and may take its time."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.was_broken_off = False

    async def run(self) -> Image:
        """Return an image some day."""
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.was_broken_off = True
            raise
        return ImageFactory.build()


@pytest.mark.parametrize(
    ("error", "level", "facts"),
    [
        (DBConnectionError("No answer."), "WARNING", {"problem": "DBConnectionError", "detail": "No answer."}),
        (ZeroDivisionError("boom"), "ERROR", {}),
    ],
)
def test_what_keeps_a_process_from_the_queue_is_logged(
    error: Exception, level: str, facts: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    log_dispatch_error(error)

    [line] = caplog.records
    assert (line.message, line.levelname) == ("queue not read", level)
    assert line.__dict__.items() >= facts.items()
    assert (line.exc_info is not None) == isinstance(error, ZeroDivisionError)


@pytest.mark.parametrize(
    ("error", "level", "facts"),
    [
        (ContentStoreError("It is full."), "WARNING", {"problem": "ContentStoreError", "detail": "It is full."}),
        (ZeroDivisionError("boom"), "ERROR", {}),
    ],
)
def test_what_keeps_an_image_from_its_thumbnail_is_logged(
    error: Exception, level: str, facts: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    guid = uuid4()
    log_thumbnail_error(guid, error)

    [line] = caplog.records
    assert line.levelname == level
    assert line.__dict__.items() >= {"guid": str(guid), **facts}.items()
    assert (line.exc_info is not None) == isinstance(error, ZeroDivisionError)


async def test_the_end_waits_for_the_generations_that_run(caplog: pytest.LogCaptureFixture) -> None:
    generations, work, guid = Generations(on_end=log_end), Work(), uuid4()
    generations.start(guid, work.run())
    ending = asyncio.create_task(end_generations(dispatcher_of(generations), generations, 60.0))
    await asyncio.sleep(0.02)
    assert not ending.done()

    work.may_end.set()
    await asyncio.wait_for(ending, SOON)

    assert not work.was_broken_off
    assert caplog.messages == ["waiting for generations", "image ready"]
    assert caplog.records[0].__dict__.items() >= {"number": 1, "at_most_seconds": 60.0}.items()


async def test_the_end_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    generations, works = Generations(on_end=log_end), [Work(), Work()]
    for work in works:
        generations.start(uuid4(), work.run())
    works[0].may_end.set()

    await asyncio.wait_for(end_generations(dispatcher_of(generations), generations, 0.05), SOON)

    assert [work.was_broken_off for work in works] == [False, True]
    assert len(generations) == 0
    assert caplog.messages == [
        "waiting for generations",
        "image ready",
        "generation interrupted and left to recovery",
    ]


async def test_the_end_says_nothing_when_nothing_runs(caplog: pytest.LogCaptureFixture) -> None:
    generations = Generations()
    await asyncio.wait_for(end_generations(dispatcher_of(generations), generations, 60.0), SOON)

    assert caplog.records == []


def test_a_process_has_a_name_that_fits_into_the_table() -> None:
    name = process_name()

    assert name.isascii()
    assert 3 <= len(name) <= 255
    assert name.split(":")[-2] == str(os.getpid())


def test_no_start_of_a_process_has_the_name_of_another() -> None:
    assert process_name() != process_name()


def test_a_long_host_name_in_another_script_fits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "é" * 300)

    assert process_name().isascii()
    assert len(process_name()) == 255
