"""The image: the record of a request, its life cycle, and who may see it."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NewType, Self
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from pixyproxy.domain.batch import BatchPlace
from pixyproxy.domain.content import (
    ContentInfo,
    ContentKey,
    content_key_of,
    ensure_filename,
    filename_for,
    with_extension,
)
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    DataValidationError,
    GenerationError,
    OperationNotAllowedError,
    RecordNotFoundError,
)
from pixyproxy.domain.failure import Failure
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.generation_result import GenerationResult
from pixyproxy.domain.json_values import is_deeper
from pixyproxy.domain.sender import Sender
from pixyproxy.domain.tag import Tag, ensure_tags, parse_new_tags
from pixyproxy.domain.user import Principal, UserName, ensure_user_name

USAGE_MAX_SIZE = 16_384

USAGE_MAX_DEPTH = 100

# The bytes of an unknown image may turn up within this time: its process may only have been slow.
LATE = timedelta(days=1)

ImageId = NewType("ImageId", int)


class Visibility(StrEnum):
    """Who may read an image: anyone, or its author alone."""

    PUBLIC = "public"
    PRIVATE = "private"


class ImageScope(StrEnum):
    """The images that a request can reach: public ones, or the principal's own."""

    PUBLIC = "public"
    OWN = "own"


class ImageStatus(StrEnum):
    """The life cycle of an image; only its author sees it before it is `ready`.

    `may_become` is the only place with the transitions. ::

           ┌─────────────┐
           ▼             │
        pending ─────► generating ─────► ready
           │             │    │           ▲ ▲
           │             │    └► unknown ─┘ │
           │             ▼          │       │
           └────────► failed ◄──────┘       │
                         │                  │
                         └──────────────────┘

    - `pending`: recorded; nothing is bought. It waits in the queue until a process claims it: see `ImageQueue`.
    - `generating`: recorded before the generator is called; from here on the image may cost money. Once the content
      store has its bytes, the image can't be lost: any process that finds them makes it `ready`. It becomes `pending`
      again if its process died and the generator may repeat it at no cost.
    - `ready`: the bytes are stored and the record describes them.
    - `failed`: no image; `failure` says why, and whether the attempt may have been billed. It becomes `ready` only if
      quarantined bytes turn out to be a picture.
    - `unknown`: the process died, the time was over or the connection broke during the call: the image may have been
      drawn and billed. It becomes `ready` if its bytes turn up, and `failed` if its process was only slow and gets
      none.

    From its claim on, the process that makes an image holds a lease on it and renews it. When the renewals stop, the
    image is abandoned, and any process may recover it: see `LeaseWatch` and `RecoverImages`.
    """

    PENDING = "pending"
    GENERATING = "generating"
    READY = "ready"
    FAILED = "failed"
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        """Whether no process is making the image any more."""
        return self not in _RUNNING

    def may_become(self, other: "ImageStatus") -> bool:
        """Whether an image in this state may enter the state `other` next."""
        return other in _TRANSITIONS[self]


_RUNNING: Final = frozenset({ImageStatus.PENDING, ImageStatus.GENERATING})

_TRANSITIONS: Final = {
    ImageStatus.PENDING: frozenset({ImageStatus.GENERATING, ImageStatus.FAILED}),
    ImageStatus.GENERATING: frozenset(
        {ImageStatus.PENDING, ImageStatus.READY, ImageStatus.FAILED, ImageStatus.UNKNOWN}
    ),
    ImageStatus.UNKNOWN: frozenset({ImageStatus.READY, ImageStatus.FAILED}),
    ImageStatus.READY: frozenset[ImageStatus](),
    ImageStatus.FAILED: frozenset({ImageStatus.READY}),
}


