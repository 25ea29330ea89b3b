"""Data upgrade: store the size of rotated pictures as shown."""

from dataclasses import dataclass
from typing import Final

import msgspec

from pixyproxy.application.upgrade_data import DataUpgrade, UpgradedBatch
from pixyproxy.domain.content import ContentInfo, MediaType
from pixyproxy.domain.errors import ContentNotFoundError, ContentStoreError, DamagedContentError
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import Clock, ContentInspector, ContentStore, ImageMaintenance

HEAD_SIZE: Final = 65_536

_TURNABLE: Final = frozenset({MediaType.PNG, MediaType.JPEG, MediaType.WEBP})


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectSizes(DataUpgrade):
    """Swap width and height of images that were stored before EXIF orientation counted.

    Reads at most 64 KiB of each PNG, JPEG and WebP, and the rest only of a rotated picture. Skips images whose content
    is missing or damaged. Raises `DBConnectionError`, and `ContentStoreError` for a store that does not work at all.
    """

    image_maintenance: ImageMaintenance
    contents: ContentStore
    inspector: ContentInspector
    clock: Clock
    batch: int = 100

    name = "sizes-as-shown"
    summary = "corrected width and height of {} turned image(s)"

    async def upgrade(self, *, after: str) -> UpgradedBatch | None:
        records = await self.image_maintenance.scan(after=after, limit=self.batch)
        if not records:
            return None
        changed = 0
        for record in records:
            if not isinstance(record, Image):
                continue
            try:
                changed += await self.correct(record)
            except (ContentNotFoundError, DamagedContentError):
                continue
            except ContentStoreError:
                # One unreadable file is no reason to wait; a store that is away is.
                await self.contents.check()
        return UpgradedBatch(str(records[-1].guid), changed)

    async def correct(self, image: Image) -> bool:
        """Correct the size of one image; return whether it was wrong. Raises `ContentStoreError`."""
        stored = image.content
        if stored is None or stored.media_type not in _TURNABLE or stored.width == stored.height:
            return False
        head = await self.contents.open(image.content_key, end=HEAD_SIZE)
        if self.inspector.is_turned(b"".join([chunk async for chunk in head.chunks])) is False:
            return False
        found = await self.inspector.inspect(await self.contents.open(image.content_key))
        if found != exchanged(stored):
            return False
        return await self.image_maintenance.correct_size(
            msgspec.structs.replace(image, updated_at=self.clock.now()), found
        )


def exchanged(content: ContentInfo) -> ContentInfo:
    """Return the same content with its width and height exchanged."""
    return msgspec.structs.replace(content, width=content.height, height=content.width)
