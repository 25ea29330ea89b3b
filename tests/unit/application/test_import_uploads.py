"""Uploads in archives."""

import hashlib
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_archive import InMemoryImageArchive
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.pictures.pillow.content_inspector import PillowContentInspector
from pixyproxy.application import SweepUploads
from pixyproxy.application.export_images import ExportOutcome
from pixyproxy.application.import_images import ImportOutcome
from pixyproxy.domain.content import CONTENT_MAX_SIZE, ContentKey, MediaType
from pixyproxy.domain.errors import ContentNotFoundError, ContentStoreError
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageStatus
from pixyproxy.domain.ports import (
    ArchivedImage,
    ArchivedReference,
    ArchiveProblem,
    ImageArchiveReader,
    StoredContent,
    chunks_of,
)
from pixyproxy.domain.reference import Reference, Upload
from pixyproxy.domain.user import UserName
from tests import odd_pictures
from tests.archiving import exporter, importer
from tests.contents import keys_in
from tests.factories import FailedImageFactory

ANN, BOB = UserName("ann"), UserName("bob")
LION = odd_pictures.encoded(odd_pictures.gradient(40, 30), "PNG")
SEA = odd_pictures.encoded(odd_pictures.gradient(40, 30), "JPEG")


class Clock:
    """The database's clock."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 26, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


class Service:
    """A database and the stores of contents and uploads."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.images = InMemoryImageRepository(self.clock)
        self.contents = InMemoryContentStore()
        self.upload_contents = InMemoryContentStore()
        self.problems: list[ArchiveProblem] = []

    async def add(self, image: Image, *uploads: bytes) -> None:
        for data in uploads:
            key = ContentKey(sha256_of(data))
            await self.images.hold(key, seconds=60)
            await self.upload_contents.put(key, chunks_of(data))
        await self.images.add(image)

    async def export_images(
        self, archive: InMemoryImageArchive, author: UserName | None = None
    ) -> dict[ExportOutcome, int]:
        export_images = exporter(self.images, self.contents, self.upload_contents)
        return dict(await export_images(archive, author=author, on_problem=self.problems.append))

    async def import_images(self, archive: ImageArchiveReader) -> dict[ImportOutcome, int]:
        import_images = importer(self.images, self.contents, self.upload_contents)
        return dict(await import_images(archive, on_problem=self.problems.append))

    async def stored(self) -> list[Image]:
        found = await self.images.scan(limit=100)
        return [msgspec.structs.replace(image, id=None) for image in found if isinstance(image, Image)]

    async def uploads(self) -> set[bytes]:
        keys = await keys_in(self.upload_contents)
        stored = [await self.upload_contents.open(key) for key in keys]
        return {b"".join([chunk async for chunk in each.chunks]) for each in stored}

    async def sweep(self, *, after: timedelta) -> None:
        self.clock.time += after
        await SweepUploads(uploads=self.images, upload_contents=self.upload_contents)()


class ListedArchive(ImageArchiveReader):
    """Returns the given items."""

    def __init__(self, *found: ArchivedImage | ArchivedReference) -> None:
        self._found = found

    async def items(self) -> AsyncIterator[ArchivedImage | ArchivedReference | ArchiveProblem]:
        for one in self._found:
            yield one

    @property
    def progress(self) -> float | None:
        return None