class ImageChanges(msgspec.Struct, frozen=True, kw_only=True):
    """Changes by an image's author; `UNSET` fields stay, and a `filename` of None is the automatic one.

    A file name gets the extension of the content's media type.
    """

    tags: Sequence[str] | UnsetType = UNSET
    visibility: Visibility | UnsetType = UNSET
    filename: str | UnsetType | None = UNSET


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """The record of one generated image.

    `id` is the database's own, None until the image is stored, and never shown; `guid` is the public id. A ready image
    has `content`, a failed or unknown one `failure`. `model` is the one that was asked to draw it. `usage` is the
    generator's account of its costs, `result` of what it has drawn, and `generator_request_id` its name for the
    attempt. `batch` is the place among the images of one request, if it was for several, and `sender` what the client
    said about itself and its user, which only the author sees. `version` is 1 for a new record and grows with each
    change. The times are in UTC to the microsecond.

    The constructor checks nothing, because a list builds hundreds. Methods return valid images only; call
    `ensure_valid` for an image built from foreign data.
    """

    guid: UUID
    filename: str
    request: GenerationRequest
    tags: tuple[Tag, ...] = ()
    author: UserName | None
    visibility: Visibility
    status: ImageStatus
    model: str
    created_at: datetime
    updated_at: datetime
    content: ContentInfo | None = None
    usage: Mapping[str, Any] | None = None
    failure: Failure | None = None
    generator_request_id: str | None = None
    result: GenerationResult | None = None
    batch: BatchPlace | None = None
    sender: Sender | None = None
    version: int = 1
    id: ImageId | None = None

    def ensure_valid(self) -> Self:
        """Return the image; raise `DataValidationError` for a field that breaks a rule.

        New images have stricter rules, so that everything stored can be read.
        """
        self.request.ensure_valid()
        ensure_tags(self.tags)
        ensure_filename(self.filename)
        if self.content is not None:
            self.content.ensure_valid()
        if self.batch is not None:
            self.batch.ensure_valid()
        if self.sender is not None:
            self.sender.ensure_valid()
        if self.author is not None:
            ensure_user_name("author", self.author)
        if (self.status is ImageStatus.READY) != (self.content is not None):
            raise DataValidationError("content", "must be there if the image is ready, and only then")
        if (self.status in {ImageStatus.FAILED, ImageStatus.UNKNOWN}) != (self.failure is not None):
            raise DataValidationError("failure", "must be there if the image has failed or is unknown, and only then")
        for field in ("created_at", "updated_at"):
            if getattr(self, field).utcoffset() != timedelta(0):
                raise DataValidationError(field, "must be in UTC")
        return self

    @classmethod
    def requested(
        cls,
        *,
        guid: UUID,
        request: GenerationRequest,
        tags: Sequence[str],
        visibility: Visibility,
        principal: Principal,
        model: str,
        at: datetime,
        batch: BatchPlace | None = None,
        sender: Sender | None = None,
    ) -> Self:
        """Return the pending image that `principal` requests at the time `at`; raise `DataValidationError`."""
        request = request.normalized()
        _ensure_author_of_private(principal.name, visibility)
        return cls(
            guid=guid,
            filename=filename_for(request.prompt, guid),
            request=request,
            tags=parse_new_tags(tags),
            author=principal.name,
            visibility=visibility,
            status=ImageStatus.PENDING,
            model=model,
            batch=batch,
            sender=sender,
            created_at=at,
            updated_at=at,
        ).ensure_valid()

    def started(self, *, at: datetime) -> Self:
        """Return the image as generating from the time `at` on."""
        return self._become(ImageStatus.GENERATING, at)

    def requeued(self, *, at: datetime) -> Self:
        """Return the generating image as pending again: drawing it again costs nothing."""
        return self._become(ImageStatus.PENDING, at)

    def completed(
        self,
        content: ContentInfo,
        usage: Mapping[str, Any] | None = None,
        generator_request_id: str | None = None,
        result: GenerationResult | None = None,
        *,
        at: datetime,
    ) -> Self:
        """Return the image as ready with its stored `content`."""
        return self._become(
            ImageStatus.READY,
            at,
            filename=filename_for(self.prompt, self.guid, content.media_type),
            content=content,
            usage=kept_usage(usage),
            result=result,
            failure=None,
            generator_request_id=_kept_request_id(generator_request_id) or self.generator_request_id,
        )

    def failed(self, error: GenerationError, *, at: datetime) -> Self:
        """Return the image as failed, or as unknown if the generator may still be at work on it."""
        return self._become(
            ImageStatus.FAILED if error.is_outcome_known else ImageStatus.UNKNOWN,
            at,
            failure=Failure.of(error),
            generator_request_id=_kept_request_id(error.request_id) or self.generator_request_id,
        )

    def _become(self, status: ImageStatus, at: datetime, **changes: Any) -> Self:
        if not self.status.may_become(status):
            raise ConstraintViolationError(f"An image that is {self.status} can't become {status}.")
        changed = msgspec.structs.replace(self, status=status, updated_at=at, version=self.version + 1, **changes)
        return changed.ensure_valid()

    def changed(self, changes: ImageChanges, *, at: datetime) -> Self:
        """Return the image with `changes`, or itself if they change nothing.

        Raises `DataValidationError`, and `ConstraintViolationError` for an image that is still being made, and for a
        file name without content.
        """
        if not self.status.is_final:
            raise ConstraintViolationError("An image that is still being made can't be changed.")
        changed = self
        if changes.tags is not UNSET:
            changed = msgspec.structs.replace(changed, tags=parse_new_tags(changes.tags, stored=self.tags))
        if changes.visibility is not UNSET:
            _ensure_author_of_private(self.author, changes.visibility)
            changed = msgspec.structs.replace(changed, visibility=changes.visibility)
        if changes.filename is not UNSET:
            if self.content is None:
                raise ConstraintViolationError("An image without content has no file to be named.")
            automatic = filename_for(self.prompt, self.guid, self.content.media_type)
            filename = automatic if changes.filename is None else changes.filename
            if filename != self.filename:
                ensure_filename(filename)
                filename = with_extension(filename, self.content.media_type.extension)
                changed = msgspec.structs.replace(changed, filename=filename)
        if changed == self:
            return self
        return msgspec.structs.replace(changed, updated_at=at, version=self.version + 1).ensure_valid()

    def with_state_of(self, other: Self) -> Self:
        """Return this stored image as `ImageRepository.update` stores it."""
        return msgspec.structs.replace(
            self,
            status=other.status,
            filename=other.filename,
            content=other.content,
            usage=other.usage,
            failure=other.failure,
            generator_request_id=other.generator_request_id,
            result=other.result,
            updated_at=other.updated_at,
            version=self.version + 1,
        )

    def with_changes_of(self, other: Self) -> Self:
        """Return this stored image as `ImageRepository.change` stores it."""
        return msgspec.structs.replace(
            self,
            tags=other.tags,
            filename=other.filename,
            visibility=other.visibility,
            updated_at=other.updated_at,
            version=other.version,
        )

    @property
    def prompt(self) -> str:
        """The prompt of the request."""
        return self.request.prompt

    def is_derived_from(self, guid: UUID) -> bool:
        """Whether the image with this guid is one of the references or the mask."""
        return any(reference.guid == guid for reference in self.request.pictures)

    @property
    def content_key(self) -> ContentKey:
        """The key of the content in the content store, derived from the guid."""
        return content_key_of(self.guid)

    @property
    def ready_content(self) -> ContentInfo:
        """The content of a ready image; raises `RecordNotFoundError` for any other."""
        if self.content is None:
            raise image_not_found(self.guid)
        return self.content

    @property
    def generation_error(self) -> GenerationError | None:
        """The error that explains why there is no content, or None if there is content or may be."""
        if self.failure is None:
            return None
        error = self.failure.to_error()
        error.guid = self.guid
        return error

    def ensure_visible_to(self, principal: Principal, scope: ImageScope) -> None:
        """Raise the `RecordNotFoundError` of an unknown image if the principal may not know of this one."""
        if not self.is_visible_to(principal, scope):
            raise image_not_found(self.guid)

    def is_visible_to(self, principal: Principal, scope: ImageScope) -> bool:
        """Whether the principal may know of the image.

        An image that is not ready is known to its author; one without an author, to anyone with its guid.
        """
        if self.status is ImageStatus.READY:
            return self.is_readable_by(principal, scope)
        if scope is ImageScope.OWN:
            return principal.may_manage(self.author)
        return self.visibility is Visibility.PUBLIC and self.author in {None, principal.name}

    def is_readable_by(self, principal: Principal, scope: ImageScope) -> bool:
        """Whether the image is ready and in `scope` for `principal`.

        An administrator's own scope has all images. The author's link opens the image as it does for the author.
        """
        if self.status is not ImageStatus.READY:
            return False
        if scope is ImageScope.OWN:
            return principal.may_manage(self.author) or (self.author is not None and principal.linked == self.guid)
        return self.visibility is Visibility.PUBLIC

    def ensure_readable_by(self, principal: Principal, scope: ImageScope) -> None:
        """Raise the `RecordNotFoundError` of an unknown image if this one is not readable."""
        if not self.is_readable_by(principal, scope):
            raise image_not_found(self.guid)

    def ensure_changeable_by(self, principal: Principal) -> None:
        """Raise an error unless the principal is the author or an administrator.

        That is the `RecordNotFoundError` of an unknown image, or `OperationNotAllowedError` if the image is public.
        """
        if not principal.may_manage(self.author):
            self.ensure_readable_by(principal, ImageScope.PUBLIC)
            raise OperationNotAllowedError("Only the author of an image may change or delete it.")


