"""The archive format: file names, and image records as JSON; see `docs/export.md`.

Uses the standard library's JSON, which keeps a generator's `usage` unchanged: numbers of any size and lone surrogates.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from pixyproxy.domain.batch import BatchPlace
from pixyproxy.domain.content import ContentInfo, MediaType
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.failure import FAILURE_MAX_LENGTH, FIELD_PATTERN, Failure
from pixyproxy.domain.generation_request import MODEL_MAX_LENGTH, GenerationRequest
from pixyproxy.domain.generation_result import GenerationResult
from pixyproxy.domain.image import USAGE_MAX_DEPTH, Image, ImageStatus, Visibility
from pixyproxy.domain.json_values import is_deeper
from pixyproxy.domain.sender import Sender
from pixyproxy.domain.tag import Tag, ensure_tags, normalized_tags
from pixyproxy.domain.user import normalized_user_name

FORMAT: Final = 2
FIRST_FORMAT: Final = 1
RECORD_SUFFIX: Final = ".json"
PART_SUFFIX: Final = ".part"
REFERENCES: Final = "references"
RECORD_MAX_SIZE: Final = 4 << 20

_MEDIA_TYPES: Final = {media_type.extension: media_type for media_type in MediaType}
_SUFFIXES: Final = frozenset({RECORD_SUFFIX, *_MEDIA_TYPES})
_DETAIL_MAX_LENGTH: Final = 300

_Version = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class ArchiveName(msgspec.Struct, frozen=True):
    """The name of a file in an archive: the image's guid and a suffix such as `.json`."""

    guid: UUID
    suffix: str

    def __str__(self) -> str:
        return f"{self.folder}/{self.filename}"

    @property
    def filename(self) -> str:
        """The last part of the name."""
        return f"{self.guid}{self.suffix}"

    @property
    def folder(self) -> str:
        """The first part of the name."""
        return str(self.guid)[:2]

    @property
    def is_record(self) -> bool:
        """Whether the file is the record, and not the content."""
        return self.suffix == RECORD_SUFFIX

    @classmethod
    def of_record(cls, guid: UUID) -> "ArchiveName":
        """Return the name of an image's record."""
        return cls(guid, RECORD_SUFFIX)

    @classmethod
    def of_content(cls, guid: UUID, content: ContentInfo) -> "ArchiveName":
        """Return the name of an image's content."""
        return cls(guid, content.media_type.extension)


class ReferenceName(msgspec.Struct, frozen=True):
    """The name of an uploaded reference or mask in an archive."""

    sha256: str
    media_type: MediaType

    def __str__(self) -> str:
        return f"{REFERENCES}/{self.filename}"

    @property
    def filename(self) -> str:
        """The last part of the name."""
        return f"{self.sha256}{self.media_type.extension}"

    @classmethod
    def of(cls, content: ContentInfo) -> "ReferenceName":
        """Return the name of a reference with this content."""
        return cls(content.sha256, content.media_type)


def parse_reference_name(text: str) -> ReferenceName | None:
    """Return the parsed name, or None if `text` is no name of a reference."""
    found = re.fullmatch(rf"{REFERENCES}/([0-9a-f]{{64}})(\.[a-z]{{3,4}})", text)
    media_type = _MEDIA_TYPES.get(found[2]) if found else None
    return ReferenceName(found[1], media_type) if found and media_type else None


def is_folder_name(text: str) -> bool:
    """Whether a folder of this name may hold images."""
    return re.fullmatch("[0-9a-f]{2}", text) is not None


def parse_name(text: str) -> ArchiveName | None:
    """Return the parsed name, or None if `text` is not its canonical form."""
    found = re.fullmatch(r"[0-9a-f]{2}/([0-9a-f-]{36})(\.[a-z]{3,4})", text)
    if not found or found[2] not in _SUFFIXES:
        return None
    try:
        name = ArchiveName(UUID(found[1]), found[2])
    except ValueError:
        return None
    # A guid has several spellings; only one is a valid name.
    return name if str(name) == text else None


class _Failure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    kind: str
    detail: Annotated[str, Meta(max_length=FAILURE_MAX_LENGTH)]
    maybe_billed: bool
    field: Annotated[str, Meta(pattern=rf"^{FIELD_PATTERN}\Z")] | None = None


class _ImageRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An image as JSON; fields that the HTTP API's `ImageDetail` has too share its names."""

    format: int = FORMAT
    guid: UUID
    filename: str
    status: ImageStatus
    prompt: str
    request: dict[str, Any]
    batch: UUID | None
    batch_position: int | None
    batch_size: int | None
    tags: tuple[str, ...]
    author: str | None
    visibility: Visibility
    created_at: datetime
    updated_at: datetime
    media_type: MediaType | None
    byte_size: int | None
    sha256: str | None
    width: int | None
    height: int | None
    model: Annotated[str, Meta(max_length=MODEL_MAX_LENGTH)]
    failure: _Failure | None
    generator_request_id: Annotated[str, Meta(pattern="^[ -~]{1,255}$")] | None
    version: _Version
    usage: dict[str, Any] | None
    result: dict[str, Any] | None
    # Records of earlier versions lack it.
    sender: dict[str, Any] | UnsetType = UNSET


# The fields that a record of the first format lacks.
_LATER: Final[Mapping[str, Any]] = {
    "request": {},
    "batch": None,
    "batch_position": None,
    "batch_size": None,
    "result": None,
}


