"""Use case: watch the state of an image."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from pixyproxy.application.generations import Generations
from pixyproxy.domain.image import Image, ImageScope
from pixyproxy.domain.ports import ImageRepository
from pixyproxy.domain.user import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchImage:
    """Return the image now and on each change of state, until it is final.

    Raises `RecordNotFoundError` at once, as `GetImage` does; the iterator raises it when the image is hidden or deleted
    meanwhile, and `DBConnectionError`.
    """

    images: ImageRepository
    generations: Generations

    async def __call__(
        self, guid: UUID, principal: Principal, scope: ImageScope = ImageScope.PUBLIC
    ) -> AsyncIterator[Image]:
        image = await self.images.get(guid)
        image.ensure_visible_to(principal, scope)
        return self._visible(guid, principal, scope)

    async def _visible(self, guid: UUID, principal: Principal, scope: ImageScope) -> AsyncIterator[Image]:
        async for image in self.generations.follow(self.images, guid):
            image.ensure_visible_to(principal, scope)
            yield image
