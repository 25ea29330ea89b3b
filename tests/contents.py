"""Shared parts of the contract suites of the content ports."""

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Sequence

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.errors import ContentNotFoundError
from pixyproxy.domain.ports import (
    ContentDigest,
    ContentMaintenance,
    ContentStore,
    FoundContent,
    StoredContent,
    VariantStore,
)
from pixyproxy.domain.variant import VariantName

KEY = ContentKey("0b6f1c1e-5d0e-4a39-9f43-5c8d3f6f2b11")
OTHER_KEY = ContentKey("0b6f1c1e-5d0e-4a39-9f43-5c8d3f6f2b12")
NAME = VariantName("0123456789abcdef-320x-contain-80.webp")
OTHER_NAME = VariantName("0123456789abcdef-320x-contain-80.avif")
MIB = 1 << 20
RANGED = bytes(range(256)) * 2_400


async def in_chunks(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


async def broken_after(*chunks: bytes, error: BaseException) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    raise error


class StuckChunks:
    """Yields one chunk and then never another; `is_stuck` tells when."""

    def __init__(self) -> None:
        self.is_stuck = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"half a cont"
        self.is_stuck.set()
        await asyncio.Event().wait()


class DigestKeepingStore(InMemoryContentStore):
    """Keeps digests beside the contents, which may be wrong or missing, and notes which contents are opened."""

    def __init__(self) -> None:
        super().__init__()
        self.kept_digest_of: dict[ContentKey, str | None] = {}
        self.opened: list[ContentKey] = []

    async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
        digest = await super().put(key, chunks)
        self.kept_digest_of[key] = digest.sha256
        return digest

    async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
        self.opened.append(key)
        return await super().open(key, start=start, end=end)

    async def find_content(self, key: ContentKey) -> FoundContent | None:
        try:
            stored = await super().open(key)
        except ContentNotFoundError:
            return None
        return FoundContent(stored.byte_size, self.kept_digest_of[key])


async def put(store: ContentStore, content: bytes, key: ContentKey = KEY) -> ContentDigest:
    return await store.put(key, in_chunks(content))


async def read(store: ContentStore, key: ContentKey = KEY) -> bytes:
    """Return the whole content, having checked that its size is the one announced."""
    stored = await store.open(key)
    content = b"".join([chunk async for chunk in stored.chunks])
    assert len(content) == stored.byte_size
    return content


async def has(store: ContentStore, key: ContentKey = KEY) -> bool:
    try:
        await read(store, key)
    except ContentNotFoundError:
        return False
    return True


async def keys_in(store: ContentMaintenance) -> Sequence[ContentKey]:
    keys = store.keys()
    return [key async for key in keys]


async def content_of(stored: StoredContent) -> bytes:
    return b"".join([chunk async for chunk in stored.chunks])


async def put_variant(
    store: VariantStore, content: bytes, name: VariantName = NAME, key: ContentKey = KEY
) -> ContentDigest:
    return await store.put_variant(key, name, in_chunks(content))


async def variant(store: VariantStore, name: VariantName = NAME, key: ContentKey = KEY) -> bytes | None:
    """Return the whole variant, or None, having checked that it is found as it is."""
    digest = await store.find_variant(key, name)
    try:
        stored = await store.open_variant(key, name)
    except ContentNotFoundError:
        assert digest is None
        return None
    content = await content_of(stored)
    assert digest == digest_of(content)
    assert stored.byte_size == len(content)
    return content


def digest_of(content: bytes) -> ContentDigest:
    return ContentDigest(len(content), hashlib.sha256(content).hexdigest())


async def keys_of_variants_in(store: ContentMaintenance) -> Sequence[ContentKey]:
    keys = store.keys_of_variants()
    return [key async for key in keys]
