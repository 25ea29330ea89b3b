"""Use case: generate several images of one request."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import msgspec

from pixyproxy.application.begin_images import RETRY_AFTER
from pixyproxy.application.create_image import CreateImage
from pixyproxy.application.partial_images import OnImagePartial, ignore_image_partial
from pixyproxy.domain.batch import BATCH_MAX_SIZE, BatchPlace
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    DataValidationError,
    DBConnectionError,
    GenerationError,
    GenerationFailedError,
    GenerationNotStartedError,
    IdempotencyKeyInUseError,
    ImageDelayedError,
    RecordNotFoundError,
)
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.idempotency import Claim, IdempotencyKey
from pixyproxy.domain.image import Image, Visibility
from pixyproxy.domain.ports import ImageBatches
from pixyproxy.domain.user import Principal


class CreatedBatch(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a creation: the batch's `guid`, its images in order, and what `is_replay` is of `CreatedImage`."""

    guid: UUID
    images: Sequence[Image]
    is_replay: bool = False

    @property
    def is_final(self) -> bool:
        """Whether all images have ended."""
        return all(image.status.is_final for image in self.images)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateBatch:
    """Create 1 to 10 images of one request, and return them in order when all have ended: ready, failed or unknown.

    Each is an image of its own, generated with one call of the generator and recovered by itself. All are
    stored before the first begins, or none is. Takes what `CreateImage` takes; an idempotency key names the whole
    request. With `wait`, returns after at most that many seconds. Images that were deleted meanwhile are left out.

    Raises what `CreateImage` raises, but a `GenerationError` only if no image came out: that of the first, which may
    have been billed if any of them may.
    """

    create_image: CreateImage
    batches: ImageBatches

    async def __call__(
        self,
        request: GenerationRequest,
        count: int,
        *,
        tags: Sequence[str] = (),
        visibility: Visibility = Visibility.PUBLIC,
        principal: Principal,
        idempotency_key: IdempotencyKey | None = None,
        wait: float | None = None,
        on_partial: OnImagePartial = ignore_image_partial,
    ) -> CreatedBatch:
        if not 1 <= count <= BATCH_MAX_SIZE:
            raise DataValidationError("n", f"must be 1 to {BATCH_MAX_SIZE}")
        begin = self.create_image.begin_images
        guid = begin.guids.new()
        places = [BatchPlace(guid=guid, position=position, size=count) for position in range(count)]
        images = begin.request(request, places, tags=tags, visibility=visibility, principal=principal)
        claim = begin.claim(images[0], idempotency_key)

        async def store() -> Sequence[Image]:
            return await self.batches.add_batch(guid, images, claim=claim)

        while True:
            if claim and (replay := await self._replay(claim, wait)):
                return replay
            if begun := await begin(images, claim, store, on_partial):
                return await self._result(guid, begun, wait)

    async def _result(self, guid: UUID, begun: Sequence[Image], wait: float | None) -> CreatedBatch:
        seconds = self.create_image.seconds_to_wait(wait)
        guids = [image.guid for image in begun]
        outcomes = await self.create_image.generations.results(self.create_image.images, guids, seconds)
        ready = [outcome for outcome in outcomes if isinstance(outcome, Image)]
        if len(ready) == len(begun):
            return CreatedBatch(guid=guid, images=ready)
        errors = [outcome for outcome in outcomes if isinstance(outcome, GenerationError)]
        if len(errors) == len(begun):
            raise _common_error(guid, errors, maybe_billed=False)
        try:
            images = await self.batches.list_batch(guid)
        except DBConnectionError as exc:
            raise ImageDelayedError(
                "The images are being made, but the database does not answer.", batch=guid, retry_after=RETRY_AFTER
            ) from exc
        if not images:
            detail = "The images were deleted before they could be shown."
            raise _common_error(guid, [GenerationFailedError(detail, maybe_billed=True)], maybe_billed=True)
        _ensure_any(guid, images)
        created = CreatedBatch(guid=guid, images=images)
        if wait is None and not created.is_final:
            raise ImageDelayedError("Images are still being made.", batch=guid, retry_after=RETRY_AFTER)
        return created

    async def _replay(self, claim: Claim, wait: float | None) -> CreatedBatch | None:
        """Give the answer of the first request with the key, as soon as there is one; None if it bought nothing."""
        guid = await self.create_image.begin_images.find(claim)
        if guid is None:
            return None
        images = await self._followed(guid, wait)
        if not images:
            raise ConstraintViolationError("The images that this idempotency key was used for are gone.")
        if not _are_missing(images) and all(
            isinstance(image.generation_error, GenerationNotStartedError) for image in images
        ):
            await self.create_image.begin_images.forget(claim, guid)
            return None
        _ensure_any(guid, images, is_replay=True)
        created = CreatedBatch(guid=guid, images=images, is_replay=True)
        if wait is None and not created.is_final:
            raise IdempotencyKeyInUseError(
                "Images that this idempotency key was used for are still being made.",
                batch=guid,
                retry_after=RETRY_AFTER,
            )
        return created

    async def _followed(self, guid: UUID, wait: float | None) -> Sequence[Image]:
        """Return the images of a batch when all have ended, or the wait is over."""
        clock = asyncio.get_running_loop().time
        ends_at = clock() + self.create_image.seconds_to_wait(wait)
        try:
            for image in await self.batches.list_batch(guid):
                rest = ends_at - clock()
                if rest > 0 and not image.status.is_final:
                    await self._follow(image, rest)
            return await self.batches.list_batch(guid)
        except DBConnectionError as exc:
            raise ImageDelayedError(
                "An earlier request with this key has begun the images, and the database does not answer now.",
                batch=guid,
                retry_after=RETRY_AFTER,
            ) from exc

    async def _follow(self, image: Image, seconds: float) -> None:
        with suppress(RecordNotFoundError):
            async for _ in self.create_image.generations.follow(self.create_image.images, image.guid, seconds):
                pass


def _ensure_any(guid: UUID, images: Sequence[Image], *, is_replay: bool = False) -> None:
    """Raise the error of the first image if all have failed."""
    errors = [error for image in images if (error := image.generation_error)]
    if len(errors) == len(images):
        raise _common_error(guid, errors, maybe_billed=_are_missing(images), is_replay=is_replay)


def _common_error(
    guid: UUID, errors: Sequence[GenerationError], *, maybe_billed: bool, is_replay: bool = False
) -> GenerationError:
    """Return the first error as that of the batch."""
    error = errors[0]
    error.batch = guid
    error.maybe_billed = maybe_billed or any(each.maybe_billed for each in errors)
    error.is_replay = is_replay
    return error


def _are_missing(images: Sequence[Image]) -> bool:
    """Whether images of the batch were deleted."""
    place = images[0].batch
    return place is not None and len(images) < place.size
