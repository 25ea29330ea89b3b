"""Use case: make the thumbnails of new images before they are requested."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

from pixyproxy.application.get_image_variant import GetImageVariant
from pixyproxy.domain.errors import RecordNotFoundError
from pixyproxy.domain.ports import ImageRepository
from pixyproxy.domain.variant import thumbnail_of

_MAX_WAITING: Final = 1_000


class PrepareThumbnails:
    """Makes the thumbnail of each image that has become ready, one after the other, in the background.

    Takes the guid of the image and returns at once. Variants that are requested go first. Of more than `max_waiting`
    images the oldest get none: it is made on request. Outside of `running`, images are ignored. `on_error` gets the
    guid of each image whose thumbnail could not be made, and the error.
    """

    def __init__(
        self,
        *,
        images: ImageRepository,
        get_image_variant: GetImageVariant,
        max_waiting: int = _MAX_WAITING,
        on_error: Callable[[UUID, Exception], None] = lambda _guid, _error: None,
    ) -> None:
        self._images = images
        self._get_image_variant = get_image_variant
        self._max_waiting = max_waiting
        self._on_error = on_error
        self._queue: asyncio.Queue[UUID] | None = None

    def __call__(self, guid: UUID) -> None:
        if self._queue is None:
            return
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(guid)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Make thumbnails while the block runs; drop those that wait at its end."""
        self._queue = asyncio.Queue(self._max_waiting)
        working = asyncio.create_task(self._work(self._queue), name="thumbnails")
        try:
            yield
        finally:
            self._queue = None
            working.cancel()
            await asyncio.wait([working])

    async def _work(self, queue: asyncio.Queue[UUID]) -> None:
        variant = thumbnail_of(self._get_image_variant.policy)
        while True:
            guid = await queue.get()
            try:
                await self._get_image_variant.prepare(await self._images.get(guid), variant)
            except RecordNotFoundError:
                # It has been deleted meanwhile.
                continue
            except Exception as exc:  # noqa: BLE001 -- the next one may succeed
                self._on_error(guid, exc)
