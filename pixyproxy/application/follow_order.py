"""Use case: follow the images of an order."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

import msgspec

from pixyproxy.application.begin_images import RETRY_AFTER
from pixyproxy.application.generate_image import GenerationPolicy
from pixyproxy.application.generations import Generations
from pixyproxy.application.partial_images import PartialImages
from pixyproxy.application.place_order import Order
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.errors import (
    DBConnectionError,
    GenerationError,
    GenerationFailedError,
    ImageDelayedError,
    RecordNotFoundError,
)
from pixyproxy.domain.image import Image, ImageScope, ImageStatus
from pixyproxy.domain.ports import Clock, ImageRepository, StoredContent
from pixyproxy.domain.user import Principal


class OrderPartial(msgspec.Struct, frozen=True, kw_only=True):
    """A partial image of an order's image, open for reading; `position` counts from 0."""

    image: Image
    position: int
    media_type: MediaType
    content: StoredContent


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowOrder:
    """Yield the images of an order one after the other when they are final, and their partial images in between.

    A final image is ready, failed or unknown; one that was deleted meanwhile is failed, and maybe billed. Any process
    may be making the images, and goes on when the caller stops iterating. Partial images of an image that is final
    when its turn comes are left out; without `partials`, which is optional, there are none.

    Raises `RecordNotFoundError` for another user's order, and `ImageDelayedError` when the service stops, and when the
    database does not answer: for longer than the patience of `policy`, or than it takes to make an image here.
    """

    images: ImageRepository
    generations: Generations
    clock: Clock
    partials: PartialImages | None = None
    policy: GenerationPolicy = field(default_factory=GenerationPolicy)

    async def __call__(self, order: Order, principal: Principal) -> AsyncGenerator[OrderPartial | Image, None]:
        for image in order.images:
            image.ensure_visible_to(principal, ImageScope.OWN)
        for image in order.images:
            async for news in self._followed(image):
                yield news

    async def _followed(self, image: Image) -> AsyncIterator[OrderPartial | Image]:
        position = 0
        async for now in self._states(image):
            if now.status.is_final:
                yield now
                return
            while partial := await self._partial(now, position):
                yield partial
                position += 1
        raise _delayed(image, "The image is still being made.")

    async def _partial(self, image: Image, position: int) -> OrderPartial | None:
        found = await self.partials.find(image, position) if self.partials is not None else None
        if found is None:
            return None
        media_type, content = found
        return OrderPartial(image=image, position=position, media_type=media_type, content=content)

    async def _states(self, image: Image) -> AsyncIterator[Image]:
        """Yield the image whenever it may have changed, until it is final or the service stops."""
        if image.status.is_final:
            yield image
            return
        async for outcome in self.generations.watch(image.guid):
            if outcome is None:
                yield image
            elif isinstance(outcome, Image):
                yield outcome
                return
            elif isinstance(outcome, GenerationError):
                yield await self._failed(image, outcome)
                return
            elif isinstance(outcome, ImageDelayedError):
                raise _delayed(image, outcome.detail) from outcome
        try:
            async for now in self._polled(image):
                yield now
        except RecordNotFoundError:
            yield self._deleted(image)

    async def _polled(self, image: Image) -> AsyncIterator[Image]:
        """Yield what is stored, as `Generations.poll` does, and outlast a database that does not answer for a while."""
        clock = asyncio.get_running_loop().time
        ends_at: float | None = None
        while True:
            try:
                async for now in self.generations.poll(self.images, image.guid):
                    ends_at = None
                    yield now
            except DBConnectionError as exc:
                ends_at = ends_at or clock() + self.policy.patience
                if self.generations.is_stopping or clock() >= ends_at:
                    raise _delayed(image, "The image may be there, but the database does not answer.") from exc
            else:
                return
            await self.generations.pause(self.policy.pause)

    async def _failed(self, image: Image, error: GenerationError) -> Image:
        """Return the image as it is stored, or as it should be if the failure could not be recorded."""
        try:
            stored = await self.images.get(image.guid)
        except RecordNotFoundError:
            return self._deleted(image)
        except DBConnectionError:
            stored = image
        return stored if stored.status.is_final else self._with(image, error)

    def _deleted(self, image: Image) -> Image:
        detail = "The image was deleted before it could be shown."
        return self._with(image, GenerationFailedError(detail, maybe_billed=True))

    def _with(self, image: Image, error: GenerationError) -> Image:
        at = self.clock.now()
        generating = image.started(at=at) if image.status is ImageStatus.PENDING else image
        return generating.failed(error, at=at)


def _delayed(image: Image, detail: str) -> ImageDelayedError:
    if image.batch is None:
        return ImageDelayedError(detail, guid=image.guid, retry_after=RETRY_AFTER)
    return ImageDelayedError(detail, batch=image.batch.guid, retry_after=RETRY_AFTER)
