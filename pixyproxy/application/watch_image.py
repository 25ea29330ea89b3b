"""Use case: watch an image while it is being made."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

import msgspec

from pixyproxy.application.generations import Generations
from pixyproxy.application.partial_images import PartialImages
from pixyproxy.domain.image import Image, ImageScope
from pixyproxy.domain.ports import ImageRepository
from pixyproxy.domain.user import Principal

EnsureLogin = Callable[[], Awaitable[None]]


class WatchedPartial(msgspec.Struct, frozen=True, kw_only=True):
    """A partial image that `GetPartialImage` returns for now; `position` counts from 0."""

    guid: UUID
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchImage:
    """Return the image now and on each change of state, until it is final, and its partial images in between.

    Each partial image is returned once, those from before first. Without `partials`, which is optional, there are none.
    Raises `RecordNotFoundError` at once, as `GetImage` does; the iterator raises it when the image is hidden or deleted
    meanwhile, and `DBConnectionError`. `ensure_login` is called at least every two seconds; what it raises ends the
    iterator.
    """

    images: ImageRepository
    generations: Generations
    partials: PartialImages | None = None

    async def __call__(
        self,
        guid: UUID,
        principal: Principal,
        scope: ImageScope = ImageScope.PUBLIC,
        *,
        ensure_login: EnsureLogin | None = None,
    ) -> AsyncIterator[Image | WatchedPartial]:
        image = await self.images.get(guid)
        image.ensure_visible_to(principal, scope)
        return self._visible(guid, principal, scope, ensure_login)

    async def _visible(
        self, guid: UUID, principal: Principal, scope: ImageScope, ensure_login: EnsureLogin | None
    ) -> AsyncIterator[Image | WatchedPartial]:
        last = None
        position = 0
        async for image in self.generations.poll(self.images, guid):
            if ensure_login is not None:
                await ensure_login()
            image.ensure_visible_to(principal, scope)
            if image.status is not last:
                last = image.status
                yield image
            while self.partials and not image.status.is_final and await self.partials.has(image, position):
                yield WatchedPartial(guid=guid, position=position)
                position += 1
