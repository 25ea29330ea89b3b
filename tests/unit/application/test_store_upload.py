"""Uploads: stored once, held for an image, and swept when nothing needs them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application import DeleteImage, StoreUpload, SweepUploads
from pixyproxy.domain.content import ContentKey, MediaType
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    ContentStoreError,
    DataValidationError,
    DBConnectionError,
    UploadTooLargeError,
)
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import ContentDigest, chunks_of
from pixyproxy.domain.reference import Reference, Upload
from pixyproxy.domain.user import Principal
from tests import odd_pictures
from tests.contents import broken_after, keys_in
from tests.factories import ImageFactory

PNG = odd_pictures.encoded(odd_pictures.gradient(), "PNG")
SHA256 = hashlib.sha256(PNG).hexdigest()


@pytest.fixture
def sweep_uploads(images: InMemoryImageRepository, upload_contents: InMemoryContentStore) -> SweepUploads:
    return SweepUploads(uploads=images, upload_contents=upload_contents)


def image_of(*uploads: Upload, author: str = "ann") -> Image:
    references = tuple(Reference.to_upload(upload) for upload in uploads)
    return ImageFactory.build(author=author, request=GenerationRequest(prompt="a fox", references=references))


async def is_empty(images: InMemoryImageRepository, contents: InMemoryContentStore) -> bool:
    return not await keys_in(contents) and not await images.scan_uploads(limit=10)


async def test_an_upload_is_described_and_stored_under_its_digest(
    store_upload: StoreUpload, upload_contents: InMemoryContentStore
) -> None:
    upload = await store_upload(chunks_of(PNG), filename="fox.png")
    assert upload.filename == "fox.png"
    assert upload.content.media_type is MediaType.PNG
    assert (upload.content.width, upload.content.height) == (odd_pictures.WIDTH, odd_pictures.HEIGHT)
    assert (upload.content.byte_size, upload.content.sha256) == (len(PNG), SHA256)
    assert await keys_in(upload_contents) == [SHA256]
    assert b"".join([chunk async for chunk in (await upload_contents.open(upload.key)).chunks]) == PNG


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("/home/ann/fox.png", "fox.png"),
        ("C:\\Pictures\\fox.png", "fox.png"),
        ("  fox\r\n.png ", "fox.png"),
        ("лиса 🦊.png", "лиса 🦊.png"),
        ("x" * 300, "x" * 255),
        ("\ud800.png", "?.png"),
        ("", "upload.png"),
        ("../", "upload.png"),
        (None, "upload.png"),
    ],
)
async def test_a_file_name_is_kept_without_what_could_do_harm(
    store_upload: StoreUpload, name: str | None, kept: str
) -> None:
    upload = await store_upload(chunks_of(PNG), filename=name)
    assert upload.filename == kept
    upload.ensure_valid()


async def test_an_upload_is_held_until_it_is_released(
    store_upload: StoreUpload,
    sweep_uploads: SweepUploads,
    images: InMemoryImageRepository,
    upload_contents: InMemoryContentStore,
) -> None:
    upload = await store_upload(chunks_of(PNG), filename="fox.png")
    assert await sweep_uploads() == 0
    await store_upload.release([upload])
    assert await sweep_uploads() == 1
    assert await is_empty(images, upload_contents)


async def test_the_same_bytes_are_stored_once_and_stay_while_one_image_refers_to_them(
    *,
    store_upload: StoreUpload,
    sweep_uploads: SweepUploads,
    images: InMemoryImageRepository,
    upload_contents: InMemoryContentStore,
    contents: InMemoryContentStore,
    ann: Principal,
) -> None:
    uploads = [await store_upload(chunks_of(PNG), filename=name) for name in ("one.png", "two.png")]
    stored = [await images.add(image_of(upload)) for upload in uploads]
    await store_upload.release(uploads)
    assert await keys_in(upload_contents) == [SHA256]
    delete_image = DeleteImage(images=images, deletions=images, contents=contents, sweep_uploads=sweep_uploads)
    await delete_image(stored[0].guid, ann)
    assert await keys_in(upload_contents) == [SHA256]
    await delete_image(stored[1].guid, ann)
    assert await is_empty(images, upload_contents)


@pytest.mark.parametrize(
    "data", [b"", b"no picture", PNG[:-40], odd_pictures.gif_of(2), b"<svg xmlns='http://www.w3.org/2000/svg'/>"]
)
async def test_what_is_no_picture_is_refused_by_its_fields_name_and_leaves_nothing(
    store_upload: StoreUpload, images: InMemoryImageRepository, upload_contents: InMemoryContentStore, data: bytes
) -> None:
    with pytest.raises(DataValidationError) as caught:
        await store_upload(chunks_of(data), filename="fox.png", field="references[3]")
    assert caught.value.field == "references[3]"
    assert await is_empty(images, upload_contents)


async def test_too_many_bytes_are_refused_while_they_arrive(
    store_upload: StoreUpload, images: InMemoryImageRepository, upload_contents: InMemoryContentStore
) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 100
            yield b"x" * 100

    store = replace(store_upload, max_size=1_000)
    with pytest.raises(UploadTooLargeError, match=r"mask has more than 1,000 bytes\."):
        await store(endless(), filename="fox.png", field="mask")
    assert sent == 1_100
    assert await is_empty(images, upload_contents)
    exact = replace(store_upload, max_size=len(PNG))
    assert (await exact(chunks_of(PNG), filename="fox.png")).content.byte_size == len(PNG)


async def test_an_upload_that_breaks_off_leaves_nothing(
    store_upload: StoreUpload, images: InMemoryImageRepository, upload_contents: InMemoryContentStore
) -> None:
    with pytest.raises(ZeroDivisionError):
        await store_upload(broken_after(PNG[:50], error=ZeroDivisionError()), filename="fox.png")
    assert await is_empty(images, upload_contents)


class FullStore(InMemoryContentStore):
    """Has no space left when an upload is to be moved to its place."""

    async def receive(self, chunks: Any, accept: Any) -> ContentDigest:
        await super().receive(chunks, accept)
        self._contents.clear()
        raise ContentStoreError("The content store is full.")


async def test_an_upload_that_can_not_be_stored_is_not_held(
    store_upload: StoreUpload, sweep_uploads: SweepUploads, images: InMemoryImageRepository
) -> None:
    full = FullStore()
    with pytest.raises(ContentStoreError):
        await replace(store_upload, upload_store=full)(chunks_of(PNG), filename="fox.png")
    assert await sweep_uploads() == 1
    assert await is_empty(images, full)


async def test_an_upload_of_bytes_that_are_being_deleted_waits_for_the_deletion(
    store_upload: StoreUpload,
    images: InMemoryImageRepository,
    upload_contents: InMemoryContentStore,
) -> None:
    upload = await store_upload(chunks_of(PNG), filename="fox.png")
    await store_upload.release([upload])
    assert await images.claim_unused(limit=1, lease_seconds=60.0) == [SHA256]
    again = asyncio.create_task(store_upload(chunks_of(PNG), filename="again.png"))
    await asyncio.sleep(0.15)
    assert not again.done()
    await upload_contents.delete(upload.key)
    await images.finish_unused(SHA256)
    assert (await again).filename == "again.png"
    assert await keys_in(upload_contents) == [SHA256]
    await images.add(image_of(upload))


async def test_an_upload_does_not_wait_for_ever(store_upload: StoreUpload, images: InMemoryImageRepository) -> None:
    await images.hold(SHA256, seconds=0.0)
    await images.claim_unused(limit=1, lease_seconds=60.0)
    with pytest.raises(ConstraintViolationError):
        await replace(store_upload, patience=0.0)(chunks_of(PNG), filename="fox.png")


async def test_a_database_that_does_not_answer_does_not_spoil_the_release(store_upload: StoreUpload) -> None:
    class Lost(InMemoryImageRepository):
        async def release(self, sha256: str) -> None:
            raise DBConnectionError(sha256)

    upload = await store_upload(chunks_of(PNG), filename="fox.png")
    await replace(store_upload, uploads=Lost()).release([upload])


async def test_a_store_that_fails_is_tried_again_by_the_next_sweep(
    store_upload: StoreUpload, images: InMemoryImageRepository, upload_contents: InMemoryContentStore
) -> None:
    class Failing(InMemoryContentStore):
        fails = True

        async def delete(self, key: ContentKey) -> None:
            if self.fails:
                raise ContentStoreError("The content store does not work.")
            await upload_contents.delete(key)

    failing = Failing()
    sweep = SweepUploads(uploads=images, upload_contents=failing, lease_seconds=0.2)
    await store_upload.release([await store_upload(chunks_of(PNG), filename="fox.png")])
    with pytest.raises(ContentStoreError):
        await sweep()
    assert not await is_empty(images, upload_contents)
    failing.fails = False
    await asyncio.sleep(0.25)
    assert await sweep() == 1
    assert await is_empty(images, upload_contents)


async def test_a_deletion_that_takes_longer_than_the_lease_is_left_to_another(
    store_upload: StoreUpload, images: InMemoryImageRepository, upload_contents: InMemoryContentStore
) -> None:
    class Hanging(InMemoryContentStore):
        async def delete(self, key: ContentKey) -> None:
            await asyncio.Event().wait()

    await store_upload.release([await store_upload(chunks_of(PNG), filename="fox.png")])
    assert await SweepUploads(uploads=images, upload_contents=Hanging(), lease_seconds=0.2)() == 0
    assert [record.is_listed for record in await images.scan_uploads(limit=1)] == [True]
    await asyncio.sleep(0.25)
    assert await SweepUploads(uploads=images, upload_contents=upload_contents)() == 1


async def test_uploads_and_sweeps_at_once_lose_nothing(
    store_upload: StoreUpload,
    sweep_uploads: SweepUploads,
    images: InMemoryImageRepository,
    upload_contents: InMemoryContentStore,
) -> None:
    async def ask() -> None:
        upload = await store_upload(chunks_of(PNG), filename="fox.png")
        await images.add(image_of(upload))
        assert await keys_in(upload_contents) == [SHA256]
        await store_upload.release([upload])

    async def refuse() -> None:
        await store_upload.release([await store_upload(chunks_of(PNG), filename="fox.png")])
        await sweep_uploads()

    await asyncio.gather(*[work() for _ in range(10) for work in (ask, refuse)])
    await sweep_uploads()
    assert await keys_in(upload_contents) == [SHA256]
    assert await images.count() == 10
