"""Use case: get the bytes of one partial image."""

from dataclasses import dataclass
from uuid import UUID

from pixyproxy.application.partial_images import PartialImages
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.errors import ContentNotFoundError, RecordNotFoundError
from pixyproxy.domain.image import ImageScope
from pixyproxy.domain.ports import ImageRepository, StoredContent
from pixyproxy.domain.user import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class GetPartialImage:
    """Return a partial image of an image that is being made, and its media type.

    Raises `RecordNotFoundError` for a position without a picture, as for an image that has ended, that is unknown or
    that the principal may not know of; `ContentStoreError` when the store fails.
    """

    images: ImageRepository
    partials: PartialImages

    async def __call__(
        self, guid: UUID, position: int, principal: Principal, scope: ImageScope = ImageScope.PUBLIC
    ) -> tuple[MediaType, StoredContent]:
        image = await self.images.get(guid)
        image.ensure_visible_to(principal, scope)
        if not image.status.is_final and 0 <= position < image.request.partial_images:
            try:
                return await self.partials.open(image, position)
            except ContentNotFoundError:
                pass
        raise RecordNotFoundError(f"Image {guid} has no partial image {position} now.")
