"""Use case: generate an image and keep it."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec

from pixyproxy.application.begin_images import RETRY_AFTER, BeginImages
from pixyproxy.application.dispatcher import Dispatcher
from pixyproxy.application.generations import Generations
from pixyproxy.application.partial_images import OnImagePartial, ignore_image_partial
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    DBConnectionError,
    GenerationFailedError,
    GenerationNotStartedError,
    IdempotencyKeyInUseError,
    ImageDelayedError,
    RecordNotFoundError,
)
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.idempotency import Claim, IdempotencyKey
from pixyproxy.domain.image import Image, Visibility
from pixyproxy.domain.ports import Clock, GuidSource, IdempotencyKeys, ImageRepository
from pixyproxy.domain.user import Principal


class CreatedImage(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a creation: the image, and whether an earlier request with the same idempotency key made it."""

    image: Image
    is_replay: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateImage:
    """Record an image, generate it when it is its turn, store its content, and only then show it.

    Takes the request and the tags as the client wrote them, and returns the ready image. With `wait`, returns it after
    at most that many seconds, in its state at that time. The generation goes on when the caller is cancelled. With an
    `idempotency_key` that the author has used before, nothing is bought: the first image or error is the answer again.
    `on_partial` gets each partial image that this call makes, once it is stored.

    Raises `DataValidationError` for bad input, `OverloadedError` when the queue is full, `DBConnectionError` and
    `ContentStoreError` when nothing was begun, `RecordNotFoundError` for a reference that the principal may not read, a
    `GenerationError` when no image came out, `ImageDelayedError` when it is not ready after `max_wait` seconds,
    `IdempotencyKeyReusedError` for a key of another request and `IdempotencyKeyInUseError` for one whose image is not
    ready. A failed image stays as a record with the reason; it is never shown.

    Idempotency keys are kept for `claim_seconds`; without the port `idempotency_keys`, which is optional, a key raises
    `OperationNotAllowedError`.
    """

    images: ImageRepository
    dispatcher: Dispatcher
    clock: Clock
    guids: GuidSource
    idempotency_keys: IdempotencyKeys | None = None
    max_wait: float = 300.0
    claim_seconds: float = 86_400.0

    async def __call__(
        self,
        request: GenerationRequest,
        *,
        tags: Sequence[str] = (),
        visibility: Visibility = Visibility.PUBLIC,
        principal: Principal,
        idempotency_key: IdempotencyKey | None = None,
        wait: float | None = None,
        on_partial: OnImagePartial = ignore_image_partial,
    ) -> CreatedImage:
        begin = self.begin_images
        (image,) = begin.request(request, [None], tags=tags, visibility=visibility, principal=principal)
        claim = begin.claim(image, idempotency_key)

        async def store() -> Sequence[Image]:
            return [await self.images.add(image, claim=claim)]

        while True:
            if claim and (replay := await self._replay(claim, wait)):
                return replay
            if begun := await begin([image], claim, store, on_partial):
                return await self._result(begun[0], wait)

    @property
    def begin_images(self) -> BeginImages:
        """What comes before the result, for one image as for several."""
        return BeginImages(
            dispatcher=self.dispatcher,
            clock=self.clock,
            guids=self.guids,
            idempotency_keys=self.idempotency_keys,
            claim_seconds=self.claim_seconds,
        )

    @property
    def generations(self) -> Generations:
        """The generations of this process."""
        return self.dispatcher.generations

    async def _result(self, image: Image, wait: float | None) -> CreatedImage:
        try:
            ready = await self.generations.result(self.images, image.guid, self.seconds_to_wait(wait))
            if ready is not None:
                return CreatedImage(image=ready)
            if wait is None:
                raise ImageDelayedError("The image is still being made.", guid=image.guid, retry_after=RETRY_AFTER)
            image = await self.images.get(image.guid)
        except DBConnectionError as exc:
            raise ImageDelayedError(
                "The image is being made, but the database does not answer.", guid=image.guid, retry_after=RETRY_AFTER
            ) from exc
        except RecordNotFoundError as exc:
            error = GenerationFailedError("The image was deleted before it could be shown.", maybe_billed=True)
            error.guid = image.guid
            raise error from exc
        if failure := image.generation_error:
            raise failure
        return CreatedImage(image=image)

    def seconds_to_wait(self, wait: float | None) -> float:
        """Return how long a request waits that wants to wait for `wait` seconds."""
        return self.max_wait if wait is None else min(wait, self.max_wait)

    async def _replay(self, claim: Claim, wait: float | None) -> CreatedImage | None:
        """Give the answer of the first request with the key, as soon as there is one; None if it bought nothing.

        A request that was refused before its generation began has not used the key up.
        """
        guid = await self.begin_images.find(claim)
        if guid is None:
            return None
        image = await self._followed(guid, wait)
        error = image.generation_error
        if isinstance(error, GenerationNotStartedError):
            await self.begin_images.forget(claim, image.guid)
            return None
        if error is not None:
            error.is_replay = True
            raise error
        if wait is None and not image.status.is_final:
            raise IdempotencyKeyInUseError(
                "The image that this idempotency key was used for is still being made.",
                guid=image.guid,
                retry_after=RETRY_AFTER,
            )
        return CreatedImage(image=image, is_replay=True)

    async def _followed(self, guid: UUID, wait: float | None) -> Image:
        try:
            *_, image = [
                image async for image in self.generations.follow(self.images, guid, self.seconds_to_wait(wait))
            ]
        except RecordNotFoundError as exc:
            raise ConstraintViolationError("The image that this idempotency key was used for is gone.") from exc
        except DBConnectionError as exc:
            raise ImageDelayedError(
                "An earlier request with this key has begun the image, and the database does not answer now.",
                guid=guid,
                retry_after=RETRY_AFTER,
            ) from exc
        return image
