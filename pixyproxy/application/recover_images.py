"""Use case: recover abandoned images."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

from pixyproxy.application.generate_image import QUARANTINE_NOTE
from pixyproxy.application.generations import Generations
from pixyproxy.application.lease_watch import LeaseWatch
from pixyproxy.application.partial_images import PartialImages
from pixyproxy.domain.content import ContentInfo
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    ContentNotFoundError,
    ContentStoreError,
    DamagedContentError,
    DamagedRecordError,
    GenerationAbandonedError,
    GenerationError,
    GenerationFailedError,
    GenerationNotStartedError,
    RecordNotFoundError,
)
from pixyproxy.domain.image import LATE, Image, ImageStatus
from pixyproxy.domain.ports import (
    ClaimOutcome,
    Clock,
    ContentInspector,
    ContentStore,
    ImageGenerator,
    ImageLeases,
    ImageQueue,
    ImageRepository,
    Quarantine,
)

_LEASES_MAX_COUNT: Final = 10_000

# An image may be what its process dies of.
_MAX_ATTEMPTS: Final = 3

# Bytes that turn up late do so soon; the look at one costs a request to the content store.
_FIRST_LOOK_SECONDS: Final = 5.0
_LAST_LOOK_SECONDS: Final = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverImages:
    """Take every image whose lease is over out of the hands of its process.

    A pending image waits in the queue again. A generating one becomes ready if its bytes are there; else it waits in
    the queue again if its generator may repeat it at no cost, three times at most, and has failed or is unknown if not.
    Content that the inspector refuses stays in its place. An image with content only in quarantine has failed. Its
    partial images are deleted. An image that has waited for a day has failed.

    An image that became unknown during the last day is looked at again and again, less and less often, and made ready
    if its bytes have turned up. Returns how many images were recovered. Several processes may run this at once: each
    image is recovered by one. Images that this process is making, in `generations`, are left alone. `owner` is the name
    under which it holds leases. `on_ready` gets the guid of each image that became ready. Raises `DBConnectionError`,
    and `ContentStoreError` after all images whose bytes can be looked up; the rest is recovered later.
    """

    images: ImageRepository
    leases: ImageLeases
    queue: ImageQueue
    contents: ContentStore
    quarantine: Quarantine
    inspector: ContentInspector
    generator: ImageGenerator
    clock: Clock
    lease_watch: LeaseWatch = field(default_factory=LeaseWatch)
    owner: str = "pixyproxy"
    generations: Generations = field(default_factory=Generations)
    partials: PartialImages | None = None
    batch: int = 100
    on_ready: Callable[[UUID], None] = lambda _guid: None

    async def __call__(self) -> int:
        recovered = await self._find_unknown()
        unreadable: list[ContentStoreError] = []
        for lease in self.lease_watch.over(await self.leases.list_leases(limit=_LEASES_MAX_COUNT)):
            if lease.guid in self.generations or not await self.leases.take_over(lease, self.owner):
                continue
            try:
                recovered += await self._recover(lease.guid)
            except ContentStoreError as exc:
                unreadable.append(exc)
        recovered += await self._fail_overdue()
        for error in unreadable:
            raise error
        return recovered

    async def _recover(self, guid: UUID) -> bool:
        """Recover an image on which this process has the lease now; its end is not to be waited for by others."""
        try:
            image = await self.images.get(guid)
        except (RecordNotFoundError, DamagedRecordError):
            return False
        if image.status is ImageStatus.PENDING:
            await self.leases.give_back(guid, self.owner)
            return True
        return await self._store(await self._ended(image), image)

    async def _store(self, ended: Image, image: Image) -> bool:
        try:
            await self.leases.update_leased(ended, expected=image.status, owner=self.owner)
        except (ConstraintViolationError, RecordNotFoundError):
            # Its process was only slow.
            return False
        await self._delete_partials(image)
        if ended.status is ImageStatus.READY:
            self.on_ready(ended.guid)
        return True

    async def _fail_overdue(self) -> int:
        """Fail what waits in a queue that is not worked off, or comes from an old back-up."""
        before = self.clock.now() - LATE
        failed = 0
        for guid in await self.queue.list_overdue(before=before, limit=self.batch):
            if await self.queue.claim(guid, owner=self.owner) is ClaimOutcome.CLAIMED:
                with suppress(RecordNotFoundError, DamagedRecordError):
                    image = await self.images.get(guid)
                    waited = GenerationNotStartedError(
                        "It was not the image's turn for a day; nothing was bought.", maybe_billed=False
                    )
                    failed += await self._store(image.failed(waited, at=self.clock.now()), image)
        return failed

    async def _find_unknown(self) -> int:
        found = 0
        now = self.clock.now()
        for image in await self.leases.list_unknown(since=now - LATE, limit=self.batch):
            if not await self.leases.put_off(image.guid, seconds=_seconds_to_next_look(now - image.updated_at)):
                continue
            with suppress(ContentStoreError, ConstraintViolationError, RecordNotFoundError):
                ready = image.completed(await self._content(image), at=self.clock.now())
                await self.images.update(ready, expected=image.status)
                await self._delete_partials(image)
                self.on_ready(image.guid)
                found += 1
        return found

    async def _delete_partials(self, image: Image) -> None:
        if self.partials is not None:
            # The consistency check finds what is left.
            with suppress(ContentStoreError):
                await self.partials.delete(image)

    async def _content(self, image: Image) -> ContentInfo:
        return await self.inspector.inspect(await self.contents.open(image.content_key))

    async def _ended(self, image: Image) -> Image:
        try:
            content = await self._content(image)
        except ContentNotFoundError:
            if self._is_repeatable(image):
                return image.requeued(at=self.clock.now())
            return image.failed(await self._reason(image), at=self.clock.now())
        except DamagedContentError:
            # Its process may return and show it, so it must not be moved.
            damaged = GenerationAbandonedError(
                "PixyProxy ended before the image was ready, and what came back is no picture that can be shown. "
                "It is kept.",
                maybe_billed=True,
            )
            return image.failed(damaged, at=self.clock.now())
        return image.completed(content, at=self.clock.now())

    def _is_repeatable(self, image: Image) -> bool:
        models = [model.id for model in self.generator.capabilities().models]
        # Each attempt makes two versions.
        is_fresh = image.version < 2 * _MAX_ATTEMPTS
        # Another generator, which is not free, may have begun it with other settings.
        return self.generator.is_repeatable and image.model in models and is_fresh

    async def _reason(self, image: Image) -> GenerationError:
        """Return why a generated image has no content."""
        if await self.quarantine.list_quarantine(image.content_key):
            reason = f"The generator answered with something that is no picture. {QUARANTINE_NOTE}"
            return GenerationFailedError(reason, maybe_billed=True)
        return GenerationAbandonedError(
            "PixyProxy ended during the generation; it is unknown whether the image was drawn and billed.",
            maybe_billed=True,
        )


def _seconds_to_next_look(age: timedelta) -> float:
    """Return the age of an unknown image again, so that the looks become rarer."""
    return min(max(age.total_seconds(), _FIRST_LOOK_SECONDS), _LAST_LOOK_SECONDS)
