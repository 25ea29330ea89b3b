"""The indexes of words, tags and references."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

import msgspec

from pixyproxy.domain.image import ImageId


class RebuiltIndex(msgspec.Struct, frozen=True):
    """The last image of a rebuilt batch, and the number of images in it whose entries have changed."""

    last: ImageId
    changed: int


class SearchIndex(Protocol):
    """The indexes of words in prompts, tags and references, by which `ImageCatalogue.list` finds images."""

    @abstractmethod
    async def make_searchable(self, *, after: ImageId | None = None, limit: int) -> Sequence[ImageId]:
        """Index up to `limit` unindexed images after `after`; return their ids in order, none at the end."""

    @abstractmethod
    async def rebuild_words(self, *, after: ImageId | None = None, limit: int) -> RebuiltIndex | None:
        """Index up to `limit` images after `after` by what `terms_of` returns now; return None at the end.

        A search finds an image by its old words or by its new ones at any time.
        """

    @abstractmethod
    async def rebuild_tags(self, *, after: ImageId | None = None, limit: int) -> RebuiltIndex | None:
        """Index up to `limit` images after `after` by the tags they have now; return None at the end.

        Images whose record breaks a rule keep their entries.
        """

    @abstractmethod
    async def rebuild_references(self, *, after: ImageId | None = None, limit: int) -> RebuiltIndex | None:
        """Index up to `limit` images after `after` by the references and masks they have now; return None at the end.

        An upload that no image refers to any more is left to `Uploads.claim_unused`. Images whose request breaks a rule
        keep their entries.
        """
