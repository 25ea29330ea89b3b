"""Batches of images."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from pixyproxy.domain.idempotency import Claim
from pixyproxy.domain.image import Image


class ImageBatches(Protocol):
    """Batches of images; each image is also one of `ImageRepository`, and changes and ends by itself."""

    @abstractmethod
    async def add_batch(self, guid: UUID, images: Sequence[Image], *, claim: Claim | None = None) -> Sequence[Image]:
        """Store the new images of the batch with this guid, all or nothing, and return them with their ids.

        The claim names the batch. Raises what `ImageRepository.add` raises.
        """

    @abstractmethod
    async def list_batch(self, guid: UUID) -> Sequence[Image]:
        """Return those images of a batch that are not deleted, in any state, in order; none of an unknown batch.

        Damaged records are left out.
        """
