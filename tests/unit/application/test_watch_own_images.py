"""Watching all of one's own images."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_generator import PICTURE
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.pictures.pillow.content_inspector import PillowContentInspector
from pixyproxy.application import WatchOwnImages, watch_own_images
from pixyproxy.application.generations import Generations
from pixyproxy.application.partial_images import PartialImages
from pixyproxy.application.watch_image import WatchedPartial
from pixyproxy.domain.content import partial_key_of
from pixyproxy.domain.errors import (
    AuthenticationError,
    DamagedRecordError,
    DBConnectionError,
    GenerationRefusedError,
    UnauthorizedError,
)
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageChanges, ImageStatus, Visibility
from pixyproxy.domain.listing import ChangePosition, ImageChange, ImageFilter
from pixyproxy.domain.ports import chunks_of
from pixyproxy.domain.user import ANONYMOUS, Principal, UserName
from tests.factories import (
    ContentInfoFactory,
    FailedImageFactory,
    GeneratingImageFactory,
    ImageFactory,
    PendingImageFactory,
    UnknownImageFactory,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LONG_AGO = NOON - timedelta(hours=1)
ANN = UserName("ann")
SOON = 10.0


class Library(InMemoryImageRepository):
    """A database that can be away, and counts the queries for changes."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self.looks = 0
        self.pages: list[int] = []
        self.looked = asyncio.Event()

    async def get(self, guid: UUID) -> Image:
        self._ensure_there()
        return await super().get(guid)

    async def list_changes(self, author: UserName, *, after: ChangePosition, limit: int) -> Sequence[ImageChange]:
        self.looks += 1
        self.looked.set()
        self._ensure_there()
        page = await super().list_changes(author, after=after, limit=limit)
        self.pages.append(len(page))
        return page

    async def look(self) -> None:
        """Return after the next query for changes."""
        self.looked.clear()
        async with asyncio.timeout(SOON):
            await self.looked.wait()

    async def store(self, image: Image) -> Image:
        """Do what another process does: add an image, or put it in the place of an older version of its own."""
        self._images.pop(image.guid, None)
        return await self.add(image)

    async def drop(self, guid: UUID) -> None:
        del self._images[guid]

    def _ensure_there(self) -> None:
        if self.is_away:
            raise DBConnectionError("The database does not answer.")


class Watcher:
    """Reads a stream."""

    def __init__(self, stream: AsyncIterator[Image | WatchedPartial]) -> None:
        self._stream = stream
        self._upcoming: asyncio.Task[Image | WatchedPartial | None] | None = None

    async def next(self) -> Image | WatchedPartial | None:
        """Return what comes next, None at the end."""
        async with asyncio.timeout(SOON):
            upcoming, self._upcoming = self._upcoming, None
            return await (upcoming or anext(self._stream, None))

    async def versions(self, number: int) -> list[tuple[UUID, int]]:
        """Return the guids and versions of the next images."""
        images = [await self.next() for _ in range(number)]
        return [(image.guid, image.version) for image in images if isinstance(image, Image)]

    async def is_silent(self, seconds: float = 0.1) -> bool:
        """Whether nothing comes for a while."""
        if self._upcoming is None:
            self._upcoming = asyncio.ensure_future(anext(self._stream, None))
        return not (await asyncio.wait([self._upcoming], timeout=seconds))[0]

    async def close(self) -> None:
        if self._upcoming is not None:
            self._upcoming.cancel()
            await asyncio.wait([self._upcoming])


@pytest.fixture
def library() -> Library:
    return Library()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_POLL_SECONDS", "_POLL_SECONDS_MAX", "_POLL_SECONDS_FOR_PARTIALS"):
        monkeypatch.setattr(watch_own_images, name, 0.01)


@pytest.fixture
def watch(library: Library) -> WatchOwnImages:
    clock = InMemoryClock(NOON, step=timedelta())
    return WatchOwnImages(catalogue=library, images=library, generations=Generations(), clock=clock)


