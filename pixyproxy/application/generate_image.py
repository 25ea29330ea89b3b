"""Use case: take an image that was asked for through its life."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, NoReturn, TypeVar

import msgspec

from pixyproxy.domain.content import ContentInfo, MediaType
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    ContentNotKeptError,
    ContentStoreError,
    DamagedRecordError,
    DBConnectionError,
    GenerationError,
    GenerationFaultError,
    GenerationNotStartedError,
    ImageDelayedError,
    PixyProxyException,
    RecordNotFoundError,
)
from pixyproxy.domain.failure import FAILURE_MAX_LENGTH
from pixyproxy.domain.image import Image, ImageStatus
from pixyproxy.domain.ports import (
    Clock,
    ContentDigest,
    ContentStore,
    GeneratedImage,
    ImageGenerator,
    ImageLeases,
    ImageRepository,
    Lease,
    Quarantine,
)

T = TypeVar("T")

KEPT: Final = "What came back is kept in quarantine."
"""What the reason of a failure ends with when there is something in quarantine."""


class GenerationPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How long what takes; all in seconds.

    `lease` is what each image that is being made is held with. `patience` is how long a database or a content store
    that fails when the image is there already is tried again.
    """

    lease: Lease = Lease(owner="pixyproxy", seconds=15.0)
    patience: float = 20.0
    pause: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateImage:
    """Buy an image that is pending, store its bytes, and only then show it; the life cycle is drawn at `ImageStatus`.

    Takes the stored image and returns it when it is ready. Raises a `GenerationError` when it failed, which is recorded
    if the database answers, and `ImageDelayedError` when the bytes are safe and the database does not come back soon
    enough: then the image is recovered later. What a generator was paid for and can't be shown is put into quarantine
    before the failure is recorded. `leases` and `quarantine` are optional, as they are for `CreateImage`.
    """

    images: ImageRepository
    contents: ContentStore
    generator: ImageGenerator
    clock: Clock
    leases: ImageLeases | None = None
    quarantine: Quarantine | None = None
    policy: GenerationPolicy = field(default_factory=GenerationPolicy)

    async def __call__(self, image: Image) -> Image:
        try:
            # What can't be kept must not be bought.
            await self.contents.check()
        except ContentStoreError as exc:
            await self.give_up(image, ContentNotKeptError(exc.detail, maybe_billed=False), cause=exc)
        generating = image.started(at=self.clock.now())
        try:
            await self.images.update(generating, expected=image.status)
        except (DBConnectionError, ConstraintViolationError, RecordNotFoundError) as exc:
            reason = "What is about to be bought could not be written down."
            await self.give_up(image, GenerationNotStartedError(reason, maybe_billed=False), cause=exc)
        try:
            generated = await self.generator.generate(generating.prompt)
        except GenerationError as exc:
            await self.give_up(generating, exc)
        except Exception as exc:  # noqa: BLE001 -- it is recorded and raised again
            await self.give_up(generating, _fault(), cause=exc)
        try:
            generated = _checked(generated)
            digest = await self._keep(generating, generated)
            ready = self._completed(generating, generated, digest)
        except ContentNotKeptError as exc:
            await self.give_up(generating, exc, patience=0)
        except Exception as exc:  # noqa: BLE001 -- it is recorded and raised again
            await self.give_up(generating, _fault(generated), cause=exc)
        try:
            return await self._record(ready, before=generating)
        except (ConstraintViolationError, RecordNotFoundError, DamagedRecordError) as exc:
            reason = "The image was bought, and its record is gone or not what it was."
            await self.give_up(generating, GenerationFaultError(reason, maybe_billed=True), cause=exc)

    @asynccontextmanager
    async def lease_kept(self, image: Image) -> AsyncIterator[None]:
        """Renew the lease of an image for as long as the block runs."""
        renewing = asyncio.create_task(self._renew_lease(image))
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])

    async def give_up(
        self, image: Image, error: GenerationError, *, cause: Exception | None = None, patience: float | None = None
    ) -> NoReturn:
        """Quarantine what came back, record why there is no image, as far as that can be done, and raise it.

        A content store that fails is tried again for `patience` seconds, those of the policy by default.
        """
        if error.quarantine and self.quarantine is not None:
            await self._keep_aside(
                image, error, error.quarantine, self.policy.patience if patience is None else patience, self.quarantine
            )
        await self._record_failure(image, error)
        error.guid = image.guid
        # The error and the frames of its traceback hold each other until the garbage collector comes.
        error.quarantine = None
        # The client must hear why the generation failed, also when that can't be recorded.
        raise error from cause or error.__cause__

    async def _record(self, final: Image, *, before: Image) -> Image:
        """Store the final state of an image that was stored as `before`, trying again while the database is away.

        Returns what is stored then: somebody else may have recovered the image meanwhile. Raises `ImageDelayedError`
        when the database stays away, and `ConstraintViolationError` when the image has come to another end.
        """
        clock = asyncio.get_running_loop().time
        ends_at = clock() + self.policy.patience
        while True:
            try:
                return await self._store(final, expected=before.status)
            except DBConnectionError as exc:
                if clock() >= ends_at:
                    raise ImageDelayedError(
                        "The image may be there, but the database does not answer; it will be shown when it does.",
                        guid=final.guid,
                        retry_after=self.policy.lease.seconds,
                    ) from exc
            await asyncio.sleep(self.policy.pause)

    async def _store(self, final: Image, *, expected: ImageStatus) -> Image:
        try:
            await self.images.update(final, expected=expected)
        except ConstraintViolationError:
            stored = await self.images.get(final.guid)
            if stored.status is final.status:
                return stored
            if stored.status is expected or not stored.status.may_become(final.status):
                raise
            await self._store(final, expected=stored.status)
            # What somebody else has changed stays.
            return await self.images.get(final.guid)
        return final

    async def _keep(self, image: Image, generated: GeneratedImage) -> ContentDigest:
        """Store the bytes, trying again while the content store fails: they are paid for."""
        try:
            return await self._try_to_store(
                lambda: self.contents.put(image.content_key, generated.chunks()), self.policy.patience
            )
        except ContentStoreError as exc:
            raise ContentNotKeptError(
                exc.detail, maybe_billed=True, request_id=generated.request_id, quarantine=generated.data
            ) from exc

    async def _keep_aside(
        self, image: Image, error: GenerationError, data: bytes | bytearray, patience: float, quarantine: Quarantine
    ) -> None:
        """Put `data` into quarantine, and say in the error's detail whether it is there."""
        try:
            await self._try_to_store(lambda: quarantine.put_quarantined(image.content_key, _chunks(data)), patience)
            outcome = KEPT
        except ContentStoreError as exc:
            outcome = f"What came back could not be kept: {exc.detail}"
        except Exception:  # noqa: BLE001 -- the failure must be recorded all the same
            outcome = "What came back could not be kept."
        if outcome == KEPT or not isinstance(error, ContentNotKeptError):
            error.detail = f"{error.detail[: FAILURE_MAX_LENGTH - len(outcome) - 1]} {outcome}"

    async def _try_to_store(self, store: Callable[[], Awaitable[ContentDigest]], patience: float) -> ContentDigest:
        """Call `store`, again for `patience` seconds while it fails; raise the last `ContentStoreError`."""
        clock = asyncio.get_running_loop().time
        ends_at = clock() + patience
        while True:
            try:
                return await _finished(store(), self.policy.patience)
            except ContentStoreError:
                if clock() >= ends_at:
                    raise
            await asyncio.sleep(self.policy.pause)

    def _completed(self, image: Image, generated: GeneratedImage, digest: ContentDigest) -> Image:
        content = ContentInfo(
            media_type=generated.media_type,
            byte_size=digest.byte_size,
            sha256=digest.sha256,
            width=generated.width,
            height=generated.height,
        )
        return image.completed(content, generated.usage, generated.request_id, at=self.clock.now())

    async def _record_failure(self, image: Image, error: GenerationError) -> None:
        with suppress(PixyProxyException):
            await self._record(image.failed(error, at=self.clock.now()), before=image)

    async def _renew_lease(self, image: Image) -> None:
        while self.leases is not None:
            await asyncio.sleep(self.policy.lease.seconds / 3)
            # Whatever goes wrong, the next time is soon.
            with suppress(Exception):
                async with asyncio.timeout(self.policy.lease.seconds / 3):
                    await self.leases.renew(image.guid, self.policy.lease)


def _fault(generated: GeneratedImage | None = None) -> GenerationFaultError:
    """Return the error for a generator, or a store, that does not keep to its port."""
    data = getattr(generated, "data", generated)
    return GenerationFaultError(
        "Something unexpected went wrong while the image was being made.",
        maybe_billed=True,
        quarantine=bytes(data) if isinstance(data, bytes | bytearray | memoryview) else None,
    )


def _checked(generated: GeneratedImage) -> GeneratedImage:
    """Return what a generator has returned; raise an error for what is no picture on the face of it."""
    if not generated.data or min(generated.width, generated.height) < 1:
        raise ValueError("The generator has returned a picture without bytes or without pixels.")
    return msgspec.structs.replace(generated, media_type=MediaType(generated.media_type))


async def _chunks(data: bytes | bytearray) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1 << 20):
        yield bytes(data[start : start + (1 << 20)])


async def _finished(storing: Awaitable[T], seconds: float) -> T:
    """Return what `storing` does; when cancelled, give it so many seconds to end: the bytes are paid for."""
    task = asyncio.ensure_future(storing)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=seconds)
        task.cancel()
        raise
