"""References and masks of a request: who may use which, and what they must be."""

import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.pictures.pillow.content_inspector import PillowContentInspector
from pixyproxy.application import CreateBatch, CreateImage, FindPictures, PlaceOrder, StoreUpload
from pixyproxy.domain.content import ContentInfo, MediaType
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    ContentStoreError,
    DataValidationError,
    GenerationNotStartedError,
    OperationNotAllowedError,
    RecordNotFoundError,
    ReferenceGoneError,
)
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageStatus, Visibility
from pixyproxy.domain.ports import InputInfo, InputPicture, StoredContent, chunks_of
from pixyproxy.domain.reference import Reference
from pixyproxy.domain.user import ANONYMOUS, Principal
from tests import odd_pictures
from tests.factories import FailedImageFactory, ImageFactory
from tests.use_cases import with_parts

PNG = odd_pictures.encoded(odd_pictures.gradient(), "PNG")
MASK = odd_pictures.encoded(odd_pictures.gradient().convert("RGBA"), "PNG")
SMALL_MASK = odd_pictures.encoded(odd_pictures.gradient(16, 16).convert("RGBA"), "PNG")


def request_with(*references: Reference, mask: Reference | None = None) -> GenerationRequest:
    return GenerationRequest(prompt="a red fox", references=references, mask=mask)


def to(image: Image) -> Reference:
    return Reference.to_image(image.guid)


class Library:
    """Stores images with their contents."""

    def __init__(self, images: InMemoryImageRepository, contents: InMemoryContentStore) -> None:
        self.images = images
        self.contents = contents

    async def add(
        self, data: bytes = PNG, media_type: MediaType = MediaType.PNG, author: str | None = "ann", **fields: object
    ) -> Image:
        guid = uuid4()
        digest = await self.contents.put(ImageFactory.build(guid=guid).content_key, chunks_of(data))
        width, height = (16, 16) if data is SMALL_MASK else (odd_pictures.WIDTH, odd_pictures.HEIGHT)
        content = ContentInfo(
            media_type=media_type,
            byte_size=digest.byte_size,
            sha256=digest.sha256,
            width=width,
            height=height,
        )
        return await self.images.add(ImageFactory.build(guid=guid, author=author, content=content, **fields))


@pytest.fixture
def library(images: InMemoryImageRepository, contents: InMemoryContentStore) -> Library:
    return Library(images, contents)


async def content_of(picture: InputPicture) -> bytes:
    return b"".join([chunk async for chunk in (await picture.open()).chunks])


async def test_the_generator_gets_the_pictures_in_the_order_of_the_request(
    create_image: CreateImage,
    generator: InMemoryImageGenerator,
    library: Library,
    store_upload: StoreUpload,
    ann: Principal,
) -> None:
    upload = await store_upload(chunks_of(PNG), filename="fox")
    mask = await store_upload(chunks_of(MASK), filename="mask.png")
    parent = await library.add(filename="parent.png")
    request = request_with(to(parent), Reference.to_upload(upload), to(parent), mask=Reference.to_upload(mask))
    created = await create_image(request, principal=ann)
    (pictures,) = generator.pictures
    assert [picture.filename for picture in pictures.references] == ["parent.png", "fox.png", "parent.png"]
    assert [await content_of(picture) for picture in pictures.references] == [PNG] * 3
    assert [await content_of(picture) for picture in pictures.references] == [PNG] * 3
    assert pictures.mask is not None
    assert (pictures.mask.filename, await content_of(pictures.mask)) == ("mask.png", MASK)
    assert created.image.request == request


@pytest.mark.parametrize(
    ("author", "visibility"),
    [
        ("ann", Visibility.PUBLIC),
        ("ann", Visibility.PRIVATE),
        ("bob", Visibility.PUBLIC),
        ("bob", Visibility.PRIVATE),
        (None, Visibility.PUBLIC),
    ],
)
async def test_public_images_and_ones_own_can_be_references(
    *,
    create_image: CreateImage,
    generator: InMemoryImageGenerator,
    library: Library,
    ann: Principal,
    author: str | None,
    visibility: Visibility,
) -> None:
    parent = await library.add(author=author, visibility=visibility)
    request = request_with(to(parent))
    if author == "bob" and visibility is Visibility.PRIVATE:
        with pytest.raises(RecordNotFoundError, match=r"references\[0\]"):
            await create_image(request, principal=ann)
        assert generator.requests == []
    else:
        assert (await create_image(request, principal=ann)).image.status is ImageStatus.READY


