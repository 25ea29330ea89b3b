"""Every field of a request and of what came back is kept, by each database and each archive.

A new field needs a sample here, and then goes everywhere or fails a test.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
import pytest

from pixyproxy.domain.batch import BatchPlace
from pixyproxy.domain.content import ContentInfo, MediaType
from pixyproxy.domain.errors import GenerationRefusedError
from pixyproxy.domain.failure import Failure
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.generation_result import GenerationResult
from pixyproxy.domain.idempotency import Claim, IdempotencyKey
from pixyproxy.domain.image import Image, ImageStatus
from pixyproxy.domain.listing import ImageFilter
from pixyproxy.domain.ports import ArchivedImage, ImagePorts, chunks_of
from pixyproxy.domain.reference import Reference, Upload, uploads_in
from pixyproxy.domain.user import UserName
from pixyproxy.entrypoints.http.images.schemas import PrivateImageDetail
from tests.archive_kinds import ARCHIVES, Archive
from tests.factories import ContentInfoFactory, GeneratingImageFactory, ImageFactory
from tests.images import NOON

GUID = UUID("3f2a1c1e-5d0e-4a39-9f43-5c8d3f6f2b11")
CONTENT: Final[Mapping[str, Any]] = {
    "media_type": MediaType.WEBP,
    "byte_size": 7,
    "sha256": "0123456789abcdef" * 4,
    "width": 640,
    "height": 480,
}
UPLOAD: Final[Mapping[str, Any]] = {"filename": "löwe.webp", "content": ContentInfo(**CONTENT)}
REFERENCE: Final[Mapping[str, Any]] = {"guid": GUID, "upload": Upload(**UPLOAD)}
REQUEST: Final[Mapping[str, Any]] = {
    "prompt": "a lion",
    "model": "gpt-image-2.5-flare",
    "size": "1536x1024",
    "quality": "high",
    "background": "transparent",
    "output_format": "webp",
    "output_compression": 0,
    "moderation": "low",
    "references": tuple(Reference(**{name: value}) for name, value in REFERENCE.items()),
    "mask": Reference.to_upload(Upload(**UPLOAD)),
    "input_fidelity": "high",
    "partial_images": 3,
    "extra": {"z": 1, "a": {"y": [1, 2.5, -0.0, 1e300, 10**40], "b": None, "c": True}, "😀": 'it\'s 100% "quoted" \\'},
}
RESULT: Final[Mapping[str, Any]] = {
    "model": "gpt-image-2-2026-11-01",
    "size": "1024x1024",
    "quality": "medium",
    "background": "opaque",
    "output_format": "png",
    "revised_prompt": 'A "lion", it\'s 100%\n\u2028 😀\x01 \\',
}
BATCH: Final[Mapping[str, Any]] = {"guid": GUID, "position": 2, "size": 3}
FAILURE: Final[Mapping[str, Any]] = {
    "kind": GenerationRefusedError.__name__,
    "detail": 'it\'s 100% "refused" 😀',
    "maybe_billed": True,
    "field": "references[1]",
}
SAMPLES: Final[Mapping[type[msgspec.Struct], Mapping[str, Any]]] = {
    GenerationRequest: REQUEST,
    GenerationResult: RESULT,
    BatchPlace: BATCH,
    Failure: FAILURE,
    Reference: REFERENCE,
    Upload: UPLOAD,
    ContentInfo: CONTENT,
}

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
    yield pytest.param({"batch": BatchPlace(**BATCH)}, id="batch")
    yield pytest.param({"failure": Failure(**FAILURE), "status": ImageStatus.FAILED, "content": None}, id="failure")
    yield pytest.param({"request": PLAIN, "result": None, "batch": None}, id="none")


@pytest.fixture(params=images())
def image(request: pytest.FixtureRequest) -> Image:
    content = ContentInfoFactory.build(byte_size=7)
    fields = {"content": content, "request": PLAIN, "result": None, "batch": None, **request.param}
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
    image = ImageFactory.build(request=request, tags=(), author=ANN, batch=None)
    return Claim.on(image, IdempotencyKey("key")).fingerprint


def test_requests_that_differ_in_a_field_have_different_fingerprints() -> None:
    made = {"none": fingerprint(PLAIN), **{name: fingerprint(request) for name, request in requests()}}
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
    generating = await images.add(GeneratingImageFactory.build(request=image.request, batch=image.batch))
    assert await images.get(generating.guid) == generating
    if image.content is not None:
        ended = generating.completed(image.content, result=image.result, at=NOON)
    else:
        assert image.failure is not None
        ended = generating.failed(image.failure.to_error(), at=NOON)
        assert ended.failure == image.failure
    await images.update(ended, expected=ImageStatus.GENERATING)
    assert await images.get(generating.guid) == ended


async def test_an_archive_keeps_it(archive: Archive, image: Image) -> None:
    writer = archive.writer()
    await writer.prepare()
    await writer.put(image, chunks_of(b"7 bytes") if image.content else None)
    await writer.finish()
    found = [one async for one in archive.reader().images()]
    (read,) = [one.image for one in found if isinstance(one, ArchivedImage)]
    assert read == image
    assert repr(read.request) == repr(image.request)


def test_the_author_sees_it(image: Image) -> None:
    detail = msgspec.to_builtins(PrivateImageDetail.from_image(image))
    references = detail.pop("references")
    shown = detail["request"] | {"prompt": detail["prompt"], "references": references, "mask": detail["mask"]}
    assert list(shown) == [*detail["request"], "prompt", "references", "mask"]
    assert shown.keys() == set(GenerationRequest.__struct_fields__)
    for name, value in image.request.options.items():
        if name not in {"references", "mask"}:
            assert shown[name] == value
    assert [reference["guid"] for reference in references] == [
        reference.guid and str(reference.guid) for reference in image.request.references
    ]
    for name, value in msgspec.to_builtins(image.result or {}).items():
        assert detail["result"][name] == value
