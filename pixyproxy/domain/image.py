"""The image: the record of a prompt, the content that was generated from it, and who may see it."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NewType, Self
from uuid import UUID

import msgspec
from slugify import slugify

from pixyproxy.domain.errors import DataValidationError, RecordNotFoundError
from pixyproxy.domain.text import ensure_encodable, ensure_label, ensure_length
from pixyproxy.domain.user import Principal, UserName, parse_user_name

PROMPT_MAX_LENGTH = 32_000
TAG_MAX_LENGTH = 64
TAGS_MAX_COUNT = 32
FAILURE_MAX_LENGTH = 1_000
SLUG_MAX_LENGTH = 80

CURSOR_PATTERN = "^[0-9a-f]{46}$"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

ImageId = NewType("ImageId", int)
Prompt = NewType("Prompt", str)
Tag = NewType("Tag", str)
ContentKey = NewType("ContentKey", str)


class Visibility(StrEnum):
    """Who may read an image: anyone, or its author alone."""

    PUBLIC = "public"
    PRIVATE = "private"


class ImageScope(StrEnum):
    """Which images a request is about: the public ones, or all that the principal authored."""

    PUBLIC = "public"
    OWN = "own"


class ImageStatus(StrEnum):
    """How far an image has come; only a `ready` one is ever shown.

    ::

        pending ──► ready
           └──────► failed
    """

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


class MediaType(StrEnum):
    """The media types that content may have: bitmaps only, because an SVG served inline runs scripts."""

    PNG = "image/png"
    JPEG = "image/jpeg"
    WEBP = "image/webp"
    GIF = "image/gif"

    @property
    def extension(self) -> str:
        """The customary file name extension, with its dot."""
        return ".jpg" if self is MediaType.JPEG else f".{self.name.lower()}"


def parse_prompt(text: str) -> Prompt:
    """Return `text` without the white space around it.

    Raises `DataValidationError` unless 1 to 32,000 characters are left (the OpenAI reference's limit), without NUL and
    lone surrogates.
    """
    prompt = text.strip()
    ensure_encodable("prompt", prompt)
    ensure_length("prompt", prompt, 1, PROMPT_MAX_LENGTH)
    return Prompt(prompt)


def parse_tags(texts: Sequence[str]) -> tuple[Tag, ...]:
    """Return `texts` as tags in the order given.

    Raises `DataValidationError` for more than 32 tags, for two that are equal, and for one that is not a single line
    of 1 to 64 characters.
    """
    if len(texts) > TAGS_MAX_COUNT:
        raise DataValidationError("tags", f"must be at most {TAGS_MAX_COUNT}, not {len(texts)}")
    for position, text in enumerate(texts):
        ensure_label(f"tags[{position}]", text, TAG_MAX_LENGTH)
    if len(set(texts)) != len(texts):
        raise DataValidationError("tags", "must not contain duplicates")
    return tuple(Tag(text) for text in texts)


def filename_for(prompt: str, guid: UUID, media_type: MediaType | None = None) -> str:
    """Make a readable ASCII file name, well below 255 bytes, that is unique and safe whatever the prompt is."""
    words = slugify(
        prompt[: 4 * SLUG_MAX_LENGTH],
        max_length=SLUG_MAX_LENGTH,
        word_boundary=True,
        save_order=True,
        entities=False,
        decimal=False,
        hexadecimal=False,
    )
    return f"{words or 'image'}-{guid}{media_type.extension if media_type else ''}"


class ContentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an image's content: its media type, size in bytes, SHA-256 in hex, and size in pixels."""

    media_type: MediaType
    byte_size: int
    sha256: str
    width: int
    height: int

    def __post_init__(self) -> None:
        if min(self.byte_size, self.width, self.height) < 1:
            raise DataValidationError("content", "must not be empty")
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise DataValidationError("sha256", "must be 64 hexadecimal digits in lower case")


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """The record of one generated image.

    `id` is the database's own, None until the image is stored, and never shown; `guid` is the public id. `content` is
    there once the image is ready, `failure` once it has failed. `usage` is the generator's own account of what it
    spent. The times are in UTC to the microsecond. Raises `DataValidationError` for a field that breaks a rule.
    """

    guid: UUID
    filename: str
    prompt: Prompt
    tags: tuple[Tag, ...] = ()
    author: UserName | None
    visibility: Visibility
    status: ImageStatus
    model: str
    created_at: datetime
    updated_at: datetime
    content: ContentInfo | None = None
    usage: Mapping[str, Any] | None = None
    failure: str | None = None
    id: ImageId | None = None

    def __post_init__(self) -> None:
        if parse_prompt(self.prompt) != self.prompt:
            raise DataValidationError("prompt", "must not begin or end with white space")
        parse_tags(self.tags)
        if not re.fullmatch(r"[0-9A-Za-z_][0-9A-Za-z_.-]{,254}", self.filename):
            raise DataValidationError(
                "filename", "must be 1 to 255 ASCII letters, digits, `_`, `.` and `-`, and not begin with `.` or `-`"
            )
        if self.author is not None and parse_user_name(self.author) != self.author:
            raise DataValidationError("author", "must be in Unicode's NFC form")
        if self.visibility is Visibility.PRIVATE and self.author is None:
            raise DataValidationError("visibility", "must be public for an image without an author")
        if (self.status is ImageStatus.READY) != (self.content is not None):
            raise DataValidationError("content", "must be there if the image is ready, and only then")
        if (self.status is ImageStatus.FAILED) != (self.failure is not None):
            raise DataValidationError("failure", "must be there if the image has failed, and only then")
        for field in ("created_at", "updated_at"):
            if getattr(self, field).utcoffset() != timedelta(0):
                raise DataValidationError(field, "must be in UTC")

    @classmethod
    def requested(
        cls,
        *,
        guid: UUID,
        prompt: str,
        tags: Sequence[str],
        visibility: Visibility,
        principal: Principal,
        model: str,
        at: datetime,
    ) -> Self:
        """Return the pending image that `principal` asks for at the time `at`; raise `DataValidationError`."""
        parsed = parse_prompt(prompt)
        return cls(
            guid=guid,
            filename=filename_for(parsed, guid),
            prompt=parsed,
            tags=parse_tags(tags),
            author=principal.name,
            visibility=visibility,
            status=ImageStatus.PENDING,
            model=model,
            created_at=at,
            updated_at=at,
        )

    def completed(self, content: ContentInfo, usage: Mapping[str, Any] | None, *, at: datetime) -> Self:
        """Return the image as ready with its stored `content`."""
        return msgspec.structs.replace(
            self,
            status=ImageStatus.READY,
            filename=filename_for(self.prompt, self.guid, content.media_type),
            content=content,
            usage=usage,
            updated_at=at,
        )

    def failed(self, reason: str, *, at: datetime) -> Self:
        """Return the image as failed for `reason`, of which 1,000 characters are kept."""
        return msgspec.structs.replace(
            self, status=ImageStatus.FAILED, failure=reason[:FAILURE_MAX_LENGTH], updated_at=at
        )

    @property
    def content_key(self) -> ContentKey:
        """The key of the content in the content store, derived from the guid so that either leads to the other."""
        return ContentKey(str(self.guid))

    @property
    def ready_content(self) -> ContentInfo:
        """What is known of the content of an image that is ready; raises `RecordNotFoundError` for any other."""
        if self.content is None:
            raise image_not_found(self.guid)
        return self.content

    def is_readable_by(self, principal: Principal, scope: ImageScope) -> bool:
        """Whether the image is ready and lies in `scope` as `principal` sees it."""
        if self.status is not ImageStatus.READY:
            return False
        if scope is ImageScope.OWN:
            return self.author is not None and self.author == principal.name
        return self.visibility is Visibility.PUBLIC

    def ensure_readable_by(self, principal: Principal, scope: ImageScope) -> None:
        """Raise the `RecordNotFoundError` of an unknown image if this one is not readable."""
        if not self.is_readable_by(principal, scope):
            raise image_not_found(self.guid)


def image_not_found(guid: UUID) -> RecordNotFoundError:
    """Make the one error for an image that does not exist and for one that the principal must not know of."""
    return RecordNotFoundError(f"There is no image {guid}.")


class ImageCursor(msgspec.Struct, frozen=True):
    """A place in a list that runs from the newest image to the oldest: right behind the image with these values.

    As text it is 14 hexadecimal digits of microseconds since 1970 and the 32 of the guid; every such text is a cursor.
    """

    created_at: datetime
    guid: UUID

    @classmethod
    def behind(cls, image: Image) -> Self:
        """Return the place right behind `image`."""
        return cls(image.created_at, image.guid)

    def __str__(self) -> str:
        return f"{(self.created_at - _EPOCH) // _MICROSECOND:014x}{self.guid.hex}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the cursor that `str` made `text` from; raise `DataValidationError` for any other text."""
        if not re.fullmatch(CURSOR_PATTERN, text, re.ASCII):
            raise DataValidationError("cursor", "must be one that an earlier page named")
        return cls(_EPOCH + int(text[:14], 16) * _MICROSECOND, UUID(text[14:]))


class ImagePage(msgspec.Struct, frozen=True):
    """A piece of a list, newest first, and the cursor of the next piece where there is one."""

    images: Sequence[Image]
    next: ImageCursor | None
