"""Data upgrade: index all prompts again."""

from dataclasses import dataclass

from pixyproxy.application.upgrade_data import DataUpgrade, UpgradedBatch
from pixyproxy.domain.image import ImageId
from pixyproxy.domain.ports import SearchIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeWords(DataUpgrade):
    """Index the prompts that an older version has indexed by other rules.

    A change of the rules of `terms_of` gives this a new name, so that it runs once more.
    """

    index: SearchIndex
    batch: int = 100

    @property
    def name(self) -> str:
        return "words-of-all-languages"

    @property
    def summary(self) -> str:
        return "the words of {} image(s)"

    async def upgrade(self, *, after: str) -> UpgradedBatch | None:
        rebuilt = await self.index.rebuild_words(after=ImageId(int(after or 0)), limit=self.batch)
        return None if rebuilt is None else UpgradedBatch(str(rebuilt.last), rebuilt.changed)