@pytest.fixture
async def watcher(watch: WatchOwnImages, ann: Principal) -> AsyncIterator[Watcher]:
    """A stream of Ann's, whose library was empty when it began."""
    watcher = Watcher(await watch(ann))
    assert await watcher.is_silent()
    yield watcher
    await watcher.close()


def an_image(factory: Any = ImageFactory, *, at: datetime = NOON, **fields: Any) -> Image:
    image: Image = factory.build(**{"author": ANN, "created_at": at, **fields})
    return msgspec.structs.replace(image, updated_at=at)


async def test_the_images_that_are_being_made_come_first_the_oldest_before_the_others(
    library: Library, watch: WatchOwnImages, ann: Principal
) -> None:
    factories = (GeneratingImageFactory, PendingImageFactory, PendingImageFactory, GeneratingImageFactory)
    unfinished = [
        await library.add(an_image(factory, at=LONG_AGO + number * SECOND, visibility=visibility))
        for number, (factory, visibility) in enumerate(zip(factories, [*Visibility] * 2, strict=True))
    ]
    for factory in (ImageFactory, FailedImageFactory, UnknownImageFactory):
        await library.add(an_image(factory, at=LONG_AGO))
    watcher = Watcher(await watch(ann))
    assert [await watcher.next() for _ in unfinished] == unfinished
    assert await watcher.is_silent()
    await watcher.close()


async def test_what_has_changed_in_the_last_minute_comes_again(
    library: Library, watch: WatchOwnImages, ann: Principal
) -> None:
    ready = await library.add(an_image(at=NOON - 59 * SECOND))
    failed = await library.add(an_image(FailedImageFactory, at=NOON - 30 * SECOND))
    pending = await library.add(an_image(PendingImageFactory, at=NOON - 10 * SECOND))
    await library.add(an_image(at=NOON - 61 * SECOND))
    watcher = Watcher(await watch(ann))
    assert [await watcher.next() for _ in range(3)] == [pending, ready, failed]
    assert await watcher.is_silent()
    await watcher.close()


async def test_an_image_that_another_process_makes_comes_in_each_of_its_states(
    library: Library, watcher: Watcher
) -> None:
    pending = await library.add(an_image(PendingImageFactory))
    assert await watcher.next() == pending
    generating = pending.started(at=NOON + SECOND)
    await library.update(generating, expected=pending.status)
    assert await watcher.next() == generating
    ready = generating.completed(ContentInfoFactory.build(), at=NOON + 2 * SECOND)
    await library.update(ready, expected=generating.status)
    assert await watcher.next() == ready
    assert await watcher.is_silent()


async def test_an_image_that_is_made_between_two_looks_is_not_missed(library: Library, watcher: Watcher) -> None:
    pending = await library.add(an_image(PendingImageFactory))
    generating = pending.started(at=NOON)
    await library.update(generating, expected=pending.status)
    ready = generating.completed(ContentInfoFactory.build(), at=NOON)
    await library.update(ready, expected=generating.status)
    assert await watcher.next() == ready
    assert await watcher.is_silent()


async def test_changes_of_tags_visibility_and_file_name_come_too(library: Library, watcher: Watcher) -> None:
    image = await library.add(an_image(visibility=Visibility.PUBLIC, tags=()))
    assert await watcher.next() == image
    for changes in (
        ImageChanges(tags=["sea"]),
        ImageChanges(visibility=Visibility.PRIVATE),
        ImageChanges(filename="sea.png"),
    ):
        changed = image.changed(changes, at=NOON + SECOND)
        await library.change(changed, expected_version=image.version)
        assert await watcher.next() == changed
        image = changed
    assert await watcher.is_silent()


async def test_a_change_by_sql_comes_although_the_version_is_the_same(library: Library, watcher: Watcher) -> None:
    image = await library.add(an_image(visibility=Visibility.PUBLIC))
    assert await watcher.next() == image
    await library.store(msgspec.structs.replace(image, visibility=Visibility.PRIVATE, updated_at=NOON + SECOND))
    found = await watcher.next()
    assert isinstance(found, Image)
    assert (found.version, found.visibility) == (image.version, Visibility.PRIVATE)


