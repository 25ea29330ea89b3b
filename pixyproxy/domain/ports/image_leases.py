"""Leases on images that are being made."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from pixyproxy.domain.image import Image, ImageStatus


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A lease as it was seen: the image, the process that holds it, and how often it was granted or renewed.

    A generating image without an owner is abandoned. An owner is unique for each start of a process.
    """

    guid: UUID
    owner: str | None
    renewals: int


class ImageLeases(Protocol):
    """Leases on images that are being made, so that another process can recover those of one that has crashed.

    `ImageQueue.claim` grants a lease, and a final state ends it. A lease has no end in time, because no two machines
    have the same clock: a process that sees one unchanged for long enough may take it over.
    """

    @abstractmethod
    async def renew(self, guid: UUID, owner: str) -> bool:
        """Count a renewal, and return whether the owner still holds the lease."""

    @abstractmethod
    async def list_leases(self, *, limit: int) -> Sequence[Lease]:
        """Return the leases of up to `limit` images that are claimed or generating, oldest image first."""

    @abstractmethod
    async def take_over(self, lease: Lease, owner: str) -> bool:
        """Give the lease to `owner`, and return whether it was still as it was seen.

        The image counts against no limit any more: its new owner does not make it.
        """

    @abstractmethod
    async def give_back(self, guid: UUID, owner: str) -> None:
        """End the owner's lease: a pending image waits in the queue again, and a generating one is abandoned."""

    @abstractmethod
    async def update_leased(self, image: Image, *, expected: ImageStatus, owner: str) -> None:
        """Do what `ImageRepository.update` does; raise `ConstraintViolationError`, too, if `owner` has no lease.

        A pending image waits in the queue from then on.
        """

    @abstractmethod
    async def list_unknown(self, *, since: datetime, limit: int) -> Sequence[Image]:
        """Return up to `limit` images that became unknown at or after `since` and may be looked at, latest first."""

    @abstractmethod
    async def put_off(self, guid: UUID, *, seconds: float) -> bool:
        """Let an unknown image not be looked at for `seconds`; return False if it has been put off already."""
