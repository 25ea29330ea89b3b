"""Lists of images."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from pixyproxy.domain.image import Image
from pixyproxy.domain.listing import ImageFilter, ImageOrder, ImagePosition


class ImageCatalogue(Protocol):
    """Lists of images; a filter names a visibility or an author."""

    @abstractmethod
    async def list(
        self,
        wanted: ImageFilter,
        *,
        limit: int,
        order: ImageOrder = ImageOrder.NEWEST_FIRST,
        after: ImagePosition | None = None,
    ) -> Sequence[Image]:
        """Return up to `limit` images that match the filter, in this order, after `after`."""

    @abstractmethod
    async def count_listed(self, wanted: ImageFilter) -> int:
        """Return the number of images that `list` can return; the cost grows with it."""
