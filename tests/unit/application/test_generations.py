"""The tasks of a process, and following an image that any process makes."""

import asyncio
from uuid import UUID

import pytest

from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application import WatchImage
from pixyproxy.application.generations import Generations
from pixyproxy.domain.errors import GenerationTimedOutError, RecordNotFoundError
from pixyproxy.domain.image import Image, ImageScope, ImageStatus, Visibility
from pixyproxy.domain.user import ANONYMOUS, Principal
from tests.factories import ContentInfoFactory, PendingImageFactory


async def never() -> Image:
    await asyncio.Event().wait()
    raise AssertionError


async def test_the_end_of_each_is_told_once_with_its_error(images: InMemoryImageRepository) -> None:
    told: list[tuple[UUID, BaseException | None]] = []
    generations = Generations(lambda guid, error: told.append((guid, error)))
    good, bad, late = PendingImageFactory.batch(3)
    error = GenerationTimedOutError("Too late.", maybe_billed=True)

    async def succeed() -> Image:
        return good

    async def fail() -> Image:
        raise error

    generations.start(good.guid, succeed())
    generations.start(bad.guid, fail())
    generations.start(late.guid, never())
    assert await generations.result(images, late.guid, 0.01) is None
    assert await generations.close(0.01) == [late.guid]
    assert told[:2] == [(good.guid, None), (bad.guid, error)]
    assert told[2][0] == late.guid
    assert isinstance(told[2][1], asyncio.CancelledError)
    assert len(generations) == 0


async def test_closing_waits_for_those_that_end_in_time() -> None:
    generations = Generations()
    image = PendingImageFactory.build()
    may_end = asyncio.Event()

    async def work() -> Image:
        await may_end.wait()
        return image

    generations.start(image.guid, work())
    assert image.guid in generations
    closing = asyncio.create_task(generations.close(10))
    await asyncio.sleep(0.01)
    assert not closing.done()
    may_end.set()
    assert await closing == []
    assert image.guid not in generations


async def test_an_image_is_followed_from_state_to_state_to_its_end(
    images: InMemoryImageRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixyproxy.application.generations._POLL_SECONDS", 0.001)
    pending = await images.add(PendingImageFactory.build())
    seen = []
    async for image in Generations().follow(images, pending.guid):
        seen.append(image.status)
        if image.status is ImageStatus.PENDING:
            await images.update(image.started(at=image.created_at), expected=ImageStatus.PENDING)
        elif image.status is ImageStatus.GENERATING:
            ready = image.completed(ContentInfoFactory.build(), at=image.created_at)
            await images.update(ready, expected=ImageStatus.GENERATING)
    assert seen == [ImageStatus.PENDING, ImageStatus.GENERATING, ImageStatus.READY]


async def test_following_ends_when_the_time_is_over(images: InMemoryImageRepository) -> None:
    pending = await images.add(PendingImageFactory.build())
    assert [image async for image in Generations().follow(images, pending.guid, 0.01)] == [pending]


async def test_stop_waiting_ends_all_waits_and_the_work_goes_on(images: InMemoryImageRepository) -> None:
    generations = Generations()
    pending = await images.add(PendingImageFactory.build())
    may_end = asyncio.Event()

    async def work() -> Image:
        await may_end.wait()
        return pending

    generations.start(pending.guid, work())
    waiting = [asyncio.create_task(generations.result(images, pending.guid, 60)) for _ in range(3)]

    async def follow() -> list[Image]:
        return [image async for image in generations.follow(images, pending.guid)]

    following = asyncio.create_task(follow())
    await asyncio.sleep(0.01)
    generations.stop_waiting()
    assert await asyncio.gather(*waiting) == [None] * 3
    assert await following == await follow() == [pending]
    assert pending.guid in generations
    may_end.set()
    await asyncio.sleep(0)
    assert await generations.close(60) == []


async def test_stop_waiting_ends_a_close() -> None:
    generations = Generations()
    image = PendingImageFactory.build()
    generations.start(image.guid, never())
    closing = asyncio.create_task(generations.close(60))
    await asyncio.sleep(0.01)
    generations.stop_waiting()
    assert await closing == [image.guid]


async def test_only_principals_that_may_see_an_image_may_watch_it(
    images: InMemoryImageRepository, ann: Principal, bob: Principal
) -> None:
    watch_image = WatchImage(images=images, generations=Generations())
    pending = await images.add(PendingImageFactory.build(author=ann.name, visibility=Visibility.PUBLIC))
    for principal in (bob, ANONYMOUS):
        for scope in ImageScope:
            with pytest.raises(RecordNotFoundError):
                await watch_image(pending.guid, principal, scope)
    for scope in ImageScope:
        assert await anext(await watch_image(pending.guid, ann, scope)) == pending
