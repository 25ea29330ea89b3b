"""A host that implements three ports only, with the adapters of docs/embedding.md."""

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.system.guid_source import RandomGuidSource
from pixyproxy.application import CreateImage, GenerateImage, GetImage, GetImageContent, ListImages
from pixyproxy.application.dispatcher import Dispatcher
from pixyproxy.domain.errors import ContentNotFoundError, GenerationFailedError, OperationNotAllowedError
from pixyproxy.domain.idempotency import IdempotencyKey
from pixyproxy.domain.image import ImageStatus
from pixyproxy.domain.ports import ContentStore, GeneratedImage, Lease
from pixyproxy.domain.user import ANONYMOUS, Principal
from tests.documents import load_example
from tests.images import HostImages
from tests.use_cases import LIGHTHOUSE, with_parts

EXAMPLE = load_example("docs/embedding.md", "own_adapters")


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(":memory:")
    yield database
    database.close()


@pytest.fixture
def host_images(database: sqlite3.Connection) -> HostImages:
    images: HostImages = EXAMPLE.HostImages(database)
    return images


@pytest.fixture
def host_contents(database: sqlite3.Connection) -> ContentStore:
    contents: ContentStore = EXAMPLE.HostContents(database)
    return contents


@pytest.fixture
def create_image(
    host_images: HostImages, host_contents: ContentStore, generator: InMemoryImageGenerator, clock: InMemoryClock
) -> CreateImage:
    generate_image = GenerateImage(images=host_images, contents=host_contents, generator=generator, clock=clock)
    return CreateImage(
        images=host_images,
        dispatcher=Dispatcher(generate_image=generate_image),
        clock=clock,
        guids=RandomGuidSource(),
    )


async def test_it_creates_lists_gets_and_serves_images(
    create_image: CreateImage, host_images: HostImages, host_contents: ContentStore
) -> None:
    created = (await create_image(LIGHTHOUSE, principal=ANONYMOUS)).image
    (listed,) = (await ListImages(catalogue=host_images)(ANONYMOUS)).images
    got = await GetImage(images=host_images)(listed.guid, ANONYMOUS)
    _, content = await GetImageContent(images=host_images, contents=host_contents)(got.guid, ANONYMOUS)
    assert (got.guid, got.status) == (created.guid, ImageStatus.READY)
    assert content.byte_size == len(b"".join([chunk async for chunk in content.chunks]))


async def test_without_the_port_an_idempotency_key_is_refused_and_nothing_is_bought(
    create_image: CreateImage, generator: InMemoryImageGenerator, ann: Principal
) -> None:
    with pytest.raises(OperationNotAllowedError, match="not supported"):
        await create_image(LIGHTHOUSE, principal=ann, idempotency_key=IdempotencyKey("key"))
    assert generator.requests == []


async def test_without_a_quarantine_a_paid_failure_is_recorded_and_promises_no_bytes(
    create_image: CreateImage,
    host_images: HostImages,
    host_contents: ContentStore,
    generator: InMemoryImageGenerator,
) -> None:
    generator.fail_next(GenerationFailedError("No picture came back.", maybe_billed=True, quarantine=b"an answer"))
    with pytest.raises(GenerationFailedError) as caught:
        await create_image(LIGHTHOUSE, principal=ANONYMOUS)
    assert caught.value.guid
    image = await host_images.get(caught.value.guid)
    assert image.failure
    assert image.failure.detail == "No picture came back."
    with pytest.raises(ContentNotFoundError):
        await host_contents.open(image.content_key)


async def test_without_leases_an_image_is_made_without_one(
    create_image: CreateImage, images: InMemoryImageRepository
) -> None:
    seen: list[Lease] = []

    class LookingGenerator(InMemoryImageGenerator):
        async def generate(self, request: object, **kwargs: Any) -> GeneratedImage:
            seen.extend(await images.list_leases(limit=10))
            return await super().generate(LIGHTHOUSE)

    parts = {"images": images, "leases": None, "queue": None, "idempotency_keys": None, "generator": LookingGenerator()}
    await with_parts(create_image, **parts)(LIGHTHOUSE, principal=ANONYMOUS)
    assert [lease.owner for lease in seen] == [None]
