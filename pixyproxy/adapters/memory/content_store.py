"""Content in a dictionary."""

import hashlib
import re
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final

import msgspec

from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.errors import ContentNotFoundError, ContentStoreError
from pixyproxy.domain.ports import ContentDigest, ContentPorts, FoundContent, Quarantined, StoredContent, chunks_of
from pixyproxy.domain.variant import VariantName

_VARIANT_NAME: Final = re.compile(r"[0-9a-z][0-9a-z.-]{0,127}")


class InMemoryContentStore(ContentPorts):
    """Keeps content, its variants and its quarantine for as long as the process lives."""

    def __init__(self) -> None:
        self._contents: dict[ContentKey, bytes] = {}
        self._variants: dict[ContentKey, dict[VariantName, bytes]] = {}
        self._quarantine: dict[str, tuple[ContentKey, bytes]] = {}

    async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
        content = b"".join([chunk async for chunk in chunks])
        self._contents[key] = content
        return _digest(content)

    async def receive(
        self, chunks: AsyncIterable[bytes], accept: Callable[[StoredContent], Awaitable[ContentKey]]
    ) -> ContentDigest:
        content = b"".join([chunk async for chunk in chunks])
        digest = _digest(content)
        self._contents[await accept(StoredContent(len(content), chunks_of(content), sha256=digest.sha256))] = content
        return digest

    async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
        return _stored(self._contents.get(key), start, end)

    async def find_variant(self, key: ContentKey, name: VariantName) -> ContentDigest | None:
        content = self._find_variant(key, name)
        return None if content is None else _digest(content)

    async def open_variant(
        self, key: ContentKey, name: VariantName, *, start: int = 0, end: int | None = None
    ) -> StoredContent:
        content = self._find_variant(key, name)
        stored = _stored(content, start, end)
        return msgspec.structs.replace(stored, sha256=hashlib.sha256(content or b"").hexdigest())

    async def put_variant(self, key: ContentKey, name: VariantName, chunks: AsyncIterable[bytes]) -> ContentDigest:
        _check_name(name)
        content = b"".join([chunk async for chunk in chunks])
        self._variants.setdefault(key, {})[name] = content
        return _digest(content)

    async def delete(self, key: ContentKey) -> None:
        self._contents.pop(key, None)
        await self.delete_variants(key)
        self._quarantine = {name: kept for name, kept in self._quarantine.items() if kept[0] != key}

    async def delete_variants(self, key: ContentKey) -> None:
        self._variants.pop(key, None)

    async def check(self) -> None:
        return None

    async def keys(self) -> AsyncIterator[ContentKey]:
        for key in sorted(self._contents):
            yield key

    async def find_content(self, key: ContentKey) -> FoundContent | None:
        try:
            return FoundContent((await self.open(key)).byte_size)
        except ContentNotFoundError:
            return None

    async def keys_of_variants(self) -> AsyncIterator[ContentKey]:
        for key in sorted(self._variants):
            yield key

    async def move_to_quarantine(self, key: ContentKey) -> None:
        if key in self._contents:
            self._add_to_quarantine(key, self._contents.pop(key))
        await self.delete_variants(key)

    async def put_quarantined(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
        content = b"".join([chunk async for chunk in chunks])
        self._add_to_quarantine(key, content)
        return _digest(content)

    async def list_quarantine(self, key: ContentKey | None = None) -> Sequence[Quarantined]:
        return [
            Quarantined(name=name, key=owner, byte_size=len(content))
            for name, (owner, content) in sorted(self._quarantine.items())
            if content and key in {None, owner}
        ]

    async def open_quarantined(self, name: str) -> StoredContent:
        _, content = self._quarantine.get(name, (None, None))
        return _stored(content, 0, None)

    async def delete_quarantined(self, name: str) -> None:
        self._quarantine.pop(name, None)

    async def list_orphans(self, *, older_than: timedelta) -> Sequence[str]:  # noqa: ARG002 -- the port's
        """Return nothing: an upload that breaks off is never kept."""
        return ()

    async def quarantine_orphan(self, name: str) -> None:  # noqa: ARG002 -- the port's
        return None

    def _add_to_quarantine(self, key: ContentKey, content: bytes) -> None:
        name = str(key)
        while name in self._quarantine:
            name = f"{key}.{secrets.token_hex(8)}"
        self._quarantine[name] = key, content

    def _find_variant(self, key: ContentKey, name: VariantName) -> bytes | None:
        _check_name(name)
        return self._variants.get(key, {}).get(name)


def _check_name(name: VariantName) -> None:
    if _VARIANT_NAME.fullmatch(name) is None:
        raise ContentStoreError("The variant's name is malformed.")


def _digest(content: bytes) -> ContentDigest:
    return ContentDigest(len(content), hashlib.sha256(content).hexdigest())


def _stored(content: bytes | None, start: int, end: int | None) -> StoredContent:
    if content is None:
        raise ContentNotFoundError("The content is missing.")
    return StoredContent(len(content), chunks_of(content, start, end))