async def test_images_of_others_do_not_come_not_even_to_administrators(library: Library, watch: WatchOwnImages) -> None:
    root = Principal(name=UserName("root"), is_admin=True)
    await library.add(an_image(PendingImageFactory))
    watcher = Watcher(await watch(root))
    await library.add(an_image(author="bob"))
    await library.add(an_image(author=None))
    assert await watcher.is_silent()
    own = await library.add(an_image(author="root"))
    assert await watcher.next() == own
    await watcher.close()


async def test_an_anonymous_principal_has_no_images_to_watch(watch: WatchOwnImages) -> None:
    with pytest.raises(UnauthorizedError):
        await watch(ANONYMOUS)


@pytest.mark.parametrize("seconds", [-50, -20, 20, 3600])
async def test_a_process_whose_clock_differs_is_not_overlooked(
    library: Library, watcher: Watcher, seconds: int
) -> None:
    there = NOON + seconds * SECOND
    await library.add(an_image(at=NOON + SECOND))
    await watcher.next()
    pending = await library.add(an_image(PendingImageFactory, at=there))
    assert await watcher.next() == pending
    generating = pending.started(at=there + SECOND)
    await library.update(generating, expected=pending.status)
    assert await watcher.next() == generating
    here = await library.add(an_image(at=NOON + 2 * SECOND))
    assert await watcher.next() == here
    assert await watcher.is_silent()


async def test_changes_are_looked_for_until_a_minute_after_they_were_dated(library: Library, ann: Principal) -> None:
    clock = InMemoryClock(NOON, step=timedelta(seconds=30))
    watch = WatchOwnImages(catalogue=library, images=library, generations=Generations(), clock=clock)
    watcher = Watcher(await watch(ann))
    assert await watcher.is_silent()
    # By now the clock is minutes ahead.
    await library.add(an_image(at=NOON))
    assert await watcher.is_silent()
    await watcher.close()


async def test_of_thousands_of_images_the_newest_100_come_first(
    library: Library, watch: WatchOwnImages, ann: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_own_images, "_PAGE", 400)
    image, added = an_image(PendingImageFactory), []
    for number in range(5_000):
        at = NOON - timedelta(milliseconds=number)
        another = msgspec.structs.replace(image, guid=UUID(int=number), created_at=at, updated_at=at)
        added.append(await library.add(another))
    watcher = Watcher(await watch(ann))
    assert await watcher.versions(100) == [(image.guid, 1) for image in added[99::-1]]
    # Of the others, the newest that have changed within the last minute.
    assert await watcher.versions(100) == [(image.guid, 1) for image in added[199:99:-1]]
    assert await watcher.is_silent()
    assert max(library.pages) == 400
    new = await library.add(an_image(PendingImageFactory))
    assert await watcher.next() == new
    oldest = added[-1].started(at=NOON + SECOND)
    await library.update(oldest, expected=ImageStatus.PENDING)
    assert await watcher.next() == oldest
    assert await watcher.is_silent()
    await watcher.close()


async def test_many_changes_at_once_all_come_and_few_are_remembered(
    library: Library, watch: WatchOwnImages, ann: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_own_images, "_PAGE", 50)
    watcher = Watcher(await watch(ann))
    assert await watcher.is_silent()
    # All within the same microsecond, as by one statement.
    image = an_image(at=NOON)
    added = [await library.add(msgspec.structs.replace(image, guid=UUID(int=number))) for number in range(1_000)]
    found = await watcher.versions(1_000)
    assert {guid for guid, _ in found} == {image.guid for image in added}
    assert len(found) == len(set(found))
    assert await watcher.is_silent()
    # Those that were read are not read again, although they are less than a minute old.
    assert library.pages[-1] < 50
    await watcher.close()


