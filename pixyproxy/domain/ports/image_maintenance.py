"""All image records, for jobs that go through them."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

import msgspec

from pixyproxy.domain.content import ContentInfo
from pixyproxy.domain.image import Image


class DamagedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The record of an image that breaks a rule of the domain: another program has written it."""

    guid: str


class ImageMaintenance(Protocol):
    """All image records in any state, for exports, upgrades and the consistency check."""

    @abstractmethod
    async def scan(self, *, after: str = "", limit: int) -> Sequence[Image | DamagedRecord]:
        """Return up to `limit` records after `after`, ordered by the texts of their guids."""

    @abstractmethod
    async def count(self) -> int:
        """Return the number of records."""

    @abstractmethod
    async def correct_size(self, image: Image, content: ContentInfo) -> bool:
        """Store width and height of `content`, `image.updated_at` and a new version; return whether it did.

        Do so only if the stored record has the SHA-256 of `content`, and the width and height of `image`.
        """
