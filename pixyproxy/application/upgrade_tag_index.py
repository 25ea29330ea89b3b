"""Data upgrade: store the tags of images with them."""

from dataclasses import dataclass

from pixyproxy.application.upgrade_data import DataUpgrade, UpgradedBatch
from pixyproxy.domain.image import ImageId
from pixyproxy.domain.ports import SearchIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeTagIndex(DataUpgrade):
    """Store the tags of images with them, where an older version has stored them in their index alone."""

    index: SearchIndex
    batch: int = 500

    @property
    def name(self) -> str:
        return "tags-with-images"

    @property
    def summary(self) -> str:
        return "the storage of the tags of {} image(s)"

    async def upgrade(self, *, after: str) -> UpgradedBatch | None:
        rebuilt = await self.index.rebuild_tags(after=ImageId(int(after or 0)), limit=self.batch)
        return None if rebuilt is None else UpgradedBatch(str(rebuilt.last), rebuilt.changed)
