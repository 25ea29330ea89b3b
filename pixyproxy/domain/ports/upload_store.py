"""Where uploads are received."""

from abc import abstractmethod
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Protocol

from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.ports.content_store import ContentDigest, StoredContent


class UploadStore(Protocol):
    """Where bytes are received whose key is known only when they are whole."""

    @abstractmethod
    async def receive(
        self, chunks: AsyncIterable[bytes], accept: Callable[[StoredContent], Awaitable[ContentKey]]
    ) -> ContentDigest:
        """Store the chunks durably under the key that `accept` returns, and replace earlier content.

        `accept` gets the whole with its `sha256`, and may read it, before it is visible under any key. Raises what
        `chunks` and `accept` raise, and `ContentStoreError`; after an error nothing of the chunks is stored.
        """
