"""Where image records live."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from pixyproxy.domain.content import ContentInfo
from pixyproxy.domain.idempotency import Claim, ClaimedImage, IdempotencyKey
from pixyproxy.domain.image import Image, ImageId, ImageStatus
from pixyproxy.domain.listing import ImageFilter, ImageOrder, ImagePosition, TagCount, TagFilter
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import UserName


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to work on an image: who has it, and for how many seconds from now, by the database's clock."""

    owner: str
    seconds: float


class DamagedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The record of an image that breaks a rule of the domain: somebody else has written it."""

    guid: str


class RebuiltWords(msgspec.Struct, frozen=True):
    """The last of the images whose words were looked at, and of how many the words were others."""

    last: ImageId
    changed: int


class ImageRepository(Protocol):
    """Where image records live, with the leases of those that are being made and the keys they were asked for with.

    Leases and keys run out by the clock of the database, which all processes share.
    """

    @abstractmethod
    async def add(
        self, image: Image, *, lease: Lease | None = None, claim: Claim | None = None, claim_seconds: float = 86_400.0
    ) -> Image:
        """Store a new image, its lease and the claim of a key, all of it or nothing; return the image with its id.

        Without a `lease` an image that is being made counts as abandoned. Raises `ConstraintViolationError` if the
        guid or the author's key is taken, and while the content of a deleted image with this guid may still be there.
        """

    @abstractmethod
    async def get(self, guid: UUID) -> Image:
        """Return the image in whatever state it is; raise `RecordNotFoundError` when there is none."""

    @abstractmethod
    async def update(self, image: Image, *, expected: ImageStatus, if_abandoned: bool = False) -> None:
        """Store the state of an image, all of it or nothing: what its methods that return another state change.

        A final state ends the lease. Raises `ConstraintViolationError` when the stored image is not in the state
        `expected` (somebody else has changed it) or, with `if_abandoned`, when somebody holds a lease on it; and
        `RecordNotFoundError` when there is none.
        """

    @abstractmethod
    async def change(self, image: Image, *, expected_version: int) -> None:
        """Store what `Image.changed` changes, all of it or nothing.

        Raises `ConstraintViolationError` when the stored image has another version (somebody else has changed it), and
        `RecordNotFoundError` when there is none.
        """

    @abstractmethod
    async def correct_size(self, image: Image, content: ContentInfo) -> bool:
        """Store width and height of `content`, `image.updated_at` and a new version; return whether that was done.

        It is done only if the stored record has the SHA-256 of `content`, and the width and height of `image`.
        """

    @abstractmethod
    async def delete(self, guid: UUID, *, expected_version: int, lease_seconds: float) -> None:
        """Remove the record, and write down that its content is to be deleted, both or nothing.

        For `lease_seconds` the caller alone may do that. Raises what `change` raises.
        """

    @abstractmethod
    async def claim_deletions(self, *, limit: int, lease_seconds: float) -> Sequence[UUID]:
        """Return the guids of at most `limit` deleted images whose content nobody is deleting, the smallest first.

        For `lease_seconds` the caller alone may do that.
        """

    @abstractmethod
    async def finish_deletion(self, guid: UUID) -> None:
        """Write down that the content of a deleted image is deleted, too."""

    @abstractmethod
    async def list_deletions(self, *, limit: int) -> Sequence[UUID]:
        """Return the guids of at most `limit` deleted images whose content nobody is deleting, and change nothing."""

    @abstractmethod
    async def is_being_deleted(self, guid: UUID) -> bool:
        """Whether the image is deleted and its content may still be there."""

    @abstractmethod
    async def renew(self, guid: UUID, lease: Lease) -> None:
        """Let the lease run from now on, if `lease.owner` has it and the image is still being made."""

    @abstractmethod
    async def list_abandoned(self, *, limit: int) -> Sequence[Image]:
        """Return at most `limit` images that are being made and whose lease is over, the oldest first.

        Records that are damaged are left out.
        """

    @abstractmethod
    async def list_unknown(self, *, since: datetime, limit: int) -> Sequence[Image]:
        """Return at most `limit` images that have become unknown since then, the latest first."""

    @abstractmethod
    async def find_claim(self, author: UserName | None, key: IdempotencyKey) -> ClaimedImage | None:
        """Return what the author has used the key for, or None if the key is unused or its time is over."""

    @abstractmethod
    async def forget_claim(self, author: UserName | None, key: IdempotencyKey, guid: UUID) -> None:
        """Remove the author's key, if it was used for the image with this guid."""

    @abstractmethod
    async def forget_expired_claims(self) -> int:
        """Remove the keys whose time is over and return how many there were."""

    @abstractmethod
    async def scan(self, *, after: str = "", limit: int) -> Sequence[Image | DamagedRecord]:
        """Return at most `limit` records in whatever state, ordered by the texts of their guids, behind `after`."""

    @abstractmethod
    async def count(self) -> int:
        """Return how many images there are, in whatever state."""

    @abstractmethod
    async def list(
        self,
        wanted: ImageFilter,
        *,
        limit: int,
        order: ImageOrder = ImageOrder.NEWEST_FIRST,
        after: ImagePosition | None = None,
    ) -> Sequence[Image]:
        """Return the first `limit` ready images, or fewer, that fit the filter and in that order come behind `after`.

        The filter names a visibility or an author.
        """

    @abstractmethod
    async def count_listed(self, wanted: ImageFilter) -> int:
        """Return how many images `list` could return; that takes longer the more there are."""

    @abstractmethod
    async def list_tags(
        self, wanted: TagFilter, *, limit: int, after: Tag | None = None, descending: bool = False
    ) -> Sequence[TagCount]:
        """Return the first `limit` tags, or fewer, that fit the filter and come behind `after`.

        They are ordered by code points, rising or falling. The filter names a visibility or an author.
        """

    @abstractmethod
    async def make_searchable(self, *, after: ImageId | None = None, limit: int) -> Sequence[ImageId]:
        """Let the words of at most `limit` images behind `after` be found that something else has stored without them.

        Returns the ids of these images, rising; none when there are none left.
        """

    @abstractmethod
    async def rebuild_words(self, *, after: ImageId | None = None, limit: int) -> RebuiltWords | None:
        """Index up to `limit` images after `after` as `terms_of` has it now, and leave those that are so already.

        Returns None behind the last image. A search meanwhile finds an image by its old words or by its new ones.
        """

    @abstractmethod
    async def check(self) -> None:
        """Return if the repository can answer; raise `DBConnectionError` if it can't."""
