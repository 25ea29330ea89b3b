"""Use case: generate an image and keep it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import msgspec

from pixyproxy.application.admission import Admission, Place
from pixyproxy.application.generate_image import GenerateImage, GenerationPolicy
from pixyproxy.application.generations import Generations
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    DBConnectionError,
    GenerationFailedError,
    GenerationNotStartedError,
    IdempotencyKeyInUseError,
    IdempotencyKeyReusedError,
    ImageDelayedError,
    OperationNotAllowedError,
    RecordNotFoundError,
)
from pixyproxy.domain.idempotency import Claim, ClaimedImage, IdempotencyKey
from pixyproxy.domain.image import Image, Visibility
from pixyproxy.domain.ports import (
    Clock,
    ContentStore,
    GuidSource,
    IdempotencyKeys,
    ImageGenerator,
    ImageLeases,
    ImageRepository,
    Quarantine,
)
from pixyproxy.domain.user import Principal

RETRY_AFTER = 5.0


class ImageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What has become of a request: its image as it is by now, and whether an earlier request had asked for it."""

    image: Image
    is_replay: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateImage:
    """Write down what is about to be bought, generate it, store the content, and only then show the image.

    Takes the prompt and tags as the client wrote them and returns the ready image. The generation goes on when the
    caller is cancelled. With an `idempotency_key` that the author has used before, nothing is bought: the image or the
    error of that time is returned or raised again.

    Raises `DataValidationError` for bad input, `OverloadedError` when too many wait already, `DBConnectionError` when
    nothing was begun, a `GenerationError` when no image came out, `ImageDelayedError` when it is not there yet after
    `max_wait` seconds, `IdempotencyKeyReusedError` for a key of another request and `IdempotencyKeyInUseError` for one
    whose image is not there yet. A failed image stays as a record with the reason; it is never shown.

    `claim_seconds` is how long a key is remembered. Three ports are optional. Without `leases` no other process may run
    `RecoverImages`, without `idempotency_keys` a key raises `OperationNotAllowedError`, and without a `quarantine` the
    bytes of a paid failure are lost.
    """

    images: ImageRepository
    contents: ContentStore
    generator: ImageGenerator
    clock: Clock
    guids: GuidSource
    leases: ImageLeases | None = None
    idempotency_keys: IdempotencyKeys | None = None
    quarantine: Quarantine | None = None
    admission: Admission = field(default_factory=Admission)
    generations: Generations = field(default_factory=Generations)
    policy: GenerationPolicy = field(default_factory=GenerationPolicy)
    max_wait: float = 300.0
    claim_seconds: float = 86_400.0

    async def __call__(
        self,
        *,
        prompt: str,
        tags: Sequence[str] = (),
        visibility: Visibility = Visibility.PUBLIC,
        principal: Principal,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Image:
        request = await self.request(
            prompt=prompt, tags=tags, visibility=visibility, principal=principal, idempotency_key=idempotency_key
        )
        return request.image

    async def request(
        self,
        *,
        prompt: str,
        tags: Sequence[str] = (),
        visibility: Visibility = Visibility.PUBLIC,
        principal: Principal,
        idempotency_key: IdempotencyKey | None = None,
        wait: float | None = None,
    ) -> ImageRequest:
        """Do the same, but wait for `wait` seconds at most and then return the image in the state that it is in."""
        image = Image.requested(
            guid=self.guids.new(),
            prompt=prompt,
            tags=tags,
            visibility=visibility,
            principal=principal,
            model=self.generator.model,
            at=self.clock.now(),
        )
        claim = None if idempotency_key is None else Claim.on(image, idempotency_key)
        while claim is None or (replay := await self._replay(claim, wait)) is None:
            place = self.admission.enter(image.author)
            try:
                image = await self._write_down(image, claim)
            except BaseException as exc:
                place.leave()
                if isinstance(exc, ConstraintViolationError) and claim and await self._find(claim):
                    # Another request with the key was faster.
                    continue
                raise
            self.generations.start(image.guid, self._generate(image, place))
            return await self._await(image, wait)
        return replay

    @property
    def _keys(self) -> IdempotencyKeys:
        if self.idempotency_keys is None:
            raise OperationNotAllowedError("Idempotency keys are not supported here.")
        return self.idempotency_keys

    async def _find(self, claim: Claim) -> ClaimedImage | None:
        return await self._keys.find_claim(claim.author, claim.key)

    async def _write_down(self, image: Image, claim: Claim | None) -> Image:
        try:
            return await self._add(image, claim)
        except ConstraintViolationError:
            if claim is None or await self._find(claim):
                raise
            # The key's time is over, and nobody has swept it yet.
            await self._keys.forget_expired_claims()
        return await self._add(image, claim)

    async def _add(self, image: Image, claim: Claim | None) -> Image:
        lease = self.policy.lease if self.leases is not None else None
        return await self.images.add(image, lease=lease, claim=claim, claim_seconds=self.claim_seconds)

    async def _generate(self, image: Image, place: Place) -> Image:
        generate_image = GenerateImage(
            images=self.images,
            contents=self.contents,
            generator=self.generator,
            clock=self.clock,
            leases=self.leases,
            quarantine=self.quarantine,
            policy=self.policy,
        )
        try:
            async with generate_image.lease_kept(image):
                try:
                    await place.turn()
                except GenerationNotStartedError as exc:
                    await generate_image.give_up(image, exc)
                return await generate_image(image)
        finally:
            place.leave()

    async def _await(self, image: Image, wait: float | None) -> ImageRequest:
        ready = await self.generations.result(image.guid, self._seconds(wait))
        if ready is not None:
            return ImageRequest(image=ready)
        if wait is None:
            raise ImageDelayedError("The image is still being made.", guid=image.guid, retry_after=RETRY_AFTER)
        try:
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
        return ImageRequest(image=image)

    def _seconds(self, wait: float | None) -> float:
        return self.max_wait if wait is None else min(wait, self.max_wait)

    async def _replay(self, claim: Claim, wait: float | None) -> ImageRequest | None:
        """Give the answer that the first request with the key got, as soon as there is one; None if it bought nothing.

        A request that was turned away before its generation began has not used the key up.
        """
        claimed = await self._find(claim)
        if claimed is None:
            return None
        if claimed.fingerprint != claim.fingerprint:
            raise IdempotencyKeyReusedError("The idempotency key was used for another prompt, tags or visibility.")
        image = await self._followed(claimed.guid, wait)
        error = image.generation_error
        if isinstance(error, GenerationNotStartedError):
            await self._keys.forget_claim(claim.author, claim.key, image.guid)
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
        return ImageRequest(image=image, is_replay=True)

    async def _followed(self, guid: UUID, wait: float | None) -> Image:
        try:
            *_, image = [image async for image in self.generations.follow(self.images, guid, self._seconds(wait))]
        except RecordNotFoundError as exc:
            raise ConstraintViolationError("The image that this idempotency key was used for is gone.") from exc
        except DBConnectionError as exc:
            raise ImageDelayedError(
                "An earlier request with this key has begun the image, and the database does not answer now.",
                guid=guid,
                retry_after=RETRY_AFTER,
            ) from exc
        return image
