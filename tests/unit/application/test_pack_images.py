"""Packing images into a zip."""

import io
from collections.abc import Sequence
from uuid import UUID, uuid4
from zipfile import ZipFile

import pytest

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application import PackImages
from pixyproxy.domain.content import ContentKey, MediaType
from pixyproxy.domain.errors import (
    ContentNotFoundError,
    ContentStoreError,
    DataValidationError,
    DBConnectionError,
    RecordNotFoundError,
)
from pixyproxy.domain.image import Image, Visibility
from pixyproxy.domain.ports import StoredContent, chunks_of
from pixyproxy.domain.user import ANONYMOUS, Principal, UserName
from tests.factories import ContentInfoFactory, FailedImageFactory, GeneratingImageFactory, ImageFactory

ROOT = Principal(name=UserName("root"), is_admin=True)


@pytest.fixture
def pack_images(images: InMemoryImageRepository, contents: InMemoryContentStore, clock: InMemoryClock) -> PackImages:
    return PackImages(images=images, contents=contents, clock=clock)


class Library:
    """Adds images with content."""

    def __init__(self, images: InMemoryImageRepository, contents: InMemoryContentStore) -> None:
        self.images = images
        self.contents = contents

    async def add(
        self, author: Principal, data: bytes = b"a fox", *, visibility: Visibility = Visibility.PRIVATE, name: str = ""
    ) -> Image:
        """Store an image, and return it."""
        content = ContentInfoFactory.build(byte_size=len(data), media_type=MediaType.PNG)
        image = ImageFactory.build(
            author=author.name, visibility=visibility, content=content, filename=name or f"{uuid4()}.png"
        )
        await self.contents.put(image.content_key, chunks_of(data))
        return await self.images.add(image)


@pytest.fixture
def library(images: InMemoryImageRepository, contents: InMemoryContentStore) -> Library:
    return Library(images, contents)


async def unpacked(pack_images: PackImages, guids: Sequence[UUID], principal: Principal) -> dict[str, str]:
    """Return the texts of the zip's files by their names, in order."""
    pack = await pack_images(guids, principal)
    data = b"".join([chunk async for chunk in pack.chunks])
    assert len(data) == pack.byte_size
    with ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


async def test_the_zip_has_the_images_in_the_order_asked_for_under_their_names(
    pack_images: PackImages, library: Library, ann: Principal, bob: Principal
) -> None:
    wanted = [
        await library.add(ann, b"1", name="z.png"),
        await library.add(bob, b"2", name="a.png", visibility=Visibility.PUBLIC),
        await library.add(ann, b"3", name="Z.png", visibility=Visibility.PUBLIC),
    ]
    found = await unpacked(pack_images, [image.guid for image in wanted], ann)
    assert list(found.items()) == [("z.png", "1"), ("a.png", "2"), ("Z-2.png", "3")]


async def test_the_zip_is_named_after_the_day(pack_images: PackImages, library: Library, ann: Principal) -> None:
    pack = await pack_images([(await library.add(ann)).guid], ann)
    assert pack.filename == f"pixyproxy-{pack_images.clock.now():%Y-%m-%d}.zip"
    await pack.chunks.aclose()


async def test_a_name_gets_the_extension_of_its_content(
    pack_images: PackImages, library: Library, ann: Principal
) -> None:
    image = await library.add(ann, name="missing.txt")
    assert list(await unpacked(pack_images, [image.guid, uuid4()], ann)) == ["missing.txt.png", "missing.txt"]


