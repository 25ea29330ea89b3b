"""Where image records live."""

from abc import abstractmethod
from typing import Protocol
from uuid import UUID

from pixyproxy.domain.idempotency import Claim
from pixyproxy.domain.image import Image, ImageStatus


class ImageRepository(Protocol):
    """Where image records live: the one port for images that every host needs."""

    @abstractmethod
    async def add(self, image: Image, *, claim: Claim | None = None) -> Image:
        """Store a new image with its claim, all or nothing, and return it with its id.

        `claim` belongs to `IdempotencyKeys`: an adapter that does not implement that port gets none. Raises
        `ConstraintViolationError` if the guid or the author's key is taken, if a deletion of this guid is not finished,
        or if an upload that the image refers to is not in the ledger (`Uploads`).
        """

    @abstractmethod
    async def get(self, guid: UUID) -> Image:
        """Return the image in any state; raise `RecordNotFoundError` when there is none."""

    @abstractmethod
    async def update(self, image: Image, *, expected: ImageStatus) -> None:
        """Store the state of an image, all or nothing: the fields that its life cycle methods set, and a new version.

        A final state ends the lease. Raises `RecordNotFoundError` when there is no such image, and
        `ConstraintViolationError` when the stored image is not in the state `expected`.
        """

    @abstractmethod
    async def change(self, image: Image, *, expected_version: int) -> None:
        """Store the fields that `Image.changed` sets, all or nothing.

        Raises `RecordNotFoundError` when there is no such image, and `ConstraintViolationError` when the stored image
        has another version.
        """
