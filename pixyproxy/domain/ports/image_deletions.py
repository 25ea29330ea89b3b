"""Deletions of images."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID


class ImageDeletions(Protocol):
    """Deletions of images in two steps: the record first, then the content.

    A deletion is written down together with the end of the record, so that any process can finish it after a crash.
    """

    @abstractmethod
    async def delete(self, guid: UUID, *, expected_version: int, lease_seconds: float) -> None:
        """Remove the record and write down the deletion, both or nothing; `claim_deletions` skips it for so long.

        Raises `RecordNotFoundError` when there is no such image, and `ConstraintViolationError` when the stored image
        has another version.
        """

    @abstractmethod
    async def claim_deletions(self, *, limit: int, lease_seconds: float) -> Sequence[UUID]:
        """Claim up to `limit` unfinished, unclaimed deletions for `lease_seconds`; return their guids in order."""

    @abstractmethod
    async def finish_deletion(self, guid: UUID) -> None:
        """Forget a deletion whose content is deleted."""

    @abstractmethod
    async def list_deletions(self, *, limit: int) -> Sequence[UUID]:
        """Return the guids that `claim_deletions` would claim, and change nothing."""

    @abstractmethod
    async def is_being_deleted(self, guid: UUID) -> bool:
        """Whether a deletion of this guid is not finished."""
