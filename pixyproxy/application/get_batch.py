"""Use case: get the images of a batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from pixyproxy.domain.errors import RecordNotFoundError
from pixyproxy.domain.image import Image, ImageScope
from pixyproxy.domain.ports import ImageBatches
from pixyproxy.domain.user import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBatch:
    """Return in order those images of a batch that `GetImage` returns to the principal.

    Raises `RecordNotFoundError`, the same for an unknown batch and for one of which the principal may see none.
    """

    batches: ImageBatches

    async def __call__(
        self, guid: UUID, principal: Principal, scope: ImageScope = ImageScope.PUBLIC
    ) -> Sequence[Image]:
        images = [image for image in await self.batches.list_batch(guid) if image.is_visible_to(principal, scope)]
        if not images:
            raise RecordNotFoundError(f"There is no batch {guid}.")
        return images