def image_to_json(image: Image) -> bytes:
    """Return the record of an image as JSON; equal images give equal bytes."""
    content, batch = image.content, image.batch
    record = _ImageRecord(
        guid=image.guid,
        filename=image.filename,
        status=image.status,
        prompt=image.prompt,
        request=image.request.options,
        batch=batch.guid if batch else None,
        batch_position=batch.position if batch else None,
        batch_size=batch.size if batch else None,
        tags=image.tags,
        author=image.author,
        visibility=image.visibility,
        created_at=image.created_at,
        updated_at=image.updated_at,
        media_type=content.media_type if content else None,
        byte_size=content.byte_size if content else None,
        sha256=content.sha256 if content else None,
        width=content.width if content else None,
        height=content.height if content else None,
        model=image.model,
        failure=_failure_record(image.failure) if image.failure else None,
        generator_request_id=image.generator_request_id,
        version=image.version,
        usage=None,
        result=None if image.result is None else msgspec.to_builtins(image.result),
        sender=UNSET if image.sender is None else msgspec.to_builtins(image.sender),
    )
    text = json.dumps({**msgspec.to_builtins(record), "usage": image.usage}, ensure_ascii=False, indent=2)
    # Only lone surrogates have no encoding; this is their JSON escape.
    return f"{text}\n".encode("utf-8", "backslashreplace")


def image_from_json(data: bytes) -> Image:
    """Return the image that `image_to_json` encoded.

    Raises `DataValidationError` for all other bytes, later formats included.
    """
    try:
        return _image_from_json(data)
    except DataValidationError:
        raise
    except (ValueError, RecursionError, msgspec.ValidationError) as exc:
        raise DataValidationError("The record", f"can't be read: {str(exc)[:_DETAIL_MAX_LENGTH]}") from exc


def image_from_record(name: ArchiveName, data: bytes) -> Image:
    """Return the image of the record `name`; raise `DataValidationError` if it is malformed or another image's."""
    if len(data) > RECORD_MAX_SIZE:
        raise DataValidationError("The record", f"must have at most {RECORD_MAX_SIZE >> 20} MiB")
    image = image_from_json(data)
    if image.guid != name.guid:
        raise DataValidationError("guid", "must be the one of the record's name")
    return image


def _image_from_json(data: bytes) -> Image:
    values = json.loads(data.decode())
    if not isinstance(values, dict) or values.get("format") not in (FIRST_FORMAT, FORMAT):
        raise DataValidationError(
            "format", f"must be {FIRST_FORMAT} or {FORMAT}; another version of PixyProxy may know it"
        )
    if values["format"] == FIRST_FORMAT:
        if not _LATER.keys().isdisjoint(values):
            raise DataValidationError("The record", f"must not have the fields of format {FORMAT}")
        values |= _LATER
    record = msgspec.convert(values, _ImageRecord)
    if is_deeper(record.usage, USAGE_MAX_DEPTH):
        raise DataValidationError("usage", f"must not be nested more than {USAGE_MAX_DEPTH} times")
    ensure_tags(record.tags)
    # The domain doesn't check all of a record's text, and databases reject text that has no encoding.
    record.model.encode()
    return Image(
        guid=record.guid,
        filename=record.filename,
        request=_request_of(record),
        tags=normalized_tags([Tag(tag) for tag in record.tags]),
        author=record.author if record.author is None else normalized_user_name(record.author),
        visibility=record.visibility,
        status=record.status,
        model=record.model,
        created_at=record.created_at,
        updated_at=record.updated_at,
        content=_content_of(record),
        usage=record.usage,
        failure=_failure_of(record.failure) if record.failure else None,
        generator_request_id=record.generator_request_id,
        version=record.version,
        result=_result_of(record),
        batch=_batch_of(record),
        sender=_sender_of(record),
    ).ensure_valid()


def _request_of(record: _ImageRecord) -> GenerationRequest:
    request = msgspec.convert({**record.request, "prompt": record.prompt}, GenerationRequest)
    # msgspec takes fields that it does not know, and defaults.
    if json.dumps(request.options, sort_keys=True) != json.dumps(record.request, sort_keys=True):
        raise DataValidationError("request", "must have options that this version knows, and none at its default")
    return request


def _result_of(record: _ImageRecord) -> GenerationResult | None:
    if record.result is None:
        return None
    result = GenerationResult.of(record.result)
    if msgspec.to_builtins(result) != record.result:
        raise DataValidationError("result", "must have texts that this version knows")
    return result


def _sender_of(record: _ImageRecord) -> Sender | None:
    if record.sender is UNSET:
        return None
    sender = Sender.of(**record.sender)
    if msgspec.to_builtins(sender) != record.sender:
        raise DataValidationError("sender", "must have texts that this version knows")
    return sender


def _batch_of(record: _ImageRecord) -> BatchPlace | None:
    values = {"guid": record.batch, "position": record.batch_position, "size": record.batch_size}
    return msgspec.convert(values, BatchPlace) if any(value is not None for value in values.values()) else None


def _content_of(record: _ImageRecord) -> ContentInfo | None:
    values = {field: getattr(record, field) for field in ContentInfo.__struct_fields__}
    if all(value is None for value in values.values()):
        return None
    return msgspec.convert(values, ContentInfo)


def _failure_record(failure: Failure) -> _Failure:
    return _Failure(kind=failure.kind, detail=failure.detail, maybe_billed=failure.maybe_billed, field=failure.field)


def _failure_of(record: _Failure) -> Failure:
    record.detail.encode()
    failure = Failure(kind=record.kind, detail=record.detail, maybe_billed=record.maybe_billed, field=record.field)
    if type(failure.to_error()).__name__ != failure.kind:
        raise DataValidationError("failure.kind", "must be one that this version knows")
    return failure
