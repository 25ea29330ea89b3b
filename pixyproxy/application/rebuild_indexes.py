"""Use case: rebuild the indexes of tags, words and references."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from pixyproxy.domain.image import ImageId
from pixyproxy.domain.ports import RebuiltIndex, SearchIndex


class Reindexed(msgspec.Struct, frozen=True):
    """The numbers of images whose tags, whose words and whose references were indexed anew."""

    tags: int
    words: int
    references: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildIndexes:
    """Index the tags, words and references of all images as their records have them now.

    Returns how many entries were outdated. Others may read and write meanwhile. Raises `DBConnectionError`.
    """

    index: SearchIndex
    batch: int = 100

    async def __call__(self) -> Reindexed:
        return Reindexed(
            tags=await self._rebuild(self.index.rebuild_tags),
            words=await self._rebuild(self.index.rebuild_words),
            references=await self._rebuild(self.index.rebuild_references),
        )

    async def _rebuild(self, rebuild: "_Rebuild") -> int:
        changed, last = 0, ImageId(0)
        while rebuilt := await rebuild(after=last, limit=self.batch):
            changed, last = changed + rebuilt.changed, rebuilt.last
        return changed


class _Rebuild(Protocol):
    def __call__(self, *, after: ImageId | None = None, limit: int) -> Awaitable[RebuiltIndex | None]: ...
