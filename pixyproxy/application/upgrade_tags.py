"""Data upgrade: normalise stored tags to NFC."""

from dataclasses import dataclass

import msgspec

from pixyproxy.application.upgrade_data import DataUpgrade, UpgradedBatch
from pixyproxy.domain.errors import ConstraintViolationError, DamagedRecordError, RecordNotFoundError
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import Clock, DamagedRecord, ImageMaintenance, ImageRepository
from pixyproxy.domain.tag import normalized_tags


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeTags(DataUpgrade):
    """Normalise the tags of images that an older version stored unchanged.

    Of tags that become equal, the first keeps its place. A changed image gets a new version, as with any change. Skips
    damaged records.
    """

    images: ImageRepository
    image_maintenance: ImageMaintenance
    clock: Clock
    batch: int = 100

    @property
    def name(self) -> str:
        return "tags-in-nfc"

    @property
    def summary(self) -> str:
        return "the tags of {} image(s)"

    async def upgrade(self, *, after: str) -> UpgradedBatch | None:
        found = await self.image_maintenance.scan(after=after, limit=self.batch)
        if not found:
            return None
        changed = 0
        for image in found:
            if isinstance(image, Image) and normalized_tags(image.tags) != image.tags:
                changed += await self._normalize(image)
        last = found[-1]
        return UpgradedBatch(last.guid if isinstance(last, DamagedRecord) else str(last.guid), changed)

    async def _normalize(self, image: Image) -> bool:
        while (tags := normalized_tags(image.tags)) != image.tags:
            upgraded = msgspec.structs.replace(image, tags=tags, updated_at=self.clock.now(), version=image.version + 1)
            try:
                await self.images.change(upgraded, expected_version=image.version)
            except ConstraintViolationError:
                # Another process has changed it meanwhile.
                try:
                    image = await self.images.get(image.guid)
                except (RecordNotFoundError, DamagedRecordError):
                    return False
            except RecordNotFoundError:
                return False
            else:
                return True
        return False