async def test_an_image_that_is_unknown_failed_or_anothers_looks_the_same(
    create_image: CreateImage, images: InMemoryImageRepository, library: Library, ann: Principal
) -> None:
    failed = await images.add(FailedImageFactory.build(author="ann"))
    secret = await library.add(author="bob", visibility=Visibility.PRIVATE)
    found = []
    for guid in (uuid4(), failed.guid, secret.guid):
        with pytest.raises(RecordNotFoundError) as caught:
            await create_image(request_with(Reference.to_image(guid)), principal=ann)
        found.append(caught.value.detail.replace(str(guid), "GUID"))
    assert len(set(found)) == 1
    assert await images.count() == 2


async def test_anonymous_users_can_use_public_images_alone(create_image: CreateImage, library: Library) -> None:
    public, private = await library.add(), await library.add(visibility=Visibility.PRIVATE)
    await create_image(request_with(to(public)), principal=ANONYMOUS)
    with pytest.raises(RecordNotFoundError):
        await create_image(request_with(to(private)), principal=ANONYMOUS)


@pytest.mark.parametrize("media_type", [MediaType.GIF, MediaType.SVG])
async def test_gifs_and_svgs_are_no_references(
    create_image: CreateImage, library: Library, ann: Principal, media_type: MediaType
) -> None:
    fine, other = await library.add(), await library.add(media_type=media_type)
    with pytest.raises(DataValidationError, match="must be a PNG, JPEG or WebP") as caught:
        await create_image(request_with(to(fine), to(other)), principal=ann)
    assert caught.value.field == "references[1]"


async def test_a_mask_is_a_transparent_png_in_the_size_of_the_first_reference(
    create_image: CreateImage, library: Library, store_upload: StoreUpload, ann: Principal
) -> None:
    first, second = await library.add(), await library.add(SMALL_MASK)
    bad = {
        "must be a PNG": await library.add(media_type=MediaType.WEBP),
        "as large as the first reference, 48x32, not 16x16": await library.add(SMALL_MASK),
        "must have transparency": await library.add(PNG),
        "can't be used": await library.add(b"no picture"),
    }
    for reason, image in bad.items():
        with pytest.raises(DataValidationError, match=reason) as caught:
            await create_image(request_with(to(first), to(second), mask=to(image)), principal=ann)
        assert caught.value.field == "mask"
    opaque = Reference.to_upload(await store_upload(chunks_of(PNG), filename="opaque.png"))
    with pytest.raises(DataValidationError, match="must have transparency"):
        await create_image(request_with(to(first), mask=opaque), principal=ann)
    with pytest.raises(DataValidationError, match="needs a reference"):
        await create_image(request_with(mask=to(await library.add(MASK))), principal=ann)
    with pytest.raises(RecordNotFoundError, match="mask"):
        await create_image(request_with(to(first), mask=Reference.to_image(uuid4())), principal=ann)
    good = await library.add(MASK)
    created = await create_image(request_with(to(first), to(second), mask=to(good)), principal=ann)
    assert created.image.status is ImageStatus.READY


OPAQUE_MASKS = {
    "RGB": PNG,
    "RGBA": MASK,
    "grey": odd_pictures.encoded(odd_pictures.gradient().convert("L"), "PNG"),
}


@pytest.mark.parametrize("mask", OPAQUE_MASKS.values(), ids=OPAQUE_MASKS)
async def test_an_order_takes_a_mask_without_transparency(
    create_image: CreateImage, images: InMemoryImageRepository, library: Library, ann: Principal, mask: bytes
) -> None:
    place_order = PlaceOrder(create_batch=CreateBatch(create_image=create_image, batches=images))
    first, opaque = await library.add(), await library.add(mask)
    order = await place_order(request_with(to(first), mask=to(opaque)), 1, principal=ann)
    image = await create_image.generations.result(create_image.images, order.guid, 10)
    assert image is not None
    assert image.status is ImageStatus.READY


async def test_an_order_takes_no_other_mask_than_a_png_in_the_size_of_the_first_reference(
    create_image: CreateImage, images: InMemoryImageRepository, library: Library, ann: Principal
) -> None:
    place_order = PlaceOrder(create_batch=CreateBatch(create_image=create_image, batches=images))
    first = await library.add()
    for bad in (await library.add(media_type=MediaType.WEBP), await library.add(SMALL_MASK)):
        with pytest.raises(DataValidationError) as caught:
            await place_order(request_with(to(first), mask=to(bad)), 1, principal=ann)
        assert caught.value.field == "mask"


class ForgettingRepository(InMemoryImageRepository):
    """Forgets an image as soon as another is stored."""

    forgotten: UUID | None = None

    async def get(self, guid: UUID) -> Image:
        if guid == self.forgotten and await self.count() > 1:
            raise RecordNotFoundError("There is no such image.")
        return await super().get(guid)


