"""The partial images of images that are being made."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from pixyproxy.domain.content import MediaType, partial_key_of
from pixyproxy.domain.errors import ContentNotFoundError, ContentStoreError
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import (
    ContentInspector,
    ContentStore,
    OnPartial,
    PartialImage,
    StoredContent,
    chunks_of,
    ignore_partial,
)

OnImagePartial = Callable[[Image, int, PartialImage], Awaitable[None]]
"""Gets the image, the position and the picture of each partial image that was stored."""

# The longest signature is that of WebP.
_HEAD_SIZE: Final = 16


async def ignore_image_partial(image: Image, position: int, partial: PartialImage) -> None:
    """Do nothing with a partial image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialImages:
    """Keeps the partial images of running generations in an area of their own, where all processes find them.

    `contents` is that area; it holds nothing else. Partial images are a courtesy: a bad one, and one that the store
    does not take, is dropped, and each step holds a generation up for at most `seconds`. `on_kept` gets the guid of an
    image when it has one more.
    """

    contents: ContentStore
    inspector: ContentInspector
    seconds: float = 2.0
    on_kept: Callable[[UUID], None] = lambda _guid: None
    _deletions: set["asyncio.Task[None]"] = field(default_factory=set, init=False)

    @asynccontextmanager
    async def kept(self, image: Image, listener: OnImagePartial = ignore_image_partial) -> AsyncIterator[OnPartial]:
        """Give what stores the partial images of `image` while the block runs, and delete them when it ends."""
        if not image.request.partial_images:
            yield ignore_partial
            return
        keeping = _Keeping(partials=self, image=image, listener=listener)
        try:
            yield keeping
        finally:
            await self._within_time(keeping.delete())

    async def has(self, image: Image, position: int) -> bool:
        """Whether the partial image is there; also false while the store does not answer."""
        if position >= image.request.partial_images:
            return False
        try:
            async with asyncio.timeout(self.seconds):
                await self.contents.open(partial_key_of(image.guid, position))
        except (ContentStoreError, TimeoutError):
            return False
        return True

    async def open(self, image: Image, position: int) -> tuple[MediaType, StoredContent]:
        """Return a partial image and its media type; raise `ContentNotFoundError` when there is none."""
        key = partial_key_of(image.guid, position)
        head = await self.contents.open(key, end=_HEAD_SIZE)
        media_type = self.inspector.media_type_of(b"".join([chunk async for chunk in head.chunks]))
        if media_type is None:
            raise ContentNotFoundError("The partial image is damaged.")
        return media_type, await self.contents.open(key)

    async def find(self, image: Image, position: int) -> tuple[MediaType, StoredContent] | None:
        """Return what `open` returns, or None if the partial image is not there, or the store does not answer."""
        if position >= image.request.partial_images:
            return None
        try:
            async with asyncio.timeout(self.seconds):
                return await self.open(image, position)
        except (ContentStoreError, TimeoutError):
            return None

    async def delete(self, image: Image) -> None:
        """Delete the partial images of an image that has ended; raise `ContentStoreError`."""
        for position in range(image.request.partial_images):
            await self.contents.delete(partial_key_of(image.guid, position))

    async def close(self) -> None:
        """Wait for deletions that go on after their generation; called once at the end."""
        if self._deletions:
            await asyncio.wait(self._deletions, timeout=self.seconds)

    async def _within_time(self, deletion: Awaitable[None]) -> None:
        task = asyncio.ensure_future(deletion)
        self._deletions.add(task)
        task.add_done_callback(self._deletions.discard)
        await asyncio.wait([task], timeout=self.seconds)


@dataclass(slots=True, kw_only=True)
class _Keeping:
    """Stores the partial images of one generation; never raises, and drops all others while one takes too long."""

    partials: PartialImages
    image: Image
    listener: OnImagePartial
    _received: int = field(default=0, init=False)
    _kept: int = field(default=0, init=False)
    _running: "asyncio.Task[None] | None" = field(default=None, init=False)

    async def __call__(self, partial: PartialImage) -> None:
        is_busy = self._running is not None and not self._running.done()
        if is_busy or self._received == self.image.request.partial_images:
            return
        self._received += 1
        self._running = asyncio.create_task(self._keep(partial))
        # A thread that waits for a disk can't be cancelled.
        await asyncio.wait([self._running], timeout=self.partials.seconds)

    async def _keep(self, partial: PartialImage) -> None:
        # Nothing that happens here may cost a paid image.
        with suppress(Exception):
            media_type = await self._checked_media_type(partial.data)
            key = partial_key_of(self.image.guid, self._kept)
            await self.partials.contents.put(key, chunks_of(partial.data))
            position, self._kept = self._kept, self._kept + 1
            self.partials.on_kept(self.image.guid)
            await self.listener(self.image, position, PartialImage(data=partial.data, media_type=media_type))

    async def _checked_media_type(self, data: bytes) -> MediaType:
        found = await self.partials.inspector.inspect(StoredContent(len(data), chunks_of(data)))
        if found.media_type is MediaType.SVG:
            raise ValueError("The partial image is no bitmap.")
        return found.media_type

    async def delete(self) -> None:
        """Cancel the upload under way, and delete all partial images once it has ended."""
        if self._running is None:
            return
        self._running.cancel()
        await asyncio.wait([self._running])
        # The consistency check finds what is left.
        with suppress(Exception):
            await self.partials.delete(self.image)