def _ensure_author_of_private(author: UserName | None, visibility: Visibility) -> None:
    # Operators may hide such an image by SQL: then no one sees it.
    if visibility is Visibility.PRIVATE and author is None:
        raise DataValidationError("visibility", "must be public for an image without an author")


def _kept_request_id(text: str | None) -> str | None:
    # A malformed id is no reason to lose a paid image.
    return text if isinstance(text, str) and re.fullmatch(r"[ -~]{1,255}", text) else None


def kept_usage(usage: object) -> Mapping[str, Any] | None:
    """Return a generator's account as plain JSON values, or None if that is impossible.

    A malformed account is no reason to lose a paid image, so one above 16 KiB or nested too deeply is dropped.
    """
    try:
        encoded = json.dumps(usage, allow_nan=False)
        kept = msgspec.json.decode(encoded) if len(encoded) <= USAGE_MAX_SIZE else None
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError):
        return None
    return kept if isinstance(kept, dict) and not is_deeper(kept, USAGE_MAX_DEPTH) else None


def image_not_found(guid: UUID) -> RecordNotFoundError:
    """Make the one error for an unknown image and for one that the principal may not know of."""
    return RecordNotFoundError(f"There is no image {guid}.")


def image_conflict() -> ConstraintViolationError:
    """Make the error for an image that is not in the state or version that a change expects."""
    return ConstraintViolationError("The image has been changed by another request.")
