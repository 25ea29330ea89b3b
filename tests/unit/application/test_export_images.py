"""Writing images into an archive."""

import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from uuid import UUID

import msgspec
import pytest

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_archive import InMemoryImageArchive
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application import ExportImages
from pixyproxy.application.export_images import PAGE_SIZE, ExportOutcome
from pixyproxy.domain.archive import ArchiveError
from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.errors import ContentStoreError, DBConnectionError
from pixyproxy.domain.image import Image, Visibility
from pixyproxy.domain.ports import ArchivedImage, ArchiveProblem, DamagedRecord, StoredContent
from pixyproxy.domain.user import UserName
from tests.archiving import exporter
from tests.factories import (
    ContentInfoFactory,
    FailedImageFactory,
    GeneratingImageFactory,
    ImageFactory,
    PendingImageFactory,
    UnknownImageFactory,
)


class WatchedArchive(InMemoryImageArchive):
    """Records each call, and fails at the image number `breaks_at`."""

    def __init__(self, breaks_at: int | None = None) -> None:
        super().__init__()
        self.calls: list[str] = []
        self._breaks_at = breaks_at

    async def prepare(self) -> None:
        self.calls.append("prepare")

    async def put(self, image: Image, chunks: AsyncIterable[bytes] | None = None) -> None:
        if self.calls.count("put") == self._breaks_at:
            raise ArchiveError("There is no space left for the archive.")
        await super().put(image, chunks)
        self.calls.append("put")

    async def finish(self) -> None:
        self.calls.append("finish")


class PartlyDamagedRepository(InMemoryImageRepository):
    """Has a damaged record before all others."""

    def __init__(self, guid: str) -> None:
        super().__init__()
        self._damaged = DamagedRecord(guid=guid)

    async def scan(self, *, after: str = "", limit: int) -> Sequence[Image | DamagedRecord]:
        return [self._damaged] if after < self._damaged.guid else await super().scan(after=after, limit=limit)


