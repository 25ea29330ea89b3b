"""Lists of the tags of ready images."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from pixyproxy.domain.listing import TagCount, TagFilter
from pixyproxy.domain.tag import Tag


class TagCatalogue(Protocol):
    """Lists of the tags of ready images."""

    @abstractmethod
    async def list_tags(
        self, wanted: TagFilter, *, limit: int, after: Tag | None = None, descending: bool = False
    ) -> Sequence[TagCount]:
        """Return up to `limit` tags that match the filter, after `after`, ordered by code points.

        The filter names a visibility or an author.
        """
