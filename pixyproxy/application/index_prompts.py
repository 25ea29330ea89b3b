"""Use case: let the words of all images be found."""

from collections.abc import Callable
from dataclasses import dataclass

from pixyproxy.application.progress import no_progress
from pixyproxy.domain.image import ImageId
from pixyproxy.domain.ports import SearchIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexPrompts:
    """Make the images searchable that an older version has stored, or somebody's own SQL; return how many.

    `on_progress` is told after each batch how many images there were in it. Several processes may do it at once, and
    what is interrupted goes on the next time. Raises `DBConnectionError`.
    """

    index: SearchIndex
    batch: int = 100

    async def __call__(self, *, on_progress: Callable[[int], None] = no_progress) -> int:
        number, last = 0, ImageId(0)
        while indexed := await self.index.make_searchable(after=last, limit=self.batch):
            number, last = number + len(indexed), indexed[-1]
            on_progress(len(indexed))
        return number
