"""Samples of all fields of a request, and of what came back: other than the defaults."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import msgspec

from pixyproxy.domain.batch import BatchPlace
from pixyproxy.domain.content import ContentInfo, MediaType
from pixyproxy.domain.errors import GenerationRefusedError
from pixyproxy.domain.failure import Failure
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.generation_result import GenerationResult
from pixyproxy.domain.reference import Reference, Upload
from pixyproxy.domain.sender import Sender
from tests import odd_pictures

GUID = UUID("3f2a1c1e-5d0e-4a39-9f43-5c8d3f6f2b11")
PICTURE: Final = odd_pictures.encoded(odd_pictures.gradient(64, 48), "WEBP")
CONTENT: Final[Mapping[str, Any]] = {
    "media_type": MediaType.WEBP,
    "byte_size": len(PICTURE),
    "sha256": hashlib.sha256(PICTURE).hexdigest(),
    "width": 64,
    "height": 48,
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
BATCH: Final[Mapping[str, Any]] = {"guid": GUID, "position": 1, "size": 3}
SENDER: Final[Mapping[str, Any]] = {
    "client": "OpenAI/Python 3.57.0",
    "key": 'it\'s a "key" 😀',
    "user": "ann@example.org\n\u2028\\",
    "safety_identifier": "a-hash",
    "request_id": "req-7",
    "model": "dall-e-3",
}
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
    Sender: SENDER,
    Failure: FAILURE,
    Reference: REFERENCE,
    Upload: UPLOAD,
    ContentInfo: CONTENT,
}
