"""Use case: get one image."""

from dataclasses import dataclass
from uuid import UUID

from pixyproxy.domain.image import Image, ImageScope
from pixyproxy.domain.ports import ImageRepository
from pixyproxy.domain.user import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class GetImage:
    """Return one image in `scope`: in any state for its author, only ready for others.

    Raises `RecordNotFoundError`, the same for an unknown image and for one that the principal may not know of.
    """

    images: ImageRepository

    async def __call__(self, guid: UUID, principal: Principal, scope: ImageScope = ImageScope.PUBLIC) -> Image:
        image = await self.images.get(guid)
        image.ensure_visible_to(principal, scope)
        return image