class InterruptedContentStore(InMemoryContentStore):
    """Runs a step of another process when a content is opened for the first time."""

    def __init__(self, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
        await self._meanwhile()
        return await super().open(key, start=start, end=end)


class UnreadableContentStore(InMemoryContentStore):
    """Opens contents and can't read them to their end."""

    async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
        return StoredContent((await super().open(key, start=start, end=end)).byte_size, self._broken())

    async def _broken(self) -> AsyncIterator[bytes]:
        yield b"so"
        raise ContentStoreError("The content store does not work.")


@pytest.fixture
def archive() -> WatchedArchive:
    return WatchedArchive()


@pytest.fixture
def export_images(images: InMemoryImageRepository, contents: InMemoryContentStore) -> ExportImages:
    return exporter(images, contents)


async def put(contents: InMemoryContentStore, image: Image, data: bytes) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield data

    await contents.put(image.content_key, chunks())


def image_of(data: bytes, author: str | None = "ann") -> Image:
    content = ContentInfoFactory.build(byte_size=len(data), sha256=hashlib.sha256(data).hexdigest())
    return ImageFactory.build(content=content, author=author)


async def keep(
    images: InMemoryImageRepository, contents: InMemoryContentStore, data: bytes = b"some bytes", author: str = "ann"
) -> Image:
    image = image_of(data, author)
    await images.add(image)
    await put(contents, image, data)
    return image


async def guids_in(archive: InMemoryImageArchive) -> set[UUID]:
    return {one.image.guid async for one in archive.items() if isinstance(one, ArchivedImage)}


async def test_nothing_is_exported_from_an_empty_service(export_images: ExportImages, archive: WatchedArchive) -> None:
    assert await export_images(archive) == {}
    assert archive.calls == ["prepare", "finish"]


async def test_every_image_is_exported_with_all_its_fields_and_bytes(
    export_images: ExportImages,
    images: InMemoryImageRepository,
    contents: InMemoryContentStore,
    archive: WatchedArchive,
) -> None:
    private = msgspec.structs.replace(image_of(b"private"), visibility=Visibility.PRIVATE)
    ready = image_of(b"public", author=None)
    for image, data in ((private, b"private"), (ready, b"public")):
        await images.add(image)
        await put(contents, image, data)
    failed, unknown = FailedImageFactory.build(), UnknownImageFactory.build()
    for image in (failed, unknown):
        await images.add(image)
    assert await export_images(archive) == {ExportOutcome.EXPORTED: 4}
    found = [one async for one in archive.items()]
    exported = {one.image.guid: one for one in found if isinstance(one, ArchivedImage)}
    assert {guid: one.image for guid, one in exported.items()} == {
        image.guid: image for image in (private, ready, failed, unknown)
    }
    assert exported[failed.guid].content is exported[unknown.guid].content is None
    for image, data in ((private, b"private"), (ready, b"public")):
        content = exported[image.guid].content
        assert content
        assert b"".join([chunk async for chunk in content.chunks]) == data


@pytest.mark.parametrize("factory", [PendingImageFactory, GeneratingImageFactory])
async def test_images_that_are_still_being_made_are_left_out_and_counted(
    export_images: ExportImages,
    images: InMemoryImageRepository,
    archive: WatchedArchive,
    factory: type[ImageFactory],
) -> None:
    await images.add(factory.build())
    assert await export_images(archive) == {ExportOutcome.BEING_MADE: 1}
    assert await guids_in(archive) == set()


async def test_one_authors_images_alone_may_be_exported(
    export_images: ExportImages,
    images: InMemoryImageRepository,
    contents: InMemoryContentStore,
    archive: WatchedArchive,
) -> None:
    wanted = await keep(images, contents, author="ann")
    await keep(images, contents, author="Ann")
    failed = FailedImageFactory.build(author="ann")
    await images.add(failed)
    await images.add(FailedImageFactory.build(author=None))
    progress: list[int] = []
    outcomes = await export_images(archive, author=UserName("ann"), on_progress=progress.append)
    assert outcomes == {ExportOutcome.EXPORTED: 2}
    assert await guids_in(archive) == {wanted.guid, failed.guid}
    assert progress == [1, 2, 3, 4]


async def test_a_second_export_writes_new_and_changed_images(
    export_images: ExportImages,
    images: InMemoryImageRepository,
    contents: InMemoryContentStore,
    archive: WatchedArchive,
) -> None:
    image, *_ = [await keep(images, contents) for _ in range(3)]
    await export_images(archive)
    assert await export_images(archive) == {ExportOutcome.UNCHANGED: 3}
    stored = await images.get(image.guid)
    changed = msgspec.structs.replace(stored, tags=(), filename="renamed.png", version=stored.version + 1)
    await images.change(changed, expected_version=stored.version)
    new = await keep(images, contents)
    assert await export_images(archive) == {ExportOutcome.UNCHANGED: 2, ExportOutcome.EXPORTED: 2}
    found = {one.image.guid: one.image async for one in archive.items() if isinstance(one, ArchivedImage)}
    assert found[image.guid].filename == "renamed.png"
    assert found[new.guid] == new


async def test_more_images_than_a_page_are_exported_each_once(
    export_images: ExportImages, images: InMemoryImageRepository, archive: WatchedArchive
) -> None:
    number = 2 * PAGE_SIZE + 1
    for _ in range(number):
        await images.add(FailedImageFactory.build())
    progress: list[int] = []
    assert await export_images(archive, on_progress=progress.append) == {ExportOutcome.EXPORTED: number}
    assert progress == list(range(1, number + 1))
    assert archive.calls.count("put") == number


@pytest.mark.parametrize(
    ("stored", "detail"),
    [
        (None, "The content is missing."),
        (b"some byteS", "The content is not what was stored: its SHA-256 differs."),
        (b"some", "The content has 4 bytes and not 10."),
        (b"some bytes and more", "The content has 19 bytes and not 10."),
    ],
)
async def test_an_image_whose_content_is_missing_or_damaged_is_reported_and_the_others_exported(
    images: InMemoryImageRepository,
    contents: InMemoryContentStore,
    archive: WatchedArchive,
    stored: bytes | None,
    detail: str,
) -> None:
    kept = [await keep(images, contents) for _ in range(5)]
    broken = sorted(kept, key=lambda image: image.guid)[2]
    if stored is None:
        await contents.delete(broken.content_key)
    else:
        await put(contents, broken, stored)
    problems: list[ArchiveProblem] = []
    outcomes = await exporter(images, contents)(archive, on_problem=problems.append)
    assert outcomes == {ExportOutcome.EXPORTED: 4, ExportOutcome.FAILED: 1}
    assert problems == [ArchiveProblem(str(broken.guid), detail)]
    assert await guids_in(archive) == {image.guid for image in kept} - {broken.guid}
    assert archive.calls[-1] == "finish"


async def test_a_damaged_record_is_reported_and_the_others_exported(
    contents: InMemoryContentStore, archive: WatchedArchive
) -> None:
    images = PartlyDamagedRepository("0000 no guid")
    kept = await keep(images, contents)
    problems: list[ArchiveProblem] = []
    outcomes = await exporter(images, contents)(archive, on_problem=problems.append)
    assert outcomes == {ExportOutcome.FAILED: 1, ExportOutcome.EXPORTED: 1}
    assert problems == [ArchiveProblem("0000 no guid", "The record is damaged.")]
    assert await guids_in(archive) == {kept.guid}


async def test_a_content_that_can_not_be_read_to_its_end_is_reported(
    images: InMemoryImageRepository, archive: WatchedArchive
) -> None:
    contents = UnreadableContentStore()
    image = await keep(images, contents)
    problems: list[ArchiveProblem] = []
    outcomes = await exporter(images, contents)(archive, on_problem=problems.append)
    assert outcomes == {ExportOutcome.FAILED: 1}
    assert problems == [ArchiveProblem(str(image.guid), "The content store does not work.")]
    assert await guids_in(archive) == set()


async def test_an_image_that_is_deleted_meanwhile_is_no_problem(
    images: InMemoryImageRepository, archive: WatchedArchive
) -> None:
    async def delete() -> None:
        await images.delete(image.guid, expected_version=image.version, lease_seconds=60)
        await contents.delete(image.content_key)

    contents = InterruptedContentStore(delete)
    image = await keep(images, contents)
    problems: list[ArchiveProblem] = []
    assert await exporter(images, contents)(archive, on_problem=problems.append) == {}
    assert problems == []


async def test_an_archive_that_fails_ends_the_export_and_is_not_finished(
    export_images: ExportImages, images: InMemoryImageRepository, contents: InMemoryContentStore
) -> None:
    for _ in range(5):
        await keep(images, contents)
    archive = WatchedArchive(breaks_at=2)
    problems: list[ArchiveProblem] = []
    with pytest.raises(ArchiveError, match="no space left"):
        await export_images(archive, on_problem=problems.append)
    assert archive.calls == ["prepare", "put", "put"]
    assert problems == []


async def test_a_database_that_fails_ends_the_export_and_is_not_finished(
    images: InMemoryImageRepository, archive: WatchedArchive
) -> None:
    async def fail() -> None:
        raise DBConnectionError("The database does not answer.")

    contents = InterruptedContentStore(fail)
    await keep(images, contents)
    with pytest.raises(DBConnectionError):
        await exporter(images, contents)(archive)
    assert "finish" not in archive.calls


async def put_quarantined(contents: InMemoryContentStore, key: ContentKey) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"no picture"

    await contents.put_quarantined(key, chunks())


async def test_quarantined_items_are_left_out_and_counted(
    export_images: ExportImages,
    images: InMemoryImageRepository,
    contents: InMemoryContentStore,
    archive: WatchedArchive,
) -> None:
    failed = [await images.add(FailedImageFactory.build(author=author)) for author in ("ann", "ann", "ben")]
    for image in failed:
        await put_quarantined(contents, image.content_key)
    for key in (ContentKey("0b6f1c1e-5d0e-4a39-9f43-5c8d3f6f2b11"), ContentKey("no-guid")):
        await put_quarantined(contents, key)
    assert await export_images(archive) == {ExportOutcome.EXPORTED: 3, ExportOutcome.QUARANTINED: 5}
    assert {content async for content in contents_of(archive)} == {None}
    assert await export_images(WatchedArchive(), author=UserName("ann")) == {
        ExportOutcome.EXPORTED: 2,
        ExportOutcome.QUARANTINED: 2,
    }


async def contents_of(archive: InMemoryImageArchive) -> AsyncIterator[StoredContent | None]:
    async for one in archive.items():
        assert isinstance(one, ArchivedImage)
        yield one.content


async def test_a_warning_of_the_archive_is_passed_on_and_stops_nothing(
    export_images: ExportImages, images: InMemoryImageRepository, contents: InMemoryContentStore
) -> None:
    class SharedArchive(InMemoryImageArchive):
        async def prepare(self) -> ArchiveProblem | None:
            return ArchiveProblem("archive", "Others may write to it.")

    await keep(images, contents)
    told: list[ArchiveProblem] = []
    assert await export_images(SharedArchive(), on_problem=told.append) == {ExportOutcome.EXPORTED: 1}
    assert told == [ArchiveProblem("archive", "Others may write to it.")]
