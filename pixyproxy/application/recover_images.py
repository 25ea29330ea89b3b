"""Use case: recover abandoned images."""

from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

from pixyproxy.application.generate_image import QUARANTINE_NOTE
from pixyproxy.application.generations import Generations
from pixyproxy.application.partial_images import PartialImages
from pixyproxy.domain.content import ContentInfo
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    ContentNotFoundError,
    ContentStoreError,
    DamagedContentError,
    GenerationAbandonedError,
    GenerationError,
    GenerationFailedError,
    GenerationNotStartedError,
    RecordNotFoundError,
)
from pixyproxy.domain.image import LATE, Image, ImageStatus
from pixyproxy.domain.ports import Clock, ContentInspector, ContentStore, ImageLeases, ImageRepository, Quarantine


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverImages:
    """Take every image whose lease has ended to a final state: ready if its bytes are there, else failed or unknown.

    Content that the inspector refuses stays in its place. An image with content only in quarantine has failed. Its
    partial images are deleted.

    An image that became unknown during the last day is made ready if its bytes have turned up. Returns how many images
    were recovered. Several processes may run this at once: each image ends once. Images that this process is making, in
    `generations`, are left alone. Raises `DBConnectionError`, and `ContentStoreError` after all images whose bytes can
    be looked up; the next run recovers the rest.
    """

    images: ImageRepository
    leases: ImageLeases
    contents: ContentStore
    quarantine: Quarantine
    inspector: ContentInspector
    clock: Clock
    generations: Generations = field(default_factory=Generations)
    partials: PartialImages | None = None
    batch: int = 100

    async def __call__(self) -> int:
        recovered = 0
        unreadable: dict[UUID, ContentStoreError] = {}
        while True:
            ignored = len(self.generations) + len(unreadable)
            abandoned = await self.leases.list_abandoned(limit=self.batch + ignored)
            todo = [image for image in abandoned if image.guid not in self.generations and image.guid not in unreadable]
            if not todo:
                break
            for image in todo:
                try:
                    recovered += await self._store(await self._ended(image), image)
                except ContentStoreError as exc:
                    unreadable[image.guid] = exc
        for image in await self.leases.list_unknown(since=self.clock.now() - LATE, limit=self.batch):
            with suppress(ContentStoreError):
                ready = image.completed(await self._content(image), at=self.clock.now())
                recovered += await self._store(ready, image)
        for error in unreadable.values():
            raise error
        return recovered

    async def _store(self, ended: Image, image: Image) -> int:
        try:
            await self.leases.update_abandoned(ended, expected=image.status)
        except (ConstraintViolationError, RecordNotFoundError):
            # Another process was faster, or is still generating it.
            return 0
        if self.partials is not None:
            # The consistency check finds what is left.
            with suppress(ContentStoreError):
                await self.partials.delete(image)
        return 1

    async def _content(self, image: Image) -> ContentInfo:
        return await self.inspector.inspect(await self.contents.open(image.content_key))

    async def _ended(self, image: Image) -> Image:
        if image.status is ImageStatus.PENDING:
            not_started = GenerationNotStartedError("PixyProxy ended before anything was bought.", maybe_billed=False)
            return image.failed(not_started, at=self.clock.now())
        try:
            content = await self._content(image)
        except ContentNotFoundError:
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

    async def _reason(self, image: Image) -> GenerationError:
        """Return why a generated image has no content."""
        if await self.quarantine.list_quarantine(image.content_key):
            reason = f"The generator answered with something that is no picture. {QUARANTINE_NOTE}"
            return GenerationFailedError(reason, maybe_billed=True)
        return GenerationAbandonedError(
            "PixyProxy ended during the generation; it is unknown whether the image was drawn and billed.",
            maybe_billed=True,
        )
