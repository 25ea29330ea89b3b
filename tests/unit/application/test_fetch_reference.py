"""References by URL: fetched, stored and held like uploads."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.memory.picture_source import InMemoryPictureSource
from pixyproxy.application import FetchReference, StoreUpload, SweepUploads
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.errors import DataValidationError, PictureUnavailableError, UploadTooLargeError
from pixyproxy.domain.ports import PictureSource
from tests import odd_pictures
from tests.contents import keys_in

PNG = odd_pictures.encoded(odd_pictures.gradient(), "PNG")
SHA256 = hashlib.sha256(PNG).hexdigest()
URL = "https://images.example.com/foxes/red%20fox.png?signature=secret#top"


class BrokenSource(PictureSource):
    """Breaks off after the first bytes of a picture; `is_closed` tells that the transfer has ended."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.is_closed = False

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[AsyncIterator[bytes]]:
        try:
            yield self._chunks()
        finally:
            self.is_closed = True

    async def _chunks(self) -> AsyncIterator[bytes]:
        yield self.content
        raise PictureUnavailableError("The connection to its server broke off.")


def fetch_from(source: PictureSource, store_upload: StoreUpload) -> FetchReference:
    return FetchReference(picture_source=source, store_upload=store_upload)


async def is_empty(images: InMemoryImageRepository, contents: InMemoryContentStore) -> bool:
    return not await keys_in(contents) and not await images.scan_uploads(limit=10)


async def test_a_picture_at_a_url_is_stored_and_held_until_it_is_released(
    store_upload: StoreUpload, images: InMemoryImageRepository, upload_contents: InMemoryContentStore
) -> None:
    upload = await fetch_from(InMemoryPictureSource({URL: PNG}), store_upload)(URL)

    assert upload.content.media_type is MediaType.PNG
    assert upload.content.sha256 == SHA256
    assert await keys_in(upload_contents) == [SHA256]
    sweep_uploads = SweepUploads(uploads=images, upload_contents=upload_contents)
    assert await sweep_uploads() == 0
    await store_upload.release([upload])
    assert await sweep_uploads() == 1


@pytest.mark.parametrize(
    ("url", "filename"),
    [
        (URL, "red fox.png"),
        ("https://images.example.com/fox.jpeg", "fox.jpeg"),
        ("https://images.example.com/a%2F..%2Ffox.png", "fox.png"),
        ("https://images.example.com/%D0%BB%D0%B8%D1%81%D0%B0.png", "лиса.png"),
        ("https://images.example.com/foxes/", "upload.png"),
        ("https://images.example.com", "upload.png"),
        ("https://images.example.com?fox.png", "upload.png"),
        ("https://[images/fox.png", "upload.png"),
    ],
)
async def test_its_file_name_is_the_last_of_the_path(store_upload: StoreUpload, url: str, filename: str) -> None:
    upload = await fetch_from(InMemoryPictureSource({url: PNG}), store_upload)(url)
    assert upload.filename == filename


async def test_a_url_that_can_not_be_fetched_is_the_fields_mistake(
    store_upload: StoreUpload, images: InMemoryImageRepository, upload_contents: InMemoryContentStore
) -> None:
    with pytest.raises(DataValidationError) as raised:
        await fetch_from(InMemoryPictureSource(), store_upload)(URL, field="mask")

    assert (raised.value.field, raised.value.detail) == ("mask", "can't be fetched: There is no picture.")
    assert isinstance(raised.value.__cause__, PictureUnavailableError)
    assert await is_empty(images, upload_contents)


@pytest.mark.parametrize("content", [b"", PNG[:50], PNG])
async def test_a_picture_that_breaks_off_leaves_nothing(
    store_upload: StoreUpload, images: InMemoryImageRepository, upload_contents: InMemoryContentStore, content: bytes
) -> None:
    source = BrokenSource(content)
    with pytest.raises(DataValidationError, match="broke off") as raised:
        await fetch_from(source, store_upload)(URL)

    assert raised.value.field == "references"
    assert source.is_closed
    assert await is_empty(images, upload_contents)


@pytest.mark.parametrize("content", [b"", b"<!doctype html><h1>Log in</h1>", PNG[:-40], odd_pictures.gif_of(2)])
async def test_what_is_no_picture_is_refused_like_an_upload(
    store_upload: StoreUpload, images: InMemoryImageRepository, upload_contents: InMemoryContentStore, content: bytes
) -> None:
    with pytest.raises(DataValidationError) as raised:
        await fetch_from(InMemoryPictureSource({URL: content}), store_upload)(URL, field="references[1]")

    assert raised.value.field == "references[1]"
    assert await is_empty(images, upload_contents)


async def test_a_picture_of_too_many_bytes_is_read_no_further(
    images: InMemoryImageRepository, upload_contents: InMemoryContentStore, store_upload: StoreUpload
) -> None:
    small = StoreUpload(
        uploads=images, upload_store=upload_contents, inspector=store_upload.inspector, max_size=len(PNG) - 1
    )
    source = BrokenSource(PNG)
    with pytest.raises(UploadTooLargeError, match="references has more than"):
        await fetch_from(source, small)(URL)

    assert source.is_closed
    assert await is_empty(images, upload_contents)
