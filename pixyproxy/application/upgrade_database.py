"""Use case: bring the database up to date with this version."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pixyproxy.domain.ports import ImageRepository, Migration, Schema


def _ignore(_: int) -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeDatabase:
    """Apply the missing schema scripts and make the images searchable that older versions have stored.

    Returns the scripts that were applied; `on_progress` is told after each batch how many images there were in it.
    Safe at any time, also when several processes do it at once, and after one that was interrupted.
    """

    schema: Schema
    images: ImageRepository
    batch: int = 500

    async def __call__(self, *, on_progress: Callable[[int], None] = _ignore) -> Sequence[Migration]:
        applied = await self.schema.upgrade()
        while number := await self.images.make_searchable(limit=self.batch):
            on_progress(number)
        return applied
