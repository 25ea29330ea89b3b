"""Use case: begin the images of a request that the client may send again."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec

from pixyproxy.application.create_batch import CreateBatch
from pixyproxy.domain.batch import BATCH_MAX_SIZE, BatchPlace
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    DataValidationError,
    RecordNotFoundError,
)
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.idempotency import Claim, IdempotencyKey
from pixyproxy.domain.image import Image, Visibility
from pixyproxy.domain.sender import Sender
from pixyproxy.domain.user import Principal


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The images of one request, in any state and in order.

    `guid` is that of the image, or of the batch of several, and `claim` the key that the order is stored under.
    `is_replay` says that an earlier request has placed it.
    """

    guid: UUID
    images: Sequence[Image]
    claim: Claim
    is_replay: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder:
    """Begin 1 to 10 images of one request and return them at once, or join an order that the client placed before.

    Takes what `CreateBatch` takes, and `attempt`, the number of times that the client has sent the same request before:
    from 1 on, the order is the oldest equal one of the author whose answer has not reached its client and which no
    attempt with this number or a higher one has taken; those that a re-sent request has taken before come first. An
    order that bought nothing is placed anew. With an `idempotency_key`, the order is the one with that key, `attempt`
    does not matter, and only a failure that may pass lets the order be placed anew. Equal first attempts are different
    orders. The mask need not have transparency.

    Raises what `CreateBatch` raises before anything is bought, and `ConstraintViolationError` for an order whose images
    are deleted. Failures are in the images.
    """

    create_batch: CreateBatch

    async def __call__(
        self,
        request: GenerationRequest,
        count: int,
        *,
        tags: Sequence[str] = (),
        visibility: Visibility = Visibility.PRIVATE,
        principal: Principal,
        sender: Sender | None = None,
        idempotency_key: IdempotencyKey | None = None,
        attempt: int = 0,
    ) -> Order:
        if not 1 <= count <= BATCH_MAX_SIZE:
            raise DataValidationError("n", f"must be 1 to {BATCH_MAX_SIZE}")
        begin = self.create_batch.create_image.begin_images
        batch = begin.guids.new()
        places = [BatchPlace(guid=batch, position=position, size=count) for position in range(count)]
        images = begin.request(
            request,
            places if count > 1 else [None],
            tags=tags,
            visibility=visibility,
            principal=principal,
            sender=sender,
        )
        guid = batch if count > 1 else images[0].guid
        own = begin.claim(images[0], idempotency_key) or Claim.of_order(images[0], attempt)
        claim, earlier = await self._earlier(own)

        async def store() -> Sequence[Image]:
            if count > 1:
                return await self.create_batch.batches.add_batch(guid, images, claim=claim)
            return [await self.create_batch.create_image.images.add(images[0], claim=claim)]

        while True:
            if earlier:
                stored = await self._images(earlier, is_batch=count > 1)
                if not _bought_nothing(stored, claim):
                    return Order(guid=earlier, images=stored, claim=claim, is_replay=True)
                claim = msgspec.structs.replace(claim, replaces=earlier)
            if begun := await begin(images, claim, store, mask_may_be_opaque=True):
                return Order(guid=guid, images=begun, claim=claim)
            earlier = await begin.find(claim)
            if earlier is None:
                claim, earlier = await self._earlier(own)

    async def _earlier(self, own: Claim) -> tuple[Claim, UUID | None]:
        """Return the claim of the earlier order that the request with the claim `own` repeats, and the order's guid.

        Without one, that is `own` and None.
        """
        begin = self.create_batch.create_image.begin_images
        if not own.is_order:
            return own, await begin.find(own)
        while own.attempt and (taken := await begin.take_order(own)):
            # The answer may have reached its client just now: it was another client's order then.
            if guid := await begin.find(taken):
                return taken, guid
        return own, None

    async def _images(self, guid: UUID, *, is_batch: bool) -> Sequence[Image]:
        gone = ConstraintViolationError("The images of the earlier request are deleted.")
        if is_batch:
            images = await self.create_batch.batches.list_batch(guid)
            if not images:
                raise gone
            return images
        try:
            return [await self.create_batch.create_image.images.get(guid)]
        except RecordNotFoundError as exc:
            raise gone from exc


def _bought_nothing(images: Sequence[Image], claim: Claim) -> bool:
    place = images[0].batch
    if place is not None and len(images) < place.size:
        # Nothing is known of those that are deleted.
        return False
    errors = [image.generation_error for image in images]
    # A key stands for its answer, unless that invites the client to try again.
    return all(error and not error.maybe_billed and (claim.is_order or error.is_retryable) for error in errors)
