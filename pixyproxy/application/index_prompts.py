"""Use case: index prompts for search."""

from collections.abc import Callable
from dataclasses import dataclass

from pixyproxy.application.progress import no_progress
from pixyproxy.domain.image import ImageId
from pixyproxy.domain.ports import SearchIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexPrompts:
    """Index the prompts that an older version, or SQL, has stored without an index; return how many.

    `on_progress` gets the number of images of each batch. Several processes may run this at once, and it can be
    interrupted. Raises `DBConnectionError`.
    """

    index: SearchIndex
    batch: int = 100

    async def __call__(self, *, on_progress: Callable[[int], None] = no_progress) -> int:
        number, last = 0, ImageId(0)
        while indexed := await self.index.make_searchable(after=last, limit=self.batch):
            number, last = number + len(indexed), indexed[-1]
            on_progress(len(indexed))
        return number
