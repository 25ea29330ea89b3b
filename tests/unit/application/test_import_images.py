"""Reading images from an archive."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_archive import InMemoryImageArchive
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.pictures.pillow.content_inspector import PillowContentInspector
from pixyproxy.application import CorrectSizes, ImportImages
from pixyproxy.application import import_images as module
from pixyproxy.application.correct_sizes import exchanged
from pixyproxy.application.import_images import ImportOutcome
from pixyproxy.domain.archive import ArchiveError
from pixyproxy.domain.content import ContentInfo, MediaType
from pixyproxy.domain.errors import (
    ContentNotFoundError,
    ContentStoreError,
    DamagedRecordError,
    DataValidationError,
    DBConnectionError,
)
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, Visibility
from pixyproxy.domain.ports import (
    ArchivedImage,
    ArchivedReference,
    ArchiveProblem,
    ContentPorts,
    ImageArchiveReader,
    StoredContent,
)
from tests import odd_pictures
from tests.archiving import exporter, importer
from tests.factories import (
    FailedImageFactory,
    GeneratingImageFactory,
    ImageFactory,
    PendingImageFactory,
    UnknownImageFactory,
)
from tests.streams import pieces

DIFFERS = "The image is stored already, and differs; it was left as it is."
BEING_DELETED = "The image is just being deleted; import it again later."


class ListedArchive(ImageArchiveReader):
    """Returns the given items, and raises the given errors."""

    def __init__(self, *found: ArchivedImage | ArchivedReference | ArchiveProblem | Exception) -> None:
        self._found = found

    async def items(self) -> AsyncIterator[ArchivedImage | ArchivedReference | ArchiveProblem]:
        for one in self._found:
            if isinstance(one, Exception):
                raise one
            yield one

    @property
    def progress(self) -> float | None:
        return None


class RefusingRepository(InMemoryImageRepository):
    """Raises `error` for each image that is to be added, or runs a step of another process first."""

    def __init__(
        self, error: Exception | None = None, meanwhile: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        super().__init__()
        self._error = error
        self._meanwhile = meanwhile

    async def add(self, image: Image, **options: Any) -> Image:
        if self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None
            await meanwhile()
        if self._error is not None:
            raise self._error
        return await super().add(image, **options)


class DamagedRepository(InMemoryImageRepository):
    """Holds damaged records alone."""

    async def get(self, guid: object) -> Image:
        raise DamagedRecordError("The record is damaged.")


class FullContentStore(InMemoryContentStore):
    """Takes nothing more."""

    async def put(self, key: object, chunks: object) -> Any:
        raise ContentStoreError("The content store is full.")


class SlowContentStore(InMemoryContentStore):
    """Runs a step of another process before a content is stored."""

    def __init__(self, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    async def put(self, key: Any, chunks: Any) -> Any:
        await self._meanwhile()
        return await super().put(key, chunks)


@pytest.fixture
def import_images(images: InMemoryImageRepository, contents: InMemoryContentStore) -> ImportImages:
    return importer(images, contents)


@pytest.fixture
async def picture(generator: InMemoryImageGenerator) -> bytes:
    return (await generator.generate(GenerationRequest(prompt="a lighthouse"))).data


@pytest.fixture
async def image(picture: bytes) -> Image:
    """Return an image whose content is the picture."""
    info = await PillowContentInspector().inspect(content_of(picture))
    return ImageFactory.build(content=info)


def content_of(data: bytes) -> StoredContent:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 7):
            yield data[start : start + 7]

    return StoredContent(len(data), chunks())


def archived(image: Image, data: bytes) -> ArchivedImage:
    return ArchivedImage(image, content_of(data))


async def content_in(contents: ContentPorts, image: Image) -> bytes | None:
    try:
        stored = await contents.open(image.content_key)
    except ContentNotFoundError:
        return None
    return b"".join([chunk async for chunk in stored.chunks])


async def stored_in(images: InMemoryImageRepository) -> Sequence[Image]:
    return [
        msgspec.structs.replace(image, id=None) for image in await images.scan(limit=100) if isinstance(image, Image)
    ]


async def test_an_empty_archive_changes_nothing(import_images: ImportImages) -> None:
    assert await import_images(ListedArchive()) == {}


async def test_an_image_is_stored_with_all_its_fields_and_bytes(
    import_images: ImportImages,
    images: InMemoryImageRepository,
    contents: InMemoryContentStore,
    image: Image,
    picture: bytes,
) -> None:
    private = msgspec.structs.replace(image, visibility=Visibility.PRIVATE)
    assert await import_images(ListedArchive(archived(private, picture))) == {ImportOutcome.IMPORTED: 1}
    assert await stored_in(images) == [private]
    assert await content_in(contents, image) == picture


@pytest.mark.parametrize("factory", [FailedImageFactory, UnknownImageFactory])
async def test_an_image_without_content_is_stored(
    import_images: ImportImages, images: InMemoryImageRepository, factory: type[ImageFactory]
) -> None:
    image = factory.build()
    assert await import_images(ListedArchive(ArchivedImage(image))) == {ImportOutcome.IMPORTED: 1}
    assert await stored_in(images) == [image]


async def test_an_import_may_be_done_again(
    import_images: ImportImages, images: InMemoryImageRepository, image: Image, picture: bytes
) -> None:
    failed = FailedImageFactory.build()
    await import_images(ListedArchive(archived(image, picture), ArchivedImage(failed)))
    stored = await images.scan(limit=10)
    outcomes = await import_images(ListedArchive(archived(image, picture), ArchivedImage(failed)))
    assert outcomes == {ImportOutcome.UNCHANGED: 2}
    assert await images.scan(limit=10) == stored


@pytest.mark.parametrize("left", [None, b"half a pict"])
async def test_an_image_that_is_stored_gets_its_missing_content(
    import_images: ImportImages, contents: InMemoryContentStore, image: Image, picture: bytes, left: bytes | None
) -> None:
    await import_images(ListedArchive(archived(image, picture)))
    await contents.delete(image.content_key)
    if left is not None:
        await contents.put(image.content_key, content_of(left).chunks)
    assert await import_images(ListedArchive(archived(image, picture))) == {ImportOutcome.MENDED: 1}
    assert await content_in(contents, image) == picture


async def test_a_damaged_content_mends_nothing(
    import_images: ImportImages, contents: InMemoryContentStore, image: Image, picture: bytes
) -> None:
    await import_images(ListedArchive(archived(image, picture)))
    await contents.delete(image.content_key)
    assert await import_images(ListedArchive(archived(image, picture[::-1]))) == {ImportOutcome.REFUSED: 1}
    assert await content_in(contents, image) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"tags": ("another",)},
        {"request": GenerationRequest(prompt="another")},
        {"author": "another user"},
        {"usage": None},
    ],
    ids=repr,
)
async def test_an_image_that_is_stored_with_other_fields_is_reported_and_left_alone(
    images: InMemoryImageRepository,
    contents: InMemoryContentStore,
    image: Image,
    picture: bytes,
    changes: dict[str, Any],
) -> None:
    await importer(images, contents)(ListedArchive(archived(image, picture)))
    problems: list[ArchiveProblem] = []
    other = msgspec.structs.replace(image, **changes)
    outcomes = await importer(images, contents)(ListedArchive(archived(other, b"other")), on_problem=problems.append)
    assert outcomes == {ImportOutcome.REFUSED: 1}
    assert problems == [ArchiveProblem(str(image.guid), DIFFERS)]
    assert await stored_in(images) == [image]
    assert await content_in(contents, image) == picture


def with_info(image: Image, **changes: Any) -> Image:
    return msgspec.structs.replace(image, content=msgspec.structs.replace(image.ready_content, **changes))


@pytest.mark.parametrize(
    "wrong",
    [
        ({"byte_size": 5}, "The content does not have the size that the record tells."),
        ({"sha256": "0" * 64}, "The content is not the picture that the record tells of."),
        ({"width": 4_711}, "The content is not the picture that the record tells of."),
        ({"height": 4_711}, "The content is not the picture that the record tells of."),
        ({"media_type": MediaType.JPEG}, "The content is not the picture that the record tells of."),
    ],
)
async def test_a_content_that_is_not_the_records_is_reported_and_nothing_stored(
    images: InMemoryImageRepository,
    contents: InMemoryContentStore,
    image: Image,
    picture: bytes,
    wrong: tuple[dict[str, Any], str],
) -> None:
    changes, detail = wrong
    problems: list[ArchiveProblem] = []
    outcomes = await importer(images, contents)(
        ListedArchive(archived(with_info(image, **changes), picture)), on_problem=problems.append
    )
    assert outcomes == {ImportOutcome.REFUSED: 1}
    assert problems == [ArchiveProblem(str(image.guid), detail)]
    assert await stored_in(images) == []
    assert await content_in(contents, image) is None


@pytest.mark.parametrize("data", [b"<svg xmlns='http://www.w3.org/2000/svg'>", b"<html>", b"text"])
async def test_a_content_that_is_no_picture_is_reported_and_nothing_stored(
    import_images: ImportImages, images: InMemoryImageRepository, contents: InMemoryContentStore, data: bytes
) -> None:
    info = ContentInfo(
        media_type=MediaType.PNG, byte_size=len(data), sha256=hashlib.sha256(data).hexdigest(), width=1, height=1
    )
    image = ImageFactory.build(content=info)
    assert await import_images(ListedArchive(archived(image, data))) == {ImportOutcome.REFUSED: 1}
    assert await stored_in(images) == []
    assert await content_in(contents, image) is None


@pytest.fixture
async def turned() -> tuple[Image, bytes]:
    """Return a picture that is shown 40 wide and 80 high, with its image as an older version has exported it."""
    data = odd_pictures.encoded(odd_pictures.gradient(80, 40), "JPEG", exif=b"Exif\0\0" + odd_pictures.exif(6))
    shown = await PillowContentInspector().inspect(content_of(data))
    assert (shown.width, shown.height) == (40, 80)
    return ImageFactory.build(content=exchanged(shown)), data


async def test_a_turned_picture_is_stored_as_it_is_shown_whichever_way_its_record_has_it(
    import_images: ImportImages, images: InMemoryImageRepository, turned: tuple[Image, bytes]
) -> None:
    lying, data = turned
    assert lying.content is not None
    shown = msgspec.structs.replace(ImageFactory.build(), content=exchanged(lying.content))
    archive = ListedArchive(archived(lying, data), archived(shown, data))
    assert await import_images(archive) == {ImportOutcome.IMPORTED: 2}
    assert all(image.content == shown.content for image in await stored_in(images))
    again = ListedArchive(archived(lying, data), archived(shown, data))
    assert await import_images(again) == {ImportOutcome.UNCHANGED: 2}


async def test_an_export_of_before_the_size_was_corrected_is_unchanged(
    import_images: ImportImages,
    images: InMemoryImageRepository,
    contents: InMemoryContentStore,
    clock: InMemoryClock,
    turned: tuple[Image, bytes],
) -> None:
    lying, data = turned
    stored = await images.add(lying)
    await contents.put(lying.content_key, pieces(data))
    correct = CorrectSizes(image_maintenance=images, contents=contents, inspector=PillowContentInspector(), clock=clock)
    assert await correct.correct(stored)
    assert await import_images(ListedArchive(archived(lying, data))) == {ImportOutcome.UNCHANGED: 1}


async def test_a_picture_that_is_not_turned_has_to_have_the_size_of_its_record(
    import_images: ImportImages, images: InMemoryImageRepository
) -> None:
    data = odd_pictures.encoded(odd_pictures.gradient(80, 40), "JPEG", exif=b"Exif\0\0" + odd_pictures.exif(3))
    content = exchanged(await PillowContentInspector().inspect(content_of(data)))
    archive = ListedArchive(archived(ImageFactory.build(content=content), data))
    assert await import_images(archive) == {ImportOutcome.REFUSED: 1}
    assert await stored_in(images) == []


async def test_every_damaged_byte_is_found(import_images: ImportImages, image: Image, picture: bytes) -> None:
    for place in range(0, len(picture), max(1, len(picture) // 50)):
        damaged = picture[:place] + bytes([picture[place] ^ 1]) + picture[place + 1 :]
        assert await import_images(ListedArchive(archived(image, damaged))) == {ImportOutcome.REFUSED: 1}


async def test_a_content_that_is_too_large_is_refused_unread(
    import_images: ImportImages, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError
        yield b""

    monkeypatch.setattr(module, "CONTENT_MAX_SIZE", 99)
    large = ArchivedImage(with_info(image, byte_size=100), StoredContent(100, never()))
    problems: list[ArchiveProblem] = []
    await import_images(ListedArchive(large), on_problem=problems.append)
    assert len(problems) == 1


@pytest.mark.parametrize("factory", [PendingImageFactory, GeneratingImageFactory])
async def test_an_image_that_is_still_being_made_is_refused(
    import_images: ImportImages, images: InMemoryImageRepository, factory: type[ImageFactory]
) -> None:
    assert await import_images(ListedArchive(ArchivedImage(factory.build()))) == {ImportOutcome.REFUSED: 1}
    assert await stored_in(images) == []


async def test_a_ready_image_without_content_is_refused(
    import_images: ImportImages, images: InMemoryImageRepository, image: Image
) -> None:
    assert await import_images(ListedArchive(ArchivedImage(image))) == {ImportOutcome.REFUSED: 1}
    assert await stored_in(images) == []


async def test_a_problem_does_not_stop_the_other_images(
    import_images: ImportImages, images: InMemoryImageRepository, image: Image, picture: bytes
) -> None:
    unexpected, failed = ArchiveProblem("README", "No file of an image has such a name."), FailedImageFactory.build()
    problems: list[ArchiveProblem] = []
    progress: list[int] = []
    outcomes = await import_images(
        ListedArchive(
            unexpected, archived(with_info(image, width=1), picture), archived(image, picture), ArchivedImage(failed)
        ),
        on_problem=problems.append,
        on_progress=progress.append,
    )
    assert outcomes == {ImportOutcome.REFUSED: 2, ImportOutcome.IMPORTED: 2}
    assert [problem.name for problem in problems] == ["README", str(image.guid)]
    assert progress == [1, 2, 3, 4]
    assert {stored.guid for stored in await stored_in(images)} == {image.guid, failed.guid}


async def test_an_image_that_is_being_deleted_is_to_be_tried_again_later(
    import_images: ImportImages,
    images: InMemoryImageRepository,
    contents: InMemoryContentStore,
    image: Image,
    picture: bytes,
) -> None:
    await import_images(ListedArchive(archived(image, picture)))
    await images.delete(image.guid, expected_version=image.version, lease_seconds=60)
    await contents.delete(image.content_key)
    problems: list[ArchiveProblem] = []
    outcomes = await import_images(ListedArchive(archived(image, picture)), on_problem=problems.append)
    assert outcomes == {ImportOutcome.REFUSED: 1}
    assert problems == [ArchiveProblem(str(image.guid), BEING_DELETED)]
    assert await content_in(contents, image) is None
    await images.finish_deletion(image.guid)
    assert await import_images(ListedArchive(archived(image, picture))) == {ImportOutcome.IMPORTED: 1}


async def test_an_image_whose_deletion_begins_meanwhile_is_to_be_tried_again_later(
    contents: InMemoryContentStore, image: Image, picture: bytes
) -> None:
    async def come_and_go() -> None:
        await InMemoryImageRepository.add(images, image)
        await images.delete(image.guid, expected_version=image.version, lease_seconds=60)

    images = RefusingRepository(meanwhile=come_and_go)
    problems: list[ArchiveProblem] = []
    await importer(images, contents)(ListedArchive(archived(image, picture)), on_problem=problems.append)
    assert problems == [ArchiveProblem(str(image.guid), BEING_DELETED)]


async def test_an_image_that_differs_in_its_version_alone_is_unchanged(
    images: InMemoryImageRepository, contents: InMemoryContentStore, image: Image, picture: bytes
) -> None:
    """An upgrade of stored records, such as of tags to NFC, gives an image another version than an older export has."""
    later = msgspec.structs.replace(image, version=image.version + 1, updated_at=image.updated_at + timedelta(days=1))
    await importer(images, contents)(ListedArchive(archived(later, picture)))
    assert await importer(images, contents)(ListedArchive(archived(image, picture))) == {ImportOutcome.UNCHANGED: 1}
    stored = await images.get(image.guid)
    assert (stored.version, stored.updated_at) == (later.version, later.updated_at)


@pytest.mark.parametrize(
    ("changes", "outcome"), [({}, ImportOutcome.UNCHANGED), ({"usage": None}, ImportOutcome.REFUSED)]
)
async def test_another_import_may_be_faster(
    contents: InMemoryContentStore, image: Image, picture: bytes, changes: dict[str, Any], outcome: ImportOutcome
) -> None:
    async def be_faster() -> None:
        await InMemoryImageRepository.add(images, msgspec.structs.replace(image, **changes))

    images = RefusingRepository(meanwhile=be_faster)
    assert await importer(images, contents)(ListedArchive(archived(image, picture))) == {outcome: 1}
    assert await content_in(contents, image) == picture


async def test_a_content_is_not_mended_when_its_image_is_deleted_meanwhile(
    images: InMemoryImageRepository, image: Image, picture: bytes
) -> None:
    async def delete() -> None:
        await images.delete(image.guid, expected_version=image.version, lease_seconds=60)
        await images.finish_deletion(image.guid)

    await images.add(image)
    contents = SlowContentStore(delete)
    await importer(images, contents)(ListedArchive(archived(image, picture)))
    assert await content_in(contents, image) is None


async def test_an_image_that_the_database_can_not_keep_is_reported_and_leaves_no_content(
    contents: InMemoryContentStore, image: Image, picture: bytes
) -> None:
    images = RefusingRepository(DataValidationError("created_at", "is out of the database's range"))
    problems: list[ArchiveProblem] = []
    outcomes = await importer(images, contents)(ListedArchive(archived(image, picture)), on_problem=problems.append)
    assert outcomes == {ImportOutcome.REFUSED: 1}
    assert problems == [ArchiveProblem(str(image.guid), "created_at is out of the database's range.")]
    assert await content_in(contents, image) is None


async def test_an_image_whose_stored_record_is_damaged_is_reported(
    contents: InMemoryContentStore, image: Image, picture: bytes
) -> None:
    outcomes = await importer(DamagedRepository(), contents)(ListedArchive(archived(image, picture)))
    assert outcomes == {ImportOutcome.REFUSED: 1}


async def test_a_database_that_fails_ends_the_import_and_a_second_one_completes_it(
    contents: InMemoryContentStore, image: Image, picture: bytes
) -> None:
    images = RefusingRepository(DBConnectionError("The database does not answer."))
    with pytest.raises(DBConnectionError):
        await importer(images, contents)(ListedArchive(archived(image, picture)))
    images._error = None
    assert await importer(images, contents)(ListedArchive(archived(image, picture))) == {ImportOutcome.IMPORTED: 1}
    assert await content_in(contents, image) == picture


async def test_a_content_store_that_fails_ends_the_import_without_a_record(
    images: InMemoryImageRepository, image: Image, picture: bytes
) -> None:
    with pytest.raises(ContentStoreError, match="full"):
        await importer(images, FullContentStore())(ListedArchive(archived(image, picture)))
    assert await stored_in(images) == []


async def test_an_archive_that_breaks_off_ends_the_import_after_the_earlier_images(
    import_images: ImportImages, images: InMemoryImageRepository, image: Image, picture: bytes
) -> None:
    broken = ArchiveError("The archive breaks off before its end.")
    with pytest.raises(ArchiveError):
        await import_images(ListedArchive(archived(image, picture), broken))
    assert await stored_in(images) == [image]


async def test_an_export_can_be_imported_elsewhere(
    images: InMemoryImageRepository,
    contents: InMemoryContentStore,
    image: Image,
    picture: bytes,
) -> None:
    await importer(images, contents)(ListedArchive(archived(image, picture), ArchivedImage(FailedImageFactory.build())))
    unknown = UnknownImageFactory.build(created_at=image.created_at - timedelta(days=400))
    await images.add(unknown)
    archive, other_images, other_contents = InMemoryImageArchive(), InMemoryImageRepository(), InMemoryContentStore()
    await exporter(images, contents)(archive)
    assert await importer(other_images, other_contents)(archive) == {ImportOutcome.IMPORTED: 3}
    assert await stored_in(other_images) == await stored_in(images)
    assert await content_in(other_contents, image) == picture