class WatchedArchive(InMemoryImageArchive):
    """Records the order in which it is written."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    async def put_reference(self, content: Any, chunks: Any) -> None:
        self.calls.append("reference")
        await super().put_reference(content, chunks)

    async def put(self, image: Image, chunks: Any = None) -> None:
        self.calls.append("image")
        await super().put(image, chunks)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def other() -> Service:
    """Another service, without images."""
    return Service()


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def an_upload(data: bytes) -> Upload:
    content = await PillowContentInspector().inspect(StoredContent(len(data), chunks_of(data)))
    return Upload(filename="a picture", content=content)


def an_image(references: Iterable[Upload], mask: Upload | None = None, author: UserName = ANN) -> Image:
    request = GenerationRequest(
        prompt="a lion",
        references=tuple(map(Reference.to_upload, references)),
        mask=None if mask is None else Reference.to_upload(mask),
    )
    return FailedImageFactory.build(request=request, author=author)


def a_reference(data: bytes, sha256: str | None = None) -> ArchivedReference:
    return ArchivedReference(sha256 or sha256_of(data), StoredContent(len(data), chunks_of(data)))


async def test_images_go_to_another_service_with_their_uploads(service: Service, other: Service) -> None:
    lion, sea = await an_upload(LION), await an_upload(SEA)
    images = [an_image([lion, sea, lion]), an_image([sea], mask=lion), an_image([])]
    for image in images:
        await service.add(image, LION, SEA)
    archive = WatchedArchive()
    assert await service.export_images(archive) == {ExportOutcome.EXPORTED: 3}
    assert sorted(archive.calls) == ["image"] * 3 + ["reference"] * 2
    assert await other.import_images(archive) == {ImportOutcome.IMPORTED: 3}
    assert await other.stored() == await service.stored()
    assert await other.uploads() == {LION, SEA}
    await other.sweep(after=timedelta(days=30))
    assert await other.uploads() == {LION, SEA}
    assert service.problems == other.problems == []


async def test_a_second_export_writes_no_upload_again(service: Service) -> None:
    archive = WatchedArchive()
    await service.add(an_image([await an_upload(LION)]), LION)
    await service.export_images(archive)
    await service.add(an_image([await an_upload(LION)]), LION)
    assert await service.export_images(archive) == {ExportOutcome.UNCHANGED: 1, ExportOutcome.EXPORTED: 1}
    assert archive.calls == ["reference", "image", "image"]


async def test_only_uploads_of_the_author_are_exported(service: Service) -> None:
    await service.add(an_image([await an_upload(LION)], author=ANN), LION)
    await service.add(an_image([await an_upload(SEA)], author=BOB), SEA)
    archive = InMemoryImageArchive()
    assert await service.export_images(archive, author=ANN) == {ExportOutcome.EXPORTED: 1}
    assert await archive.has_reference((await an_upload(LION)).content)
    assert not await archive.has_reference((await an_upload(SEA)).content)


@pytest.mark.parametrize(
    ("stored", "detail"),
    [
        (None, "The content is missing."),
        (LION[::-1], "The content is not what was stored: its SHA-256 differs."),
        (LION[:-1], f"The content has {len(LION) - 1:,} bytes and not {len(LION):,}."),
    ],
)
async def test_an_image_whose_upload_is_missing_or_damaged_is_reported_and_left_out(
    service: Service, stored: bytes | None, detail: str
) -> None:
    lion, sea = await an_upload(LION), await an_upload(SEA)
    broken, whole = an_image([sea, lion]), an_image([sea])
    await service.add(broken, SEA, LION)
    await service.add(whole, SEA)
    if stored is None:
        await service.upload_contents.delete(lion.key)
    else:
        await service.upload_contents.put(lion.key, chunks_of(stored))
    archive = InMemoryImageArchive()
    assert await service.export_images(archive) == {ExportOutcome.EXPORTED: 1, ExportOutcome.FAILED: 1}
    detail = f"Its upload {lion.content.sha256} can't be exported: {detail}"
    assert service.problems == [ArchiveProblem(str(broken.guid), detail)]
    assert [one.image async for one in archive.items() if isinstance(one, ArchivedImage)] == [whole]


async def test_a_second_import_changes_nothing_and_mends_a_missing_upload(service: Service, other: Service) -> None:
    lion = await an_upload(LION)
    await service.add(an_image([lion]), LION)
    archive = InMemoryImageArchive()
    await service.export_images(archive)
    await other.import_images(archive)
    assert await other.import_images(archive) == {ImportOutcome.UNCHANGED: 1}
    await other.upload_contents.delete(lion.key)
    assert await other.import_images(archive) == {ImportOutcome.MENDED: 1}
    assert await other.uploads() == {LION}
    await other.upload_contents.put(lion.key, chunks_of(LION[:-1]))
    assert await other.import_images(archive) == {ImportOutcome.MENDED: 1}
    assert await other.uploads() == {LION}


async def test_an_upload_may_be_stored_already(service: Service) -> None:
    first, second = an_image([await an_upload(LION)]), an_image([await an_upload(LION)])
    await service.add(first, LION)
    assert await service.import_images(ListedArchive(ArchivedImage(second))) == {ImportOutcome.IMPORTED: 1}


async def test_an_image_whose_upload_is_nowhere_is_refused(service: Service) -> None:
    lion = await an_upload(LION)
    image = an_image([lion])
    assert await service.import_images(ListedArchive(ArchivedImage(image))) == {ImportOutcome.REFUSED: 1}
    detail = f"Its upload {lion.content.sha256} is neither in the archive nor stored here."
    assert service.problems == [ArchiveProblem(str(image.guid), detail)]
    assert await service.stored() == []
    await service.sweep(after=timedelta(0))
    assert await service.images.scan_uploads(limit=10) == []


@pytest.mark.parametrize(
    "changes", [{"width": 41}, {"height": 29}, {"byte_size": 1}, {"media_type": MediaType.WEBP}], ids=repr
)
async def test_an_image_that_tells_something_else_of_its_upload_is_refused(
    service: Service, changes: dict[str, object]
) -> None:
    lion = await an_upload(LION)
    lying = msgspec.structs.replace(lion, content=msgspec.structs.replace(lion.content, **changes))
    found = ListedArchive(a_reference(LION), ArchivedImage(an_image([lying])), ArchivedImage(an_image([lion])))
    assert await service.import_images(found) == {ImportOutcome.REFUSED: 1, ImportOutcome.IMPORTED: 1}
    assert [problem.detail for problem in service.problems] == [
        f"Its upload {lion.content.sha256} is not the picture that the record tells of."
    ]


GIF = odd_pictures.encoded(odd_pictures.gradient(), "GIF")


@pytest.mark.parametrize(
    ("data", "sha256", "problem"),
    [
        (LION, "0" * 64, "The reference does not have the SHA-256 that its name tells."),
        (b"text", None, "The reference can't be used"),
        (b"", None, "The reference must not be an empty file"),
        (LION[:-20], None, "The reference can't be used"),
        (GIF, None, "The reference can't be used"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", None, "The reference can't be used"),
    ],
)
async def test_a_reference_that_is_not_what_it_is_to_be_is_refused_and_nothing_of_it_kept(
    service: Service, data: bytes, sha256: str | None, problem: str
) -> None:
    image = an_image([await an_upload(SEA)])
    found = ListedArchive(a_reference(data, sha256), a_reference(SEA), ArchivedImage(image))
    assert await service.import_images(found) == {ImportOutcome.REFUSED: 1, ImportOutcome.IMPORTED: 1}
    assert [each.name for each in service.problems] == [sha256 or sha256_of(data)]
    assert service.problems[0].detail.startswith(problem)
    assert await service.uploads() == {SEA}
    await service.sweep(after=timedelta(0))
    assert [each.sha256 for each in await service.images.scan_uploads(limit=10)] == [sha256_of(SEA)]


async def test_a_reference_that_is_too_large_is_refused_unread(service: Service) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError
        yield b""

    large = ArchivedReference("0" * 64, StoredContent(1 << 30, never()))
    assert await service.import_images(ListedArchive(large)) == {ImportOutcome.REFUSED: 1}
    assert service.problems == [ArchiveProblem("0" * 64, f"The reference has more than {CONTENT_MAX_SIZE >> 20} MiB.")]
    assert await service.images.scan_uploads(limit=10) == []


async def test_a_reference_that_no_image_names_is_deleted_later(service: Service) -> None:
    assert await service.import_images(ListedArchive(a_reference(LION), a_reference(LION))) == {}
    await service.sweep(after=timedelta(days=2))
    assert await service.uploads() == set()


async def test_a_reference_waits_for_an_image_when_the_first_one_is_refused(service: Service) -> None:
    lion = await an_upload(LION)
    being_made = msgspec.structs.replace(an_image([lion]), status=ImageStatus.PENDING, failure=None)
    await service.import_images(ListedArchive(a_reference(LION), ArchivedImage(being_made)))
    await service.sweep(after=timedelta(minutes=5))
    assert await service.import_images(ListedArchive(ArchivedImage(an_image([lion])))) == {ImportOutcome.IMPORTED: 1}


async def test_an_upload_that_is_just_being_deleted_is_refused_and_imported_later(service: Service) -> None:
    lion = await an_upload(LION)
    await service.images.hold(lion.content.sha256, seconds=1)
    service.clock.time += timedelta(seconds=2)
    assert await service.images.claim_unused(limit=1, lease_seconds=60) == [lion.content.sha256]
    items = a_reference(LION), ArchivedImage(an_image([lion]))
    assert await service.import_images(ListedArchive(*items)) == {ImportOutcome.REFUSED: 2}
    assert {problem.detail for problem in service.problems} == {
        "The same upload, of an earlier image, is just being deleted."
    }
    service.clock.time += timedelta(seconds=61)
    items = a_reference(LION), ArchivedImage(an_image([lion]))
    assert await service.import_images(ListedArchive(*items)) == {ImportOutcome.IMPORTED: 1}


async def test_a_store_of_uploads_that_fails_ends_the_import_without_a_record(service: Service) -> None:
    class FullContentStore(InMemoryContentStore):
        async def receive(self, chunks: object, accept: object) -> Any:
            raise ContentStoreError("The content store is full.")

    service.upload_contents = FullContentStore()
    items = a_reference(LION), ArchivedImage(an_image([await an_upload(LION)]))
    with pytest.raises(ContentStoreError, match="full"):
        await service.import_images(ListedArchive(*items))
    assert await service.stored() == []
    with pytest.raises(ContentNotFoundError):
        await service.upload_contents.open(ContentKey(sha256_of(LION)))
