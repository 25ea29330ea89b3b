"""The index of the words in prompts."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

import msgspec

from pixyproxy.domain.image import ImageId


class RebuiltWords(msgspec.Struct, frozen=True):
    """The last image of a rebuilt batch, and the number of images in it whose words have changed."""

    last: ImageId
    changed: int


class SearchIndex(Protocol):
    """The index of the words in prompts, which `ImageCatalogue.list` searches."""

    @abstractmethod
    async def make_searchable(self, *, after: ImageId | None = None, limit: int) -> Sequence[ImageId]:
        """Index up to `limit` unindexed images after `after`; return their ids in order, none at the end."""

    @abstractmethod
    async def rebuild_words(self, *, after: ImageId | None = None, limit: int) -> RebuiltWords | None:
        """Index up to `limit` images after `after` by what `terms_of` returns now; return None at the end.

        A search finds an image by its old words or by its new ones at any time.
        """