async def test_an_image_that_is_deleted_does_not_hold_up_the_others(library: Library, watcher: Watcher) -> None:
    kept, gone = [await library.add(an_image()) for _ in range(2)]
    assert {guid for guid, _ in await watcher.versions(2)} == {kept.guid, gone.guid}
    await library.delete(gone.guid, expected_version=1, lease_seconds=0.0)
    assert await watcher.is_silent()
    other = await library.add(an_image())
    assert await watcher.next() == other


async def test_an_image_that_is_deleted_or_damaged_before_it_is_read_is_left_out(
    library: Library, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    get, damaged = library.get, an_image(at=NOON + 2 * SECOND)

    async def get_later(guid: UUID) -> Image:
        if guid == damaged.guid:
            raise DamagedRecordError("It can't be read.")
        if guid == gone.guid:
            await library.drop(guid)
        return await get(guid)

    monkeypatch.setattr(library, "get", get_later)
    gone = an_image(at=NOON + SECOND)
    for image in (gone, damaged):
        await library.add(image)
    kept = await library.add(an_image(at=NOON + 3 * SECOND))
    assert await watcher.next() == kept
    assert await watcher.is_silent()


async def test_an_image_that_another_author_has_before_it_is_read_is_left_out(
    library: Library, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    get, given_away = library.get, an_image()

    async def get_later(guid: UUID) -> Image:
        image = await get(guid)
        return msgspec.structs.replace(image, author=UserName("bob")) if guid == given_away.guid else image

    monkeypatch.setattr(library, "get", get_later)
    await library.add(given_away)
    kept = await library.add(an_image(at=NOON + SECOND))
    assert await watcher.next() == kept
    assert await watcher.is_silent()


async def test_a_damaged_record_that_is_being_made_does_not_keep_the_others_from_coming(
    library: Library, watch: WatchOwnImages, ann: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_images = library.list

    async def list_damaged(wanted: ImageFilter, **arguments: Any) -> Sequence[Image]:
        if wanted.status is ImageStatus.PENDING:
            raise DamagedRecordError("It can't be read.")
        return await list_images(wanted, **arguments)

    monkeypatch.setattr(library, "list", list_damaged)
    generating = await library.add(an_image(GeneratingImageFactory))
    watcher = Watcher(await watch(ann))
    assert await watcher.next() == generating
    await watcher.close()


# The database.


async def test_a_stream_outlasts_a_database_that_is_away_and_misses_nothing(library: Library, watcher: Watcher) -> None:
    library.is_away = True
    await library.look()
    await library.look()
    image = await library.add(an_image())
    assert await watcher.is_silent(0.05)
    library.is_away = False
    assert await watcher.next() == image


async def test_a_change_whose_image_could_not_be_read_comes_when_the_database_is_back(
    library: Library, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    get, is_away = library.get, True

    async def get_later(guid: UUID) -> Image:
        if is_away:
            raise DBConnectionError("The database does not answer.")
        return await get(guid)

    monkeypatch.setattr(library, "get", get_later)
    image = await library.add(an_image())
    assert await watcher.is_silent(0.05)
    is_away = False
    assert await watcher.next() == image


async def test_a_database_that_stays_away_ends_the_stream(
    library: Library, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_own_images, "PATIENCE_SECONDS", 0.05)
    library.is_away = True
    with pytest.raises(DBConnectionError):
        await watcher.next()


async def test_a_stream_does_not_begin_without_a_database(
    library: Library, watch: WatchOwnImages, ann: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def list_nothing(*_: Any, **__: Any) -> Sequence[Image]:
        raise DBConnectionError("The database does not answer.")

    monkeypatch.setattr(library, "list", list_nothing)
    with pytest.raises(DBConnectionError):
        await watch(ann)


# The login.


class OpenLogin:
    """Is valid until it is ended, and can fail to know."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.checks = 0

    async def ensure_valid(self) -> None:
        self.checks += 1
        if self.error is not None:
            raise self.error


async def test_a_login_that_is_over_ends_the_stream_even_if_nothing_happens(
    watch: WatchOwnImages, ann: Principal
) -> None:
    login = OpenLogin()
    watcher = Watcher(await watch(ann, ensure_login=login.ensure_valid))
    assert await watcher.is_silent()
    login.error = AuthenticationError("It is over.")
    with pytest.raises(AuthenticationError):
        await watcher.next()


async def test_a_login_that_ends_between_two_images_ends_the_stream_before_the_second(
    library: Library, watch: WatchOwnImages, ann: Principal
) -> None:
    login = OpenLogin()
    for number in range(3):
        await library.add(an_image(at=NOON - number * SECOND))
    watcher = Watcher(await watch(ann, ensure_login=login.ensure_valid))
    assert isinstance(await watcher.next(), Image)
    login.error = AuthenticationError("It is over.")
    with pytest.raises(AuthenticationError):
        await watcher.next()


async def test_a_login_that_can_not_be_checked_shows_nothing_until_it_can(
    library: Library, watch: WatchOwnImages, ann: Principal
) -> None:
    login = OpenLogin()
    watcher = Watcher(await watch(ann, ensure_login=login.ensure_valid))
    assert await watcher.is_silent()
    login.error = DBConnectionError("The database does not answer.")
    image = await library.add(an_image())
    assert await watcher.is_silent()
    login.error = None
    assert await watcher.next() == image
    await watcher.close()


# This process.


async def test_what_this_process_makes_comes_at_once(
    library: Library, watch: WatchOwnImages, ann: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_POLL_SECONDS", "_POLL_SECONDS_MAX"):
        monkeypatch.setattr(watch_own_images, name, 60.0)
    watcher = Watcher(await watch(ann))
    assert await watcher.is_silent(0.05)
    may_end = asyncio.Event()
    image = await library.add(an_image(PendingImageFactory))

    async def make() -> Image:
        await may_end.wait()
        failed = image.failed(GenerationRefusedError("No.", maybe_billed=False), at=NOON)
        await library.update(failed, expected=image.status)
        return failed

    watch.generations.start(image.guid, make(), author=ANN)
    assert await watcher.next() == image
    assert await watcher.is_silent(0.05)
    may_end.set()
    found = await watcher.next()
    assert isinstance(found, Image)
    assert found.status is ImageStatus.FAILED
    await watcher.close()


async def test_what_this_process_makes_for_others_wakes_no_one(
    library: Library, watch: WatchOwnImages, ann: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_own_images, "_POLL_SECONDS", 60.0)
    monkeypatch.setattr(watch_own_images, "_POLL_SECONDS_MAX", 60.0)
    watcher = Watcher(await watch(ann))
    assert await watcher.is_silent(0.05)
    looks = library.looks

    async def make() -> Image:
        return an_image()

    for author in (UserName("bob"), None):
        watch.generations.start(an_image().guid, make(), author=author)
    await watch.generations.close(SOON)
    assert await watcher.is_silent(0.05)
    assert library.looks == looks
    await watcher.close()


@pytest.mark.parametrize("stop", ["stop_watching", "stop_following", "stop_waiting"])
async def test_a_process_that_stops_ends_streams_at_once(
    watch: WatchOwnImages, ann: Principal, monkeypatch: pytest.MonkeyPatch, stop: str
) -> None:
    monkeypatch.setattr(watch_own_images, "_POLL_SECONDS", 60.0)
    watchers = [Watcher(await watch(ann)) for _ in range(3)]
    for watcher in watchers:
        assert await watcher.is_silent(0.05)
    getattr(watch.generations, stop)()
    assert [await watcher.next() for watcher in watchers] == [None] * 3
    assert await Watcher(await watch(ann)).next() is None


# Partial images.


@pytest.fixture
def area() -> InMemoryContentStore:
    return InMemoryContentStore()


@pytest.fixture
async def painting(library: Library, area: InMemoryContentStore) -> Image:
    """An image of Ann's with partial images, which another process is generating."""
    return await library.add(
        an_image(GeneratingImageFactory, request=GenerationRequest(prompt="a fox", partial_images=3))
    )


def with_partials(watch: WatchOwnImages, area: InMemoryContentStore) -> WatchOwnImages:
    return WatchOwnImages(
        catalogue=watch.catalogue,
        images=watch.images,
        generations=watch.generations,
        clock=watch.clock,
        partials=PartialImages(contents=area, inspector=PillowContentInspector()),
    )


async def keep(area: InMemoryContentStore, image: Image, position: int) -> WatchedPartial:
    await area.put(partial_key_of(image.guid, position), chunks_of(PICTURE))
    return WatchedPartial(guid=image.guid, position=position)


async def test_partial_images_come_once_and_those_from_before_first(
    library: Library, watch: WatchOwnImages, ann: Principal, area: InMemoryContentStore, painting: Image
) -> None:
    before = [await keep(area, painting, position) for position in range(2)]
    watcher = Watcher(await with_partials(watch, area)(ann))
    assert [await watcher.next() for _ in range(3)] == [painting, *before]
    assert await watcher.is_silent()
    last = await keep(area, painting, 2)
    assert await watcher.next() == last
    ready = painting.completed(ContentInfoFactory.build(), at=NOON + SECOND)
    await library.update(ready, expected=painting.status)
    assert await watcher.next() == ready
    assert await watcher.is_silent()
    await watcher.close()


async def test_partial_images_of_another_process_are_looked_for_more_often(
    watch: WatchOwnImages, ann: Principal, area: InMemoryContentStore, painting: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_own_images, "_POLL_SECONDS_MAX", 60.0)
    watcher = Watcher(await with_partials(watch, area)(ann))
    assert await watcher.next() == painting
    assert await watcher.is_silent()
    kept = await keep(area, painting, 0)
    assert await watcher.next() == kept
    await watcher.close()


async def test_partial_images_of_this_process_come_at_once(
    watch: WatchOwnImages, ann: Principal, area: InMemoryContentStore, painting: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_POLL_SECONDS", "_POLL_SECONDS_MAX", "_POLL_SECONDS_FOR_PARTIALS"):
        monkeypatch.setattr(watch_own_images, name, 60.0)
    may_end = asyncio.Event()

    async def make() -> Image:
        await may_end.wait()
        return painting

    watch.generations.start(painting.guid, make(), author=ANN)
    watcher = Watcher(await with_partials(watch, area)(ann))
    assert await watcher.next() == painting
    assert await watcher.is_silent()
    kept = await keep(area, painting, 0)
    watch.generations.announce(painting.guid)
    assert await watcher.next() == kept
    may_end.set()
    await watcher.close()


async def test_an_image_without_partial_images_costs_the_store_nothing(
    library: Library, watch: WatchOwnImages, ann: Principal
) -> None:
    class UnaskedArea(InMemoryContentStore):
        async def open(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("It was asked.")

    image = await library.add(an_image(GeneratingImageFactory, prompt="a fox"))
    watcher = Watcher(await with_partials(watch, UnaskedArea())(ann))
    assert await watcher.next() == image
    assert await watcher.is_silent()
    await watcher.close()


# The cost.


async def test_a_stream_without_news_asks_the_database_every_two_seconds(
    library: Library, watch: WatchOwnImages, ann: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_own_images, "_POLL_SECONDS", 0.25 / 20)
    monkeypatch.setattr(watch_own_images, "_POLL_SECONDS_MAX", 2.0 / 20)
    watchers = [Watcher(await watch(ann)) for _ in range(100)]
    for watcher in watchers:
        assert await watcher.is_silent(0.0)
    await asyncio.sleep(0.5)
    before = library.looks
    await asyncio.sleep(0.5)
    # Twenty times faster than in earnest: five looks each.
    assert library.looks - before <= 100 * 6
    for watcher in watchers:
        await watcher.close()
