"""Shared parts of the tests of references and uploads."""

from uuid import UUID

from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.reference import Reference, Upload
from tests.factories import ContentInfoFactory


def upload_of(sha256: str, filename: str = "a.png") -> Upload:
    """Return an upload of some picture whose bytes have this SHA-256."""
    return Upload(filename=filename, content=ContentInfoFactory.build(sha256=sha256))


def request_for(*uploads: str, mask: str | None = None, guid: UUID | None = None) -> GenerationRequest:
    """Return a request with uploads of these SHA-256s as references, then the image `guid`, and a mask."""
    references = [Reference.to_upload(upload_of(upload)) for upload in uploads]
    if guid is not None:
        references.append(Reference.to_image(guid))
    return GenerationRequest(
        prompt="a red fox",
        references=tuple(references),
        mask=None if mask is None else Reference.to_upload(upload_of(mask)),
    )
