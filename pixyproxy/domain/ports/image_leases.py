"""Leases on images that are being made."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from pixyproxy.domain.image import Image, ImageStatus


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The exclusive right to work on an image: its owner, and its seconds from now on by the database's clock."""

    owner: str
    seconds: float


class ImageLeases(Protocol):
    """Leases on images that are being made, so that another process can recover those of one that has crashed.

    `ImageRepository.add` grants a lease and a final state ends it. Leases expire by the clock of the database, which
    all processes share. An image that is being made without a lease counts as abandoned.
    """

    @abstractmethod
    async def renew(self, guid: UUID, lease: Lease) -> None:
        """Extend the lease from now on, if `lease.owner` holds it and the image is still being made."""

    @abstractmethod
    async def list_abandoned(self, *, limit: int) -> Sequence[Image]:
        """Return up to `limit` images that are being made without a valid lease, oldest first.

        Damaged records are left out.
        """

    @abstractmethod
    async def update_abandoned(self, image: Image, *, expected: ImageStatus) -> None:
        """Do what `ImageRepository.update` does; raise `ConstraintViolationError`, too, if there is a valid lease."""

    @abstractmethod
    async def list_unknown(self, *, since: datetime, limit: int) -> Sequence[Image]:
        """Return up to `limit` images that became unknown at or after `since`, latest first."""
