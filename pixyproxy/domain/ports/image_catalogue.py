"""Lists of images and of their changes."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from pixyproxy.domain.image import Image
from pixyproxy.domain.listing import ChangePosition, ImageChange, ImageFilter, ImageOrder, ImagePosition
from pixyproxy.domain.user import UserName


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

    @abstractmethod
    async def list_changes(self, author: UserName, *, after: ChangePosition, limit: int) -> Sequence[ImageChange]:
        """Return the last changes of up to `limit` images of the author, in any state, after `after`, oldest first."""