async def test_what_is_left_out_is_named_with_its_reason_and_foreign_images_are_like_unknown_ones(
    pack_images: PackImages, library: Library, ann: Principal, bob: Principal
) -> None:
    images, contents = library.images, library.contents
    mine, unknown, foreign = await library.add(ann), uuid4(), await library.add(bob)
    foreign_failed = await images.add(FailedImageFactory.build(author=bob.name, visibility=Visibility.PUBLIC))
    generating = await images.add(GeneratingImageFactory.build(author=ann.name))
    failed = await images.add(FailedImageFactory.build(author=ann.name))
    lost, damaged = await library.add(ann), await library.add(ann)
    await contents.delete(lost.content_key)
    await contents.put(damaged.content_key, chunks_of(b"a foxglove"))
    others = [unknown, foreign.guid, foreign_failed.guid, generating.guid, failed.guid, lost.guid, damaged.guid]

    found = await unpacked(pack_images, [*others, mine.guid], ann)

    assert list(found) == [mine.filename, "missing.txt"]
    reasons = dict(line.split(": ", 1) for line in found["missing.txt"].splitlines())
    assert reasons == {
        str(unknown): "There is no such image.",
        str(foreign.guid): "There is no such image.",
        str(foreign_failed.guid): "There is no such image.",
        str(generating.guid): "It is not ready; its status is generating.",
        str(failed.guid): "It is not ready; its status is failed.",
        str(lost.guid): "The content is missing.",
        str(damaged.guid): "The content has 10 bytes and not 5.",
    }


async def test_an_administrator_gets_images_of_all_users(
    pack_images: PackImages, library: Library, ann: Principal, bob: Principal
) -> None:
    wanted = [await library.add(ann), await library.add(bob)]
    found = await unpacked(pack_images, [image.guid for image in wanted], ROOT)
    assert list(found) == [image.filename for image in wanted]


async def test_without_a_login_there_are_public_images_only(
    pack_images: PackImages, library: Library, ann: Principal
) -> None:
    public, private = await library.add(ann, visibility=Visibility.PUBLIC), await library.add(ann)
    assert list(await unpacked(pack_images, [public.guid, private.guid], ANONYMOUS)) == [
        public.filename,
        "missing.txt",
    ]


async def test_no_image_that_may_be_read_is_like_none(
    pack_images: PackImages, library: Library, ann: Principal, bob: Principal
) -> None:
    with pytest.raises(RecordNotFoundError):
        await pack_images([uuid4(), (await library.add(bob)).guid], ann)


async def test_the_loss_of_the_only_content_is_the_content_stores_fault(
    pack_images: PackImages, library: Library, contents: InMemoryContentStore, ann: Principal
) -> None:
    image = await library.add(ann)
    await contents.delete(image.content_key)
    with pytest.raises(ContentNotFoundError):
        await pack_images([uuid4(), image.guid], ann)


@pytest.mark.parametrize(
    "numbers", [[], [1, 2, 1], range(1001)], ids=["none", "one of them twice", "one more than may be"]
)
async def test_any_other_list_is_refused(pack_images: PackImages, ann: Principal, numbers: Sequence[int]) -> None:
    with pytest.raises(DataValidationError) as caught:
        await pack_images([UUID(int=number) for number in numbers], ann)
    assert caught.value.field == "guids"


class DeadContentStore(InMemoryContentStore):
    """Fails."""

    async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
        raise ContentStoreError("The content store does not answer.")


async def test_a_content_store_that_fails_is_an_error_before_the_first_byte(
    library: Library, images: InMemoryImageRepository, clock: InMemoryClock, ann: Principal
) -> None:
    pack_images = PackImages(images=images, contents=DeadContentStore(), clock=clock)
    with pytest.raises(ContentStoreError):
        await pack_images([(await library.add(ann)).guid], ann)


class AbsentImageRepository(InMemoryImageRepository):
    """Can't be reached."""

    async def get(self, guid: UUID) -> Image:
        raise DBConnectionError("The database can't be reached.")


async def test_a_database_that_is_away_is_an_error_and_not_a_missing_image(
    contents: InMemoryContentStore, clock: InMemoryClock, ann: Principal
) -> None:
    pack_images = PackImages(images=AbsentImageRepository(), contents=contents, clock=clock)
    with pytest.raises(DBConnectionError):
        await pack_images([uuid4()], ann)


async def test_content_that_vanishes_meanwhile_breaks_the_zip_off_and_names_the_image(
    pack_images: PackImages, library: Library, contents: InMemoryContentStore, ann: Principal
) -> None:
    first, second = await library.add(ann), await library.add(ann)
    pack = await pack_images([first.guid, second.guid], ann)
    received = await anext(pack.chunks)
    await contents.delete(second.content_key)
    with pytest.raises(ContentStoreError, match=str(second.guid)):
        await anext(pack.chunks)
    assert len(received) < pack.byte_size
