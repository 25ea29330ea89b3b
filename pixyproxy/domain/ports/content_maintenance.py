"""All that a content store holds, for the consistency check."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Protocol

import msgspec

from pixyproxy.domain.content import ContentKey


class FoundContent(msgspec.Struct, frozen=True):
    """The size in bytes of a stored content, and its SHA-256 in hex if the store keeps it beside the content."""

    byte_size: int
    sha256: str | None = None


class ContentMaintenance(Protocol):
    """All that a content store holds, for the consistency check.

    Every method raises `ContentStoreError` when the store fails.
    """

    @abstractmethod
    def keys(self) -> AsyncIterator[ContentKey]:
        """Yield the key of every content in the order of their texts, with few in memory at a time."""

    @abstractmethod
    async def find_content(self, key: ContentKey) -> FoundContent | None:
        """Return what the store tells of a content without reading its bytes, or None when there is none."""

    @abstractmethod
    def keys_of_variants(self) -> AsyncIterator[ContentKey]:
        """Yield each key that has variants in the order of their texts, with or without content."""

    @abstractmethod
    async def list_orphans(self, *, older_than: timedelta) -> Sequence[str]:
        """Return the names of files of broken uploads that were last written to longer ago than that."""

    @abstractmethod
    async def quarantine_orphan(self, name: str) -> None:
        """Move one of `list_orphans` into quarantine, if it is still there."""
