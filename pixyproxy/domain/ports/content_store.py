"""Where content lives."""

from abc import abstractmethod
from collections.abc import AsyncIterable, AsyncIterator
from typing import Final, Protocol

import msgspec

from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.ports.sendable_file import SendableFile

_CHUNK_SIZE: Final = 1 << 20


class StoredContent(msgspec.Struct, frozen=True):
    """Content on its way out: the size of all of it, and chunks of at most 1 MiB, which can be read once.

    `sha256` is that of all of it, in hex, where the store knows it. `file` is optional: see `SendableFile`.
    """

    byte_size: int
    chunks: AsyncIterator[bytes]
    file: SendableFile | None = None
    sha256: str | None = None


async def chunks_of(data: bytes | bytearray, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
    """Yield the bytes from `start` up to, but without, `end` in chunks of at most 1 MiB."""
    stop = len(data) if end is None else min(end, len(data))
    for position in range(start, stop, _CHUNK_SIZE):
        yield bytes(data[position : min(position + _CHUNK_SIZE, stop)])


class ContentDigest(msgspec.Struct, frozen=True):
    """The size in bytes of a stored content, and its SHA-256 in hex."""

    byte_size: int
    sha256: str


class ContentStore(Protocol):
    """Where content lives: the one port for content that every host needs.

    Content is visible as a whole or not at all. Every method raises `ContentStoreError` when the store fails.
    """

    @abstractmethod
    async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
        """Store the chunks durably under `key` and replace earlier content.

        Raises what `chunks` raises. After an error the earlier content is unchanged; only a cancellation may come too
        late, when the new content is in place.
        """

    @abstractmethod
    async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
        """Return the content; raise `ContentNotFoundError` when there is none.

        `chunks` are the bytes from `start` up to, but without, `end`; the store reads no others. `byte_size` and `file`
        are those of the whole content.
        """

    @abstractmethod
    async def delete(self, key: ContentKey) -> None:
        """Remove the content and all that is stored with it: its variants, and its bytes in quarantine."""

    @abstractmethod
    async def check(self) -> None:
        """Return if content can be written; raise `ContentStoreError` if it can't.

        Asked often: where each write costs money, what is known without writing is enough.
        """

    async def check_writing(self) -> None:
        """Return if content can be written now; called before an image is bought."""
        await self.check()

    async def prepare(self) -> None:
        """Make what the store needs, such as a folder; called once at the start."""
        return

    async def close(self) -> None:
        """Release connections and threads; called once at the end."""
        return