async def failed_without_bill(create_image: CreateImage, request: GenerationRequest, principal: Principal) -> str:
    """Return the detail of the error, having checked that the image failed and cost nothing."""
    with pytest.raises(ReferenceGoneError) as caught:
        await create_image(request, principal=principal)
    error = caught.value
    assert not error.maybe_billed
    assert not error.is_retryable
    assert error.guid is not None
    image = await create_image.images.get(error.guid)
    assert image.status is ImageStatus.FAILED
    assert image.failure is not None
    assert (image.failure.kind, image.failure.maybe_billed) == ("ReferenceGoneError", False)
    return error.detail


@pytest.fixture
def forgetting(
    create_image: CreateImage, contents: InMemoryContentStore, upload_contents: InMemoryContentStore
) -> tuple[CreateImage, Library]:
    """A use case whose repository can forget a parent, and its library."""
    images = ForgettingRepository()
    find = create_image.dispatcher.generate_image.find_pictures
    assert find is not None
    find = replace(find, images=images)
    return with_parts(create_image, images=images, find_pictures=find), Library(images, contents)


async def test_an_image_whose_parent_is_gone_when_its_turn_comes_fails_unbilled(
    forgetting: tuple[CreateImage, Library], generator: InMemoryImageGenerator, ann: Principal
) -> None:
    create_image, library = forgetting
    parent = await library.add()
    assert isinstance(library.images, ForgettingRepository)
    library.images.forgotten = parent.guid
    detail = await failed_without_bill(create_image, request_with(to(parent)), ann)
    assert detail == "references[0] is gone; nothing was bought."
    assert generator.requests == []


async def test_an_image_whose_upload_or_parents_content_is_gone_fails_unbilled(
    *,
    create_image: CreateImage,
    generator: InMemoryImageGenerator,
    library: Library,
    store_upload: StoreUpload,
    upload_contents: InMemoryContentStore,
    contents: InMemoryContentStore,
    ann: Principal,
) -> None:
    upload = await store_upload(chunks_of(PNG), filename="fox.png")
    await upload_contents.delete(upload.key)
    parent = await library.add()
    request = request_with(to(parent), Reference.to_upload(upload))
    assert "references[1] is gone" in await failed_without_bill(create_image, request, ann)
    await upload_contents.put(upload.key, chunks_of(PNG[:-1]))
    assert "references[1] is damaged" in await failed_without_bill(create_image, request, ann)
    await contents.delete(parent.content_key)
    assert "references[0] is gone" in await failed_without_bill(create_image, request, ann)
    assert generator.requests == []


async def test_a_store_that_can_not_be_read_lets_nothing_be_bought(
    create_image: CreateImage, generator: InMemoryImageGenerator, library: Library, ann: Principal
) -> None:
    class Unreadable(InMemoryContentStore):
        async def open(self, key: str, *, start: int = 0, end: int | None = None) -> StoredContent:
            raise ContentStoreError("The content store does not work.")

    parent = await library.add()
    find = create_image.dispatcher.generate_image.find_pictures
    assert find is not None
    find = replace(find, contents=Unreadable())
    with pytest.raises(GenerationNotStartedError) as caught:
        await with_parts(create_image, find_pictures=find, leases=None, queue=None)(
            request_with(to(parent)), principal=ann
        )
    assert not caught.value.maybe_billed
    assert generator.requests == []


async def test_a_host_without_the_use_case_takes_no_references(
    create_image: CreateImage, library: Library, ann: Principal
) -> None:
    parent = await library.add()
    without = with_parts(create_image, find_pictures=None)
    with pytest.raises(OperationNotAllowedError, match="References are not supported here"):
        await without(request_with(to(parent)), principal=ann)


async def test_an_unused_upload_is_not_stored_with_an_image(
    create_image: CreateImage, store_upload: StoreUpload, images: InMemoryImageRepository, ann: Principal
) -> None:
    upload = await store_upload(chunks_of(PNG), filename="fox.png")
    await store_upload.release([upload])
    await images.claim_unused(limit=1, lease_seconds=60.0)
    with pytest.raises(ConstraintViolationError, match="upload it again"):
        await create_image(request_with(Reference.to_upload(upload)), principal=ann)
    assert await images.count() == 0


class CountingInspector(PillowContentInspector):
    """Remembers how many pictures it has inspected at once."""

    def __init__(self) -> None:
        super().__init__()
        self.running = 0
        self.most = 0

    async def inspect_input(self, content: StoredContent) -> InputInfo:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await super().inspect_input(content)
        finally:
            self.running -= 1


async def test_one_mask_is_decoded_at_a_time(find_pictures: FindPictures, library: Library, ann: Principal) -> None:
    reference, mask = await library.add(), await library.add(MASK)
    inspector = CountingInspector()
    find_pictures = replace(find_pictures, inspector=inspector)
    request = request_with(to(reference), mask=to(mask))

    await asyncio.gather(*(find_pictures.ensure_usable(request, ann) for _ in range(4)))

    assert inspector.most == 1
