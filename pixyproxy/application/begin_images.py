"""Use case: begin the images of one request."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec

from pixyproxy.application.dispatcher import Dispatcher
from pixyproxy.application.generate_image import GenerateImage
from pixyproxy.application.partial_images import OnImagePartial, ignore_image_partial
from pixyproxy.domain.batch import BatchPlace
from pixyproxy.domain.capabilities import Capabilities
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    DBConnectionError,
    IdempotencyKeyReusedError,
    ImageDelayedError,
    OperationNotAllowedError,
    RecordNotFoundError,
)
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.idempotency import Claim, IdempotencyKey
from pixyproxy.domain.image import Image, Visibility
from pixyproxy.domain.ports import Clock, GuidSource, IdempotencyKeys
from pixyproxy.domain.sender import Sender
from pixyproxy.domain.user import Principal

RETRY_AFTER: Final = 5.0

# A cluster has another writer by then.
_LOST_SECONDS: Final = 5.0

Store = Callable[[], Awaitable[Sequence[Image]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginImages:
    """Store and queue the images of one request, all or none; `CreateImage` and `CreateBatch` share it.

    Takes pending images that `request` has made, the claim of their idempotency key, and `store`, which stores them
    with it; `on_partial` gets their partial images. The mask needs no transparency if `mask_may_be_opaque`. Returns the
    stored images, or None if another request with the key was faster, or the order to replace is gone. Raises
    `OverloadedError` when the queue is full, `DataValidationError` for more images than it can ever take and for what
    the model does not take, `DBConnectionError`, `ContentStoreError` when no image could be kept, `ImageDelayedError`
    when it is unknown whether they are stored, and what `FindPictures.ensure_usable` raises.
    """

    dispatcher: Dispatcher
    clock: Clock
    guids: GuidSource
    idempotency_keys: IdempotencyKeys | None
    claim_seconds: float

    async def __call__(
        self,
        images: Sequence[Image],
        claim: Claim | None,
        store: Store,
        on_partial: OnImagePartial = ignore_image_partial,
        *,
        mask_may_be_opaque: bool = False,
    ) -> Sequence[Image] | None:
        # Not before: a change of the models, or of what is stored, must not refuse a replay.
        self._capabilities.ensure_takes(images[0].request)
        await self._ensure_pictures(images[0], mask_may_be_opaque=mask_may_be_opaque)
        await self._generate_image.contents.check()
        async with self.dispatcher.reserved(images[0].author, len(images)):
            try:
                stored = await self._stored(store, claim)
            except DBConnectionError as exc:
                stored = await self._stored_all_the_same(images, exc)
            except ConstraintViolationError:
                if claim and await self.find(claim) != claim.replaces:
                    return None
                raise
        await self.dispatcher.begin(stored, on_partial)
        return stored

    def request(
        self,
        request: GenerationRequest,
        places: Sequence[BatchPlace | None],
        *,
        tags: Sequence[str],
        visibility: Visibility,
        principal: Principal,
        sender: Sender | None = None,
    ) -> Sequence[Image]:
        """Return a pending image for each place; raise `DataValidationError` for what no model takes."""
        model = self._capabilities.default if request.model is None else request.model
        at = self.clock.now()
        return [
            Image.requested(
                guid=self.guids.new(),
                request=request,
                tags=tags,
                visibility=visibility,
                principal=principal,
                model=model,
                at=at,
                batch=place,
                sender=sender,
            )
            for place in places
        ]

    def claim(self, image: Image, key: IdempotencyKey | None) -> Claim | None:
        """Return the claim of the key, if there is one, for the request of the image."""
        return None if key is None else Claim.on(image, key, self.claim_seconds)

    async def take_order(self, claim: Claim) -> Claim | None:
        """Return the claim of an earlier order of the same author that the order with `claim` repeats, or None.

        Strangers have no orders to repeat.
        """
        if claim.author is None:
            return None
        taken = await self._keys.take_order(claim.author, claim.fingerprint, claim.attempt)
        return None if taken is None else msgspec.structs.replace(claim, key=taken)

    async def find(self, claim: Claim) -> UUID | None:
        """Return the guid of the image or batch that the key was used for, or None.

        Raises `IdempotencyKeyReusedError` for a key of another request.
        """
        claimed = await self._keys.find_claim(claim.author, claim.key)
        if claimed is None and claim.plain_key is not None:
            plain = await self._keys.find_claim(claim.author, claim.plain_key)
            return plain.guid if plain and plain.fingerprint == claim.fingerprint else None
        if claimed is not None and claimed.fingerprint != claim.fingerprint:
            raise IdempotencyKeyReusedError("The idempotency key was used for another request.")
        return None if claimed is None else claimed.guid

    async def forget(self, claim: Claim, guid: UUID) -> None:
        """Free the key of a request that has bought nothing."""
        await self._keys.forget_claim(claim.author, claim.key, guid)

    async def _ensure_pictures(self, image: Image, *, mask_may_be_opaque: bool) -> None:
        if not image.request.pictures:
            return
        find_pictures = self._generate_image.find_pictures
        if find_pictures is None:
            raise OperationNotAllowedError("References are not supported here.")
        await find_pictures.ensure_usable(
            image.request, Principal(name=image.author), mask_may_be_opaque=mask_may_be_opaque
        )

    @property
    def _generate_image(self) -> GenerateImage:
        return self.dispatcher.generate_image

    @property
    def _capabilities(self) -> Capabilities:
        return self._generate_image.generator.capabilities()

    @property
    def _keys(self) -> IdempotencyKeys:
        if self.idempotency_keys is None:
            raise OperationNotAllowedError("Idempotency keys are not supported here.")
        return self.idempotency_keys

    async def _stored_all_the_same(self, images: Sequence[Image], error: DBConnectionError) -> Sequence[Image]:
        """Return the images if they are stored although the connection was lost; raise the error if not.

        If they are, a process will generate them, and the client must hear of them: raises `ImageDelayedError` if the
        database stays away.
        """
        clock = asyncio.get_running_loop().time
        policy = self._generate_image.policy
        ends_at = clock() + min(policy.patience, _LOST_SECONDS)
        while True:
            try:
                return [await self._generate_image.images.get(image.guid) for image in images]
            except RecordNotFoundError:
                raise error from None
            except DBConnectionError as exc:
                if clock() >= ends_at:
                    batch = images[0].batch
                    names: dict[str, UUID] = {"batch": batch.guid} if batch else {"guid": images[0].guid}
                    raise ImageDelayedError(
                        "It is unknown whether the request is in the queue: the database does not answer.",
                        retry_after=RETRY_AFTER,
                        **names,
                    ) from exc
            await asyncio.sleep(policy.pause)

    async def _stored(self, store: Store, claim: Claim | None) -> Sequence[Image]:
        try:
            return await store()
        except ConstraintViolationError:
            if claim is None or await self.find(claim):
                raise
            # The key has expired and has not been swept yet.
            await self._keys.forget_expired_claims()
        return await store()
