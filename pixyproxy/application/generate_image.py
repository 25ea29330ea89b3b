"""Use case: generate a recorded image."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, TypeVar
from uuid import UUID

import msgspec

from pixyproxy.application.find_pictures import FindPictures
from pixyproxy.application.partial_images import OnImagePartial, PartialImages, ignore_image_partial
from pixyproxy.domain.content import ContentInfo, MediaType
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    ContentNotKeptError,
    ContentStoreError,
    DamagedRecordError,
    DataValidationError,
    DBConnectionError,
    GenerationError,
    GenerationFaultError,
    GenerationNotStartedError,
    ImageDelayedError,
    PixyProxyException,
    RecordNotFoundError,
)
from pixyproxy.domain.failure import FAILURE_MAX_LENGTH
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageStatus
from pixyproxy.domain.ports import (
    NO_PICTURES,
    Clock,
    ContentDigest,
    ContentStore,
    GeneratedImage,
    ImageGenerator,
    ImageLeases,
    ImageRepository,
    InputPictures,
    OnPartial,
    Quarantine,
    chunks_of,
    ignore_partial,
)
from pixyproxy.domain.user import Principal

T = TypeVar("T")

QUARANTINE_NOTE: Final = "What came back is kept in quarantine."
"""The last sentence of a failure's detail if bytes were quarantined."""


class ImageHandedOverError(Exception):
    """This process no longer makes the image: it waits in the queue again, or another process has taken it over.

    `retry_after` is in how many seconds this process may try again, if a part that it needs has failed: for this image
    alone with `is_of_image`, or for all.
    """

    def __init__(self, retry_after: float = 0.0, *, is_of_image: bool = False) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after
        self.is_of_image = is_of_image


class GenerationPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The name under which a process holds leases, which is unique for each of its starts, and times in seconds.

    A lease is renewed three times in `lease_seconds`, and over when it was not renewed for that long. A database or a
    content store that fails after the image was bought is retried every `pause` for `patience`.
    """

    owner: str = "pixyproxy"
    lease_seconds: float = 15.0
    patience: float = 20.0
    pause: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateImage:
    """Buy a pending image, store its bytes, and only then show it; `ImageStatus` draws the life cycle.

    Takes the stored image, on which this process holds the lease, and returns it when it is ready. Raises a
    `GenerationError` when the image failed, after recording it if the database answers, and `ImageDelayedError` when
    the bytes are safe and the database stays away: the image is recovered later. Content that was paid for and can't be
    shown is quarantined before the failure is recorded. `on_partial` gets each partial image that was stored. Raises
    `ImageHandedOverError` when another process has taken the image over, and after putting it back into the queue
    because the references can't be read, or nothing can be stored or recorded: an image in the queue is not given up.
    `on_ready` gets the guid of each image that is ready.

    Four parts are optional. Without `leases` there is no queue to put an image back into, and no other process may run
    `RecoverImages`; without a `quarantine` the bytes of a paid failure are lost, without `partials` no partial images
    are kept, and without `find_pictures` requests with references are refused.
    """

    images: ImageRepository
    contents: ContentStore
    generator: ImageGenerator
    clock: Clock
    leases: ImageLeases | None = None
    quarantine: Quarantine | None = None
    partials: PartialImages | None = None
    find_pictures: FindPictures | None = None
    policy: GenerationPolicy = field(default_factory=GenerationPolicy)
    on_ready: Callable[[UUID], None] = lambda _guid: None

    async def __call__(self, image: Image, on_partial: OnImagePartial = ignore_image_partial) -> Image:
        try:
            async with self._partials_kept(image, on_partial) as keep, self._lease_kept(image):
                return await self._make(image, keep)
        except asyncio.CancelledError:
            # Another process need not wait for the end of the lease.
            await self.give_back(image.guid)
            raise

    async def refuse(self, image: Image, error: GenerationNotStartedError) -> Image:
        """Fail a pending image that will not be generated, and raise the error."""
        await self._give_up(image, error)
        raise error

    async def _make(self, image: Image, on_partial: OnPartial) -> Image:
        try:
            request = self._request(image)
            pictures = await self._pictures(image)
            image = await self._start(image)
            generated = await self._generate(request, pictures, on_partial)
            ready = await self._show(await self._store(generated, image), before=image)
        except GenerationError as exc:
            await self._give_up(image, exc)
            # The client must hear why, even if the failure could not be recorded.
            raise
        self.on_ready(ready.guid)
        return ready

    def _request(self, image: Image) -> GenerationRequest:
        """Return the request for the model that the image was promised, whatever the default is by now."""
        capabilities = self.generator.capabilities()
        request = image.request
        if image.model != (capabilities.default if request.model is None else request.model):
            request = msgspec.structs.replace(request, model=image.model)
        try:
            capabilities.ensure_takes(request)
        except DataValidationError as exc:
            reason = f"The request can't be met any more: {exc.field} {exc.detail}. Nothing was bought."
            raise GenerationNotStartedError(reason, maybe_billed=False) from exc
        return request

    async def _pictures(self, image: Image) -> InputPictures:
        if not image.request.pictures or self.find_pictures is None:
            return NO_PICTURES
        try:
            return await self.find_pictures(image.request, Principal(name=image.author))
        except (ContentStoreError, DBConnectionError) as exc:
            await self._hand_over(image, self.policy.lease_seconds / 3, is_of_image=True)
            reason = "The references could not be read; nothing was bought."
            raise GenerationNotStartedError(reason, maybe_billed=False) from exc

    async def _start(self, image: Image) -> Image:
        """Record that the image is about to be bought; don't buy what can't be stored or recorded."""
        try:
            await self.contents.check_writing()
        except ContentStoreError as exc:
            await self._hand_over(image, self.policy.lease_seconds / 3)
            raise ContentNotKeptError(exc.detail, maybe_billed=False) from exc
        generating = image.started(at=self.clock.now())
        try:
            # An image in the queue is not given up, and while the database is away no one else can have it.
            patience = None if self.leases is None else math.inf
            await self._retried(lambda: self._record_start(generating, before=image), DBConnectionError, patience)
        except (DBConnectionError, ConstraintViolationError, RecordNotFoundError) as exc:
            await self._hand_over(image, 0)
            reason = "The purchase could not be recorded beforehand; nothing was bought."
            raise GenerationNotStartedError(reason, maybe_billed=False) from exc
        return generating

    async def _record_start(self, generating: Image, *, before: Image) -> None:
        if self.leases is None:
            await self.images.update(generating, expected=before.status)
            return
        try:
            await self.leases.update_leased(generating, expected=before.status, owner=self.policy.owner)
        except ConstraintViolationError:
            # An earlier attempt may have taken effect although its connection was lost.
            stored = await self.images.get(generating.guid)
            if stored.status is not generating.status or not await self.leases.renew(stored.guid, self.policy.owner):
                raise

    async def _hand_over(self, image: Image, retry_after: float, *, is_of_image: bool = False) -> None:
        """Give up the lease and raise `ImageHandedOverError`; do nothing if there are no leases."""
        if self.leases is not None:
            await self.give_back(image.guid)
            raise ImageHandedOverError(retry_after, is_of_image=is_of_image)

    async def give_back(self, guid: UUID) -> None:
        """Give up the lease on an image, as far as that can be done: a pending one waits in the queue again."""
        if self.leases is None:
            return
        # If that fails, the lease ends because it is not renewed.
        with suppress(Exception):
            async with asyncio.timeout(self.policy.lease_seconds / 3):
                await self.leases.give_back(guid, self.policy.owner)

    async def _generate(
        self, request: GenerationRequest, pictures: InputPictures, on_partial: OnPartial
    ) -> GeneratedImage:
        try:
            return await self.generator.generate(request, pictures=pictures, on_partial=on_partial)
        except GenerationError:
            raise
        except Exception as exc:
            raise _fault() from exc

    async def _store(self, generated: GeneratedImage, image: Image) -> Image:
        """Store the bytes and return the image as ready, which is not recorded yet."""
        try:
            media_type = _checked_media_type(generated)
            digest = await self._put(lambda: self.contents.put(image.content_key, chunks_of(generated.data)))
            content = ContentInfo(
                media_type=media_type,
                byte_size=digest.byte_size,
                sha256=digest.sha256,
                width=generated.width,
                height=generated.height,
            )
            return image.completed(
                content, generated.usage, generated.request_id, generated.result, at=self.clock.now()
            )
        except ContentStoreError as exc:
            raise ContentNotKeptError(
                exc.detail, maybe_billed=True, request_id=generated.request_id, quarantine=generated.data
            ) from exc
        except Exception as exc:
            raise _fault(generated) from exc

    async def _show(self, ready: Image, *, before: Image) -> Image:
        try:
            return await self._record(ready, before=before)
        except (ConstraintViolationError, RecordNotFoundError, DamagedRecordError) as exc:
            reason = "The image was bought, but its record is gone or was changed."
            raise GenerationFaultError(reason, maybe_billed=True) from exc

    async def _give_up(self, image: Image, error: GenerationError) -> None:
        """Quarantine what came back and record the failure, as far as that can be done."""
        if error.quarantine and self.quarantine is not None:
            await self._quarantine(image, error, error.quarantine, self.quarantine)
        with suppress(PixyProxyException):
            await self._record(image.failed(error, at=self.clock.now()), before=image)
        error.guid = image.guid
        # The bytes must not live as long as the error.
        error.quarantine = None

    async def _quarantine(
        self, image: Image, error: GenerationError, data: bytes | bytearray, quarantine: Quarantine
    ) -> None:
        """Put `data` into quarantine, and note in the error's detail whether it is there."""
        # A store that did not keep the image was retried already.
        patience = 0 if isinstance(error, ContentNotKeptError) else self.policy.patience
        try:
            await self._put(lambda: quarantine.put_quarantined(image.content_key, chunks_of(data)), patience)
            note = QUARANTINE_NOTE
        except ContentStoreError as exc:
            note = f"What came back could not be kept: {exc.detail}"
        except Exception:  # noqa: BLE001 -- the failure must be recorded all the same
            note = "What came back could not be kept."
        if note == QUARANTINE_NOTE or not isinstance(error, ContentNotKeptError):
            error.detail = f"{error.detail[: FAILURE_MAX_LENGTH - len(note) - 1]} {note}"

    async def _put(self, put: Callable[[], Awaitable[ContentDigest]], patience: float | None = None) -> ContentDigest:
        """Call `put`, again while the content store fails; a cancelled call may end: the bytes are paid for."""
        return await self._retried(lambda: _finished(put(), self.policy.patience), ContentStoreError, patience)

    async def _record(self, final: Image, *, before: Image) -> Image:
        """Store the final state of an image that was stored as `before`, and return what is stored then.

        Another process may have recovered the image meanwhile. Raises `ImageDelayedError` when the database stays away,
        and `ConstraintViolationError` when the image has come to another end.
        """
        try:
            return await self._retried(lambda: self._update(final, expected=before.status), DBConnectionError)
        except DBConnectionError as exc:
            raise ImageDelayedError(
                "The image may be there, but the database does not answer; it will be shown when it does.",
                guid=final.guid,
                retry_after=self.policy.lease_seconds,
            ) from exc

    async def _update(self, final: Image, *, expected: ImageStatus) -> Image:
        try:
            if self.leases is None or final.status is ImageStatus.READY or expected.is_final:
                await self.images.update(final, expected=expected)
            else:
                # Another process that has taken the image over may be making it now.
                await self.leases.update_leased(final, expected=expected, owner=self.policy.owner)
        except ConstraintViolationError:
            stored = await self.images.get(final.guid)
            if stored.status is final.status:
                return stored
            is_given_up = final.status is not ImageStatus.READY and not stored.status.is_final
            if stored.status is expected or is_given_up or not stored.status.may_become(final.status):
                raise
            await self._update(final, expected=stored.status)
            # The other process may have changed more than the status.
            return await self.images.get(final.guid)
        return final

    async def _retried(
        self, call: Callable[[], Awaitable[T]], transient: type[Exception], patience: float | None = None
    ) -> T:
        """Return what `call` does; on a `transient` error call again for `patience` seconds, then raise the last."""
        clock = asyncio.get_running_loop().time
        ends_at = clock() + (self.policy.patience if patience is None else patience)
        while True:
            try:
                return await call()
            except transient:
                if clock() >= ends_at:
                    raise
            await asyncio.sleep(self.policy.pause)

    @asynccontextmanager
    async def _partials_kept(self, image: Image, listener: OnImagePartial) -> AsyncIterator[OnPartial]:
        if self.partials is None:
            yield ignore_partial
            return
        async with self.partials.kept(image, listener) as keep:
            yield keep

    @asynccontextmanager
    async def _lease_kept(self, image: Image) -> AsyncIterator[None]:
        """Renew the lease of an image for as long as the block runs."""
        renewing = asyncio.create_task(self._renew_lease(image))
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])

    async def _renew_lease(self, image: Image) -> None:
        pause = self.policy.lease_seconds / 3
        while self.leases is not None:
            await asyncio.sleep(pause)
            # Whatever goes wrong, the next time is soon.
            pause = self.policy.lease_seconds / 15
            with suppress(Exception):
                async with asyncio.timeout(self.policy.lease_seconds / 3):
                    await self.leases.renew(image.guid, self.policy.owner)
                    pause = self.policy.lease_seconds / 3


def _fault(generated: GeneratedImage | None = None) -> GenerationFaultError:
    """Return the error for a generator, or a store, that does not keep to its port."""
    data = getattr(generated, "data", generated)
    return GenerationFaultError(
        "Something unexpected went wrong while the image was being made.",
        maybe_billed=True,
        quarantine=bytes(data) if isinstance(data, bytes | bytearray | memoryview) else None,
    )


def _checked_media_type(generated: GeneratedImage) -> MediaType:
    """Return the picture's media type; raise an error unless it has bytes, pixels and a known type."""
    if not generated.data or min(generated.width, generated.height) < 1:
        raise ValueError("The generator has returned a picture without bytes or without pixels.")
    return MediaType(generated.media_type)


async def _finished(storing: Awaitable[T], seconds: float) -> T:
    """Return what `storing` does; when cancelled, give it `seconds` to end."""
    task = asyncio.ensure_future(storing)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=seconds)
        task.cancel()
        raise
