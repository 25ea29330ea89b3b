"""Content in a dictionary."""

import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from datetime import timedelta

from pixyproxy.domain.errors import ContentNotFoundError
from pixyproxy.domain.image import ContentKey
from pixyproxy.domain.ports import ContentReceipt, ContentStore, StoredContent

CHUNK_SIZE = 256 * 1024


class InMemoryContentStore(ContentStore):
    """Keeps content for as long as the process lives, also what was set aside."""

    def __init__(self) -> None:
        self._contents: dict[ContentKey, bytes] = {}
        self._set_aside: list[tuple[ContentKey, bytes]] = []

    async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentReceipt:
        content = b"".join([chunk async for chunk in chunks])
        self._contents[key] = content
        return ContentReceipt(len(content), hashlib.sha256(content).hexdigest())

    async def open(self, key: ContentKey) -> StoredContent:
        try:
            content = self._contents[key]
        except KeyError:
            raise ContentNotFoundError("The content is missing.") from None
        return StoredContent(len(content), _chunks(content))

    async def delete(self, key: ContentKey) -> None:
        self._contents.pop(key, None)

    async def check(self) -> None:
        return None

    async def keys(self) -> AsyncIterator[ContentKey]:
        for key in sorted(self._contents):
            yield key

    async def set_aside(self, key: ContentKey) -> None:
        if key in self._contents:
            self._set_aside.append((key, self._contents.pop(key)))

    async def list_leftovers(self, *, older_than: timedelta) -> Sequence[str]:  # noqa: ARG002 -- the port's
        """Return nothing: what breaks off before it is whole was never kept."""
        return ()

    async def set_leftover_aside(self, name: str) -> None:  # noqa: ARG002 -- the port's
        return None


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), CHUNK_SIZE):
        yield content[start : start + CHUNK_SIZE]
