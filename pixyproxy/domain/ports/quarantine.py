"""Where bytes live that can't be shown."""

from abc import abstractmethod
from collections.abc import AsyncIterable, Sequence
from typing import Protocol

import msgspec

from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.ports.content_store import ContentDigest, StoredContent


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """One item in quarantine: its `name` there, the key of its image, and its size in bytes.

    `key` is None for an orphan whose name has none.
    """

    name: str
    key: ContentKey | None
    byte_size: int


class Quarantine(Protocol):
    """Where bytes live that were paid for and can't be shown, or belong to no image; no other port opens them.

    Every method raises `ContentStoreError` when the store fails.
    """

    @abstractmethod
    async def move_to_quarantine(self, key: ContentKey) -> None:
        """Move the content, if there is any, into quarantine, and remove its variants."""

    @abstractmethod
    async def put_quarantined(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
        """Store the chunks durably in quarantine under `key`, beside earlier ones.

        Raises what `chunks` raises. After an error nothing of them is stored.
        """

    @abstractmethod
    async def list_quarantine(self, key: ContentKey | None = None) -> Sequence[Quarantined]:
        """Return the items in quarantine, or those under `key`, ordered by name; skip empty ones."""

    @abstractmethod
    async def open_quarantined(self, name: str) -> StoredContent:
        """Return one item as `ContentStore.open` does; raise `ContentNotFoundError` when there is none."""

    @abstractmethod
    async def delete_quarantined(self, name: str) -> None:
        """Remove one item, if it is still there."""
