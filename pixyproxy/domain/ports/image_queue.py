"""The images that wait to be generated."""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import msgspec

from pixyproxy.domain.user import UserName


class Unfinished(msgspec.Struct, frozen=True):
    """How many images of an author wait, and how many are claimed or generating, in all processes together."""

    waiting: int = 0
    running: int = 0


class ClaimOutcome(StrEnum):
    """What became of a claim: it was granted, the image does not wait any more, or too many images are running."""

    CLAIMED = "claimed"
    TAKEN = "taken"
    FULL = "full"


class ImageQueue(Protocol):
    """The pending images without a lease: they wait until a process with room claims them.

    `ImageRepository.add` puts an image into the queue, and `ImageLeases` says what becomes of a lease.
    """

    @abstractmethod
    async def count_unfinished(self, *, models: Collection[str] | None = None) -> Mapping[UserName | None, Unfinished]:
        """Return the numbers of each author who has images that are not final.

        With `models`, of the waiting images those of one of them alone are counted.
        """

    @abstractmethod
    async def list_next(self, *, since: datetime, models: Collection[str] | None = None, limit: int) -> Sequence[UUID]:
        """Return up to `limit` waiting images that were created at or after `since`, the next one first.

        With `models`, these are the images of one of them alone.
        The next one is of the author with the fewest running images, among equals of the one whose last turn is longest
        ago, and then the oldest. All images without an author count as one author's.
        """

    @abstractmethod
    async def list_overdue(self, *, before: datetime, limit: int) -> Sequence[UUID]:
        """Return up to `limit` waiting images that were created before `before`."""

    @abstractmethod
    async def claim(
        self, guid: UUID, *, owner: str, limited_by: str | None = None, max_running: int | None = None
    ) -> ClaimOutcome:
        """Give the lease on a waiting image to `owner`: it is the turn of its author. A claim may be repeated.

        With `max_running`, at most that many images with the same `limited_by` are claimed or generating at once.
        """
