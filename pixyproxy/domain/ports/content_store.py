"""Where content lives."""

from abc import abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from datetime import timedelta
from typing import Protocol

import msgspec

from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.variant import VariantName


class StoredFile(Protocol):
    """A file that holds one content and nothing else, open for reading for as long as this object lives."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Its path below the folder of the content store, with slashes."""

    @abstractmethod
    def fileno(self) -> int:
        """Return its descriptor."""


class StoredContent(msgspec.Struct, frozen=True):
    """Content on its way out: its size in bytes, and its chunks of at most 1 MiB, which can be read once.

    `file` is where a server may take the bytes from by itself, if there is such a file; `sha256` is that of all of the
    bytes, in hex, where the store knows it, as it does of variants.
    """

    byte_size: int
    chunks: AsyncIterator[bytes]
    file: StoredFile | None = None
    sha256: str | None = None


class ContentDigest(msgspec.Struct, frozen=True):
    """What a content store has stored: the number of bytes and their SHA-256 in hex."""

    byte_size: int
    sha256: str


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in quarantine: its `name` there, the key it was kept under, and its size in bytes.

    The `key` is None for what a broken-off upload has left under a name without one.
    """

    name: str
    key: ContentKey | None
    byte_size: int


class ContentStore(Protocol):
    """Where content lives, and the variants made of it; all of each is visible, or nothing.

    Beside both is the quarantine: bytes that were paid for and can't be shown, or belong to no image. Nothing there is
    content, and no other method opens it.
    """

    async def prepare(self) -> None:
        """Make what the store needs, such as its folder; called once at the start; raise `ContentStoreError`."""
        return

    @abstractmethod
    async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
        """Store the chunks durably under `key`, replacing what was there.

        When this raises, also because `chunks` does, what was there before is still there and nothing else is. Only a
        cancellation may come too late, when the whole content is in its place already. Raises `ContentStoreError`,
        and what `chunks` raises as it is.
        """

    @abstractmethod
    async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
        """Return the content; raise `ContentNotFoundError` when there is none.

        `chunks` are its bytes from number `start` up to, but without, number `end`, and no others are read. `byte_size`
        and `file` are those of the whole content.
        """

    @abstractmethod
    async def find_variant(self, key: ContentKey, name: VariantName) -> ContentDigest | None:
        """Return the size and SHA-256 of a variant of the content, or None when there is none."""

    @abstractmethod
    async def open_variant(
        self, key: ContentKey, name: VariantName, *, start: int = 0, end: int | None = None
    ) -> StoredContent:
        """Return a variant of the content, with its SHA-256, as `open` does.

        Raises `ContentNotFoundError` when there is none.
        """

    @abstractmethod
    async def put_variant(self, key: ContentKey, name: VariantName, chunks: AsyncIterable[bytes]) -> ContentDigest:
        """Store a variant of the content as `put` does, whether the content itself is there or not."""

    @abstractmethod
    async def delete(self, key: ContentKey) -> None:
        """Remove the content, all its variants and what is in quarantine under `key`; raise `ContentStoreError`."""

    @abstractmethod
    async def delete_variants(self, key: ContentKey) -> None:
        """Remove all variants of the content, if there are any, and nothing else; raise `ContentStoreError`."""

    @abstractmethod
    async def check(self) -> None:
        """Return if content can be written; raise `ContentStoreError` if it can't."""

    @abstractmethod
    def keys(self) -> AsyncIterator[ContentKey]:
        """Yield the key of every content in the order of their texts, holding few of them at a time."""

    @abstractmethod
    def keys_of_variants(self) -> AsyncIterator[ContentKey]:
        """Yield each key that has variants, in the order of their texts, whether there is a content or not."""

    @abstractmethod
    async def quarantine(self, key: ContentKey) -> None:
        """Move a content that can't be shown into quarantine, if it is there, and remove its variants."""

    @abstractmethod
    async def put_quarantined(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
        """Store the chunks durably in quarantine under `key`, beside what is there already.

        When this raises, also because `chunks` does, nothing of them is there. Raises `ContentStoreError`, and what
        `chunks` raises as it is.
        """

    @abstractmethod
    async def list_quarantine(self, key: ContentKey | None = None) -> Sequence[Quarantined]:
        """Return what is in quarantine, or what is there under `key`, ordered by name; nothing that is empty."""

    @abstractmethod
    async def open_quarantined(self, name: str) -> StoredContent:
        """Return one of `list_quarantine` as `open` does; raise `ContentNotFoundError` when there is none."""

    @abstractmethod
    async def delete_quarantined(self, name: str) -> None:
        """Remove one of `list_quarantine`, if it is still there; raise `ContentStoreError`."""

    @abstractmethod
    async def list_orphans(self, *, older_than: timedelta) -> Sequence[str]:
        """Return the names of what uploads that broke off have left behind and nobody has touched for so long."""

    @abstractmethod
    async def quarantine_orphan(self, name: str) -> None:
        """Move one of `list_orphans` into quarantine, if it is still there."""
