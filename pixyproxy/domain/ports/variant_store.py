"""Where variants live."""

from abc import abstractmethod
from collections.abc import AsyncIterable
from typing import Protocol

from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.ports.content_store import ContentDigest, StoredContent
from pixyproxy.domain.variant import VariantName


class VariantStore(Protocol):
    """Where the variants of contents live, each as a whole or not at all; `ContentStore.delete` removes them, too.

    Every method raises `ContentStoreError` when the store fails.
    """

    @abstractmethod
    async def find_variant(self, key: ContentKey, name: VariantName) -> ContentDigest | None:
        """Return the size and SHA-256 of a variant, or None when there is none."""

    @abstractmethod
    async def open_variant(
        self, key: ContentKey, name: VariantName, *, start: int = 0, end: int | None = None
    ) -> StoredContent:
        """Return a variant with its SHA-256, as `ContentStore.open` does."""

    @abstractmethod
    async def put_variant(self, key: ContentKey, name: VariantName, chunks: AsyncIterable[bytes]) -> ContentDigest:
        """Store a variant as `ContentStore.put` does, with or without the content itself."""

    @abstractmethod
    async def delete_variants(self, key: ContentKey) -> None:
        """Remove all variants of the content, if there are any."""
