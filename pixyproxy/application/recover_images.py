"""Use case: take on what other processes have left behind."""

from contextlib import suppress
from dataclasses import dataclass, field

from pixyproxy.application.generations import Generations
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    ContentNotFoundError,
    DamagedContentError,
    GenerationAbandonedError,
    GenerationError,
    GenerationNotStartedError,
)
from pixyproxy.domain.image import Image, ImageStatus
from pixyproxy.domain.ports import Clock, ContentInspector, ContentStore, ImageRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverImages:
    """Bring every image whose lease is over to an end: ready if its bytes are there, else failed or unknown.

    Returns how many there were. Several processes may do it at once: each image comes to one end. Those that this
    process is at work on, in `generations`, are left alone. Raises `DBConnectionError` and `ContentStoreError`; what is
    not recovered then is so the next time.
    """

    images: ImageRepository
    contents: ContentStore
    inspector: ContentInspector
    clock: Clock
    generations: Generations = field(default_factory=Generations)
    batch: int = 100

    async def __call__(self) -> int:
        recovered = 0
        while True:
            abandoned = await self.images.list_abandoned(limit=self.batch + len(self.generations))
            todo = [image for image in abandoned if image.guid not in self.generations]
            for image in todo:
                # Somebody else may have been faster.
                with suppress(ConstraintViolationError):
                    await self.images.update(await self._ended(image), expected=image.status)
            recovered += len(todo)
            if len(todo) < self.batch:
                return recovered

    async def _ended(self, image: Image) -> Image:
        if image.status is ImageStatus.PENDING:
            error: GenerationError = GenerationNotStartedError(
                "PixyProxy ended before anything was bought.", maybe_billed=False
            )
            return image.failed(error, at=self.clock.now())
        try:
            content = await self.inspector.inspect(await self.contents.open(image.content_key))
        except (ContentNotFoundError, DamagedContentError):
            error = GenerationAbandonedError(
                "PixyProxy ended while the generator was at work; nobody knows whether it drew and billed the image.",
                maybe_billed=True,
            )
            return image.failed(error, at=self.clock.now())
        return image.completed(content, at=self.clock.now())
