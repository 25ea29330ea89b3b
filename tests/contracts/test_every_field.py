"""Every field of a request and of what came back is kept, by each database and each archive.

A new field needs a sample here, and then goes everywhere or fails a test.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application.import_images import ImportOutcome
from pixyproxy.domain.batch import BatchPlace
from pixyproxy.domain.content import ContentInfo
from pixyproxy.domain.failure import Failure
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.generation_result import GenerationResult
from pixyproxy.domain.idempotency import Claim, IdempotencyKey
from pixyproxy.domain.image import Image, ImageStatus
from pixyproxy.domain.listing import ImageFilter
from pixyproxy.domain.ports import ImagePorts, chunks_of
from pixyproxy.domain.reference import upload_key_of, uploads_in
from pixyproxy.domain.sender import Sender
from pixyproxy.domain.user import UserName
from pixyproxy.entrypoints.http.images.schemas import PrivateImageDetail
from tests.archiving import ARCHIVES, Archive, exporter, importer
from tests.factories import GeneratingImageFactory, ImageFactory
from tests.images import NOON
from tests.requests import BATCH, CONTENT, FAILURE, PICTURE, REQUEST, RESULT, SAMPLES, SENDER

PLAIN = GenerationRequest(prompt="a fox")
ANN = UserName("ann")


def requests() -> Iterator[tuple[str, GenerationRequest]]:
    """Yield requests that differ from `PLAIN` in one field, and one that differs in all."""
    for name, value in REQUEST.items():
        yield name, msgspec.structs.replace(PLAIN, **{name: value})
    yield "all", GenerationRequest(**REQUEST)


def images() -> Iterator[Any]:
    """Yield an image for each field."""
    for name, request in requests():
        yield pytest.param({"request": request}, id=f"request-{name}")
    for name, value in RESULT.items():
        yield pytest.param({"result": GenerationResult(**{name: value})}, id=f"result-{name}")
    yield pytest.param({"result": GenerationResult(**RESULT)}, id="result-all")
    for name, value in SENDER.items():
        yield pytest.param({"sender": Sender(**{name: value})}, id=f"sender-{name}")
    yield pytest.param({"batch": BatchPlace(**BATCH)}, id="batch")
    yield pytest.param({"failure": Failure(**FAILURE), "status": ImageStatus.FAILED, "content": None}, id="failure")
    yield pytest.param({"request": PLAIN, "result": None, "batch": None, "sender": None}, id="none")


@pytest.fixture(params=images())
def image(request: pytest.FixtureRequest) -> Image:
    fields = {
        "content": ContentInfo(**CONTENT),
        "request": PLAIN,
        "result": None,
        "batch": None,
        "sender": None,
        **request.param,
    }
    return ImageFactory.build(author=ANN, **fields)


@pytest.fixture(params=ARCHIVES)
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Archive:
    made: Archive = request.param(tmp_path)
    return made


@pytest.mark.parametrize("kind", SAMPLES, ids=lambda kind: kind.__name__)
def test_every_field_has_a_sample_that_is_not_its_default(kind: type[msgspec.Struct]) -> None:
    assert list(SAMPLES[kind]) == list(kind.__struct_fields__)
    for field in msgspec.structs.fields(kind):
        assert SAMPLES[kind][field.name] != field.default


def test_the_samples_are_valid() -> None:
    for _, request in requests():
        request.ensure_valid()
    assert GenerationRequest(**REQUEST).normalized() == GenerationRequest(**REQUEST)
    assert GenerationResult.of(dict(RESULT)) == GenerationResult(**RESULT)
    BatchPlace(**BATCH).ensure_valid()


def fingerprint(request: GenerationRequest) -> str:
    image = ImageFactory.build(request=request, tags=(), author=ANN, batch=None, sender=None)
    return Claim.on(image, IdempotencyKey("key")).fingerprint


def test_requests_that_differ_in_a_field_have_different_fingerprints() -> None:
    made = {"none": fingerprint(PLAIN), **{name: fingerprint(request) for name, request in requests()}}
    # The final picture is the same.
    assert made.pop("partial_images") == made["none"]
    assert len(set(made.values())) == len(made)


def test_an_option_at_its_default_leaves_the_fingerprint_as_earlier_versions_made_it() -> None:
    defaults = {field.name: field.default for field in msgspec.structs.fields(GenerationRequest)[1:]}
    # As the release 482b97f made it.
    expected = "d6509b14deda9e0862d42e2f9bb0320a95b920e5b54ae455145e637402cfc649"
    assert fingerprint(GenerationRequest(prompt=PLAIN.prompt, **defaults)) == expected


@pytest.fixture
async def images_with_uploads(images: ImagePorts, image: Image) -> ImagePorts:
    for sha256 in uploads_in(image.request.pictures):
        await images.hold(sha256, seconds=60)
    return images


async def test_a_database_keeps_it(images_with_uploads: ImagePorts, image: Image) -> None:
    images = images_with_uploads
    added = await images.add(image)
    assert await images.get(image.guid) == added
    assert await images.scan(limit=1) == [added]
    if image.status is ImageStatus.READY:
        assert await images.list(ImageFilter(author=ANN), limit=1) == [added]
    assert repr(added.request) == repr((await images.get(image.guid)).request) == repr(image.request)


async def test_a_database_keeps_it_from_the_request_to_the_end(images_with_uploads: ImagePorts, image: Image) -> None:
    images = images_with_uploads
    generating = await images.add(
        GeneratingImageFactory.build(request=image.request, batch=image.batch, sender=image.sender)
    )
    assert await images.get(generating.guid) == generating
    if image.content is not None:
        ended = generating.completed(image.content, result=image.result, at=NOON)
    else:
        assert image.failure is not None
        ended = generating.failed(image.failure.to_error(), at=NOON)
        assert ended.failure == image.failure
    await images.update(ended, expected=ImageStatus.GENERATING)
    assert await images.get(generating.guid) == ended


async def test_an_export_and_an_import_keep_it(archive: Archive, image: Image) -> None:
    images, contents, upload_contents = InMemoryImageRepository(), InMemoryContentStore(), InMemoryContentStore()
    for sha256 in uploads_in(image.request.pictures):
        await images.hold(sha256, seconds=60)
        await upload_contents.put(upload_key_of(sha256), chunks_of(PICTURE))
    await contents.put(image.content_key, chunks_of(PICTURE))
    await images.add(image)
    await exporter(images, contents, upload_contents)(archive.writer())
    others = InMemoryImageRepository()
    assert await importer(others, InMemoryContentStore())(archive.reader()) == {ImportOutcome.IMPORTED: 1}
    found = await others.get(image.guid)
    assert found == msgspec.structs.replace(image, id=found.id)
    assert repr(found.request) == repr(image.request)


def test_the_author_sees_it(image: Image) -> None:
    detail = msgspec.to_builtins(PrivateImageDetail.from_image(image))
    references = detail.pop("references")
    shown = detail["request"] | {"prompt": detail["prompt"], "references": references, "mask": detail["mask"]}
    assert list(shown) == [*detail["request"], "prompt", "references", "mask"]
    assert detail["sender"] == (image.sender and msgspec.structs.asdict(image.sender))
    assert shown.keys() == set(GenerationRequest.__struct_fields__)
    for name, value in image.request.options.items():
        if name not in {"references", "mask"}:
            assert shown[name] == value
    assert [reference["guid"] for reference in references] == [
        reference.guid and str(reference.guid) for reference in image.request.references
    ]
    for name, value in msgspec.to_builtins(image.result or {}).items():
        assert detail["result"][name] == value
