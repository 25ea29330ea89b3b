"""Lists: filters, orders, positions and pages."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self
from uuid import UUID

import msgspec

from pixyproxy.domain.content import MediaType
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.generation_request import MODEL_MAX_LENGTH
from pixyproxy.domain.image import Image, ImageId, ImageStatus, Visibility
from pixyproxy.domain.search import Search
from pixyproxy.domain.tag import TAG_MAX_LENGTH, TAGS_MAX_COUNT, Tag
from pixyproxy.domain.text import ensure_encodable, ensure_label, ensure_length, ensure_marks, normalized_label
from pixyproxy.domain.user import UserName, ensure_user_name


class ImageOrder(StrEnum):
    """The order of a list; images of the same microsecond are ordered by guid."""

    NEWEST_FIRST = "-created_at"
    OLDEST_FIRST = "created_at"

    @property
    def reversed(self) -> "ImageOrder":
        """The opposite order."""
        return ImageOrder.OLDEST_FIRST if self is ImageOrder.NEWEST_FIRST else ImageOrder.NEWEST_FIRST


class ImageFilter(msgspec.Struct, frozen=True, kw_only=True):
    """A filter of images in one state; an image matches if it fits every given field.

    `tags` are 32 at most, and an image must have all of them; `created_after` is inclusive, `created_before` exclusive.
    `batch` is a batch's guid, and `derived_from` that of a reference. `search` is about prompts and, with
    `searches_senders`, about senders, which only authors may see. Raises `DataValidationError`.
    """

    status: ImageStatus = ImageStatus.READY
    visibility: Visibility | None = None
    author: UserName | None = None
    tags: tuple[Tag, ...] = ()
    model: str | None = None
    media_type: MediaType | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    search: Search | None = None
    batch: UUID | None = None
    derived_from: UUID | None = None
    searches_senders: bool = False

    def __post_init__(self) -> None:
        if self.author is not None:
            ensure_user_name("author", self.author)
        if len(set(self.tags)) != len(self.tags) or len(self.tags) > TAGS_MAX_COUNT:
            raise DataValidationError("tag", f"must be at most {TAGS_MAX_COUNT} different ones")
        for tag in self.tags:
            ensure_label("tag", tag, TAG_MAX_LENGTH)
        if self.model is not None:
            ensure_encodable("model", self.model)
            ensure_length("model", self.model, 1, MODEL_MAX_LENGTH)
            ensure_marks("model", self.model)
        for field in ("created_after", "created_before"):
            time = getattr(self, field)
            if time is not None and time.utcoffset() != timedelta(0):
                raise DataValidationError(field, "must be in UTC")

    def fits(self, image: Image) -> bool:
        """Whether the image matches."""
        return (
            image.status is self.status
            and self.visibility in {None, image.visibility}
            and self.author in {None, image.author}
            and set(self.tags) <= set(image.tags)
            and self.model in {None, image.model}
            and self.media_type in {None, image.content and image.content.media_type}
            and (self.created_after is None or self.created_after <= image.created_at)
            and (self.created_before is None or image.created_at < self.created_before)
            and (self.search is None or self.search.matches(*self._searched(image)))
            and (self.batch is None or (image.batch is not None and image.batch.guid == self.batch))
            and (self.derived_from is None or image.is_derived_from(self.derived_from))
        )

    def _searched(self, image: Image) -> Sequence[str]:
        return [image.prompt, image.sender.text] if self.searches_senders and image.sender else [image.prompt]


class ImagePosition(msgspec.Struct, frozen=True, order=True):
    """A position in a list; positions are ordered like images, the oldest first."""

    created_at: datetime
    guid: UUID

    @classmethod
    def of(cls, image: Image) -> Self:
        """Return the position of the image."""
        return cls(image.created_at, image.guid)


def listed(
    images: Iterable[Image], wanted: ImageFilter, *, limit: int, order: ImageOrder, after: ImagePosition | None
) -> Sequence[Image]:
    """Return the page of `images` that `ImageCatalogue.list` would, for adapters that hold all of them in memory."""
    descending = order is ImageOrder.NEWEST_FIRST
    found = {ImagePosition.of(image): image for image in images if wanted.fits(image)}
    positions = sorted(found, reverse=descending)
    if after is not None:
        positions = [at for at in positions if (at < after if descending else at > after)]
    return [found[at] for at in positions[:limit]]


class ChangePosition(msgspec.Struct, frozen=True, order=True):
    """A position among changes of images; those of the same time are ordered by the ids of the images."""

    updated_at: datetime
    id: ImageId = ImageId(0)


class ImageChange(msgspec.Struct, frozen=True, kw_only=True):
    """The last change of an image, which may have been its creation."""

    guid: UUID
    version: int
    position: ChangePosition

    @classmethod
    def of(cls, image: Image) -> Self:
        """Return the last change of a stored image."""
        return cls(
            guid=image.guid,
            version=image.version,
            position=ChangePosition(image.updated_at, ImageId(image.id or 0)),
        )


def changes_of(
    images: Iterable[Image], author: UserName, *, after: ChangePosition, limit: int
) -> Sequence[ImageChange]:
    """Return what `ImageCatalogue.list_changes` would of `images`, for adapters that hold all of them in memory."""
    changes = [ImageChange.of(image) for image in images if image.author == author]
    following = [change for change in changes if change.position > after]
    return sorted(following, key=lambda change: change.position)[:limit]


class ImageCursor(msgspec.Struct, frozen=True):
    """The start of a page: just after a position, or for one that leads back, the end just before it."""

    position: ImagePosition
    is_backward: bool = False


class ImagePage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of images, the cursors of its neighbours, and on request the total."""

    images: Sequence[Image]
    next: ImageCursor | None = None
    previous: ImageCursor | None = None
    total: int | None = None


class TagFilter(msgspec.Struct, frozen=True, kw_only=True):
    """A filter of the tags of ready images: those that begin with `prefix`; raises `DataValidationError`."""

    visibility: Visibility | None = None
    author: UserName | None = None
    prefix: str = ""

    def __post_init__(self) -> None:
        ensure_encodable("prefix", self.prefix)
        ensure_length("prefix", self.prefix, 0, TAG_MAX_LENGTH)


def parse_tag_prefix(text: str) -> str:
    """Return the prefix, normalised like tags; raise `DataValidationError` for more than 64 characters."""
    return normalized_label("prefix", text, TAG_MAX_LENGTH)


class TagCount(msgspec.Struct, frozen=True):
    """A tag and its number of images."""

    tag: Tag
    images: int


class TagCursor(msgspec.Struct, frozen=True):
    """The start of a page of tags: just after a tag, or for one that leads back, the end just before it."""

    tag: Tag
    is_backward: bool = False


class TagPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of tags, ordered by code points, and the cursors of its neighbours."""

    tags: Sequence[TagCount]
    next: TagCursor | None = None
    previous: TagCursor | None = None
