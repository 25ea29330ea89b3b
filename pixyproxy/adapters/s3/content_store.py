"""Content in a bucket of S3."""

import asyncio
import hashlib
import re
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from time import monotonic
from typing import Final

from pixyproxy.adapters.pictures.formats import bitmap_type_of, is_markup
from pixyproxy.adapters.s3.client import S3Client, S3Download, S3Object
from pixyproxy.adapters.s3.url import S3URL
from pixyproxy.domain.content import CONTENT_MAX_SIZE, ContentKey, MediaType
from pixyproxy.domain.errors import ContentNotFoundError, ContentStoreError, DamagedContentError
from pixyproxy.domain.ports import ContentDigest, ContentPorts, FoundContent, Quarantined, StoredContent, chunks_of
from pixyproxy.domain.variant import VariantFormat, VariantName

CONTENTS: Final = "images"
VARIANTS: Final = "variants"
QUARANTINE: Final = "set-aside"
MARKER: Final = "marker"
DIGEST: Final = "sha256"

CHECK_SECONDS: Final = 10.0
"""How long a successful check counts."""

CHECK_TIMEOUT: Final = 5.0
"""How long a check waits for the store."""

AT_ONCE_SIZE: Final = 1 << 20
"""The most bytes that are read before they are handed out."""

MAX_BUFFERS: Final = 16
"""The most contents of more than 1 MiB that are gathered at a time."""

_SMALL_BUFFER: Final = 1 << 20
_BY_EXTENSION: Final = {format_.extension: format_.media_type for format_ in VariantFormat}
_KEY: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{3,127}")
_VARIANT_NAME: Final = re.compile(r"[0-9a-z][0-9a-z.-]{0,127}")
_ITEM_NAME: Final = re.compile(r"(?!\.{1,2}$)[^/\x00-\x1f\x7f]+")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class S3ContentStore(ContentPorts):
    """Keeps each content in an object of its own below the URL's prefix, and below `area` if there is one.

    A content with the key `KEY` is the object `images/KEY`, its variant `NAME` is `variants/KEY/NAME`, an item of the
    quarantine `set-aside/KEY` or, where that is taken, `set-aside/KEY.suffix`. Each is stored by one PUT, so that it is
    there as a whole or not at all, and has its SHA-256 in its metadata. Contents are gathered in memory first, at most
    64 MiB each and 16 large ones at a time.

    Bytes that are read from the first to the last are compared with the SHA-256, before the last of them is handed out.
    Up to 1 MiB is read before `open` returns.
    """

    def __init__(self, url: S3URL, area: str = "") -> None:
        self._client = S3Client(url)
        self._root = f"{url.prefix}{area}/" if area else url.prefix
        self._buffers = asyncio.Semaphore(MAX_BUFFERS)
        self._checked_until = 0.0
        self._may_be_written = True

    async def prepare(self) -> None:
        """Store the object that `check` looks at, if it is missing."""
        await self.check()

    async def close(self) -> None:
        await self._client.close()

    async def put(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
        return await self._gather(self._content(key), chunks)

    async def receive(
        self, chunks: AsyncIterable[bytes], accept: Callable[[StoredContent], Awaitable[ContentKey]]
    ) -> ContentDigest:
        async with self._gathered(chunks) as (data, digest):
            key = await accept(StoredContent(len(data), chunks_of(data), sha256=digest.sha256))
            await self._put(self._content(key), data, digest)
            return digest

    async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
        return await self._open(self._content(key), start, end)

    async def find_variant(self, key: ContentKey, name: VariantName) -> ContentDigest | None:
        try:
            found = await self._client.head(self._variant(key, name))
        except ContentNotFoundError:
            return None
        sha256 = _sha256_of(found)
        # Without a digest it is not what `put_variant` has stored, and is made again.
        return None if sha256 is None else ContentDigest(found.byte_size, sha256)

    async def open_variant(
        self, key: ContentKey, name: VariantName, *, start: int = 0, end: int | None = None
    ) -> StoredContent:
        content = await self._open(self._variant(key, name), start, end)
        if content.sha256 is None:
            raise ContentNotFoundError("The variant is missing.")
        return content

    async def put_variant(self, key: ContentKey, name: VariantName, chunks: AsyncIterable[bytes]) -> ContentDigest:
        return await self._gather(self._variant(key, name), chunks)

    async def delete(self, key: ContentKey) -> None:
        # The content goes first, so that no new variant is made of it.
        await self._client.delete([self._content(key)])
        await self.delete_variants(key)
        await self._client.delete([self._item(item.name) async for item in self._items(key)])

    async def delete_variants(self, key: ContentKey) -> None:
        folder = f"{self._root}{VARIANTS}/{_checked(key)}"
        await self._client.delete([entry.path async for entry in self._client.entries(folder)])

    async def check(self) -> None:
        """Return if content can be written, as far as that is known without writing.

        Asks for an object's head, at most every 10 seconds; only after a write has failed it writes itself, until that
        works again. Waits for 5 seconds.
        """
        if self._may_be_written and monotonic() < self._checked_until:
            return
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                if not self._may_be_written or await self._head(self._marker) is None:
                    await self.check_writing()
        except TimeoutError:
            raise ContentStoreError("The content store does not answer.") from None
        self._checked_until = monotonic() + CHECK_SECONDS

    async def check_writing(self) -> None:
        """Write a small object: far cheaper than an image that is bought and can't be stored."""
        data = b"PixyProxy writes this to see that it can.\n"
        await self._put(self._marker, data, ContentDigest(len(data), hashlib.sha256(data).hexdigest()))

    async def keys(self) -> AsyncIterator[ContentKey]:
        folder = f"{self._root}{CONTENTS}"
        async for entry in self._client.entries(folder):
            name = entry.path.removeprefix(f"{folder}/")
            if _is_key(name):
                yield ContentKey(name)

    async def find_content(self, key: ContentKey) -> FoundContent | None:
        found = await self._head(self._content(key))
        return None if found is None else FoundContent(found.byte_size, _sha256_of(found))

    async def keys_of_variants(self) -> AsyncIterator[ContentKey]:
        folder = f"{self._root}{VARIANTS}"
        # The listing has `abc-1/…` before `abc/…`: keys that are alike up to the first hyphen are sorted here.
        alike: set[str] = set()
        async for entry in self._client.entries(folder):
            key, slash, _ = entry.path.removeprefix(f"{folder}/").partition("/")
            if not slash or not _is_key(key):
                continue
            if alike and _first_part(key) != _first_part(next(iter(alike))):
                for each in sorted(alike):
                    yield ContentKey(each)
                alike.clear()
            alike.add(key)
        for each in sorted(alike):
            yield ContentKey(each)

    async def move_to_quarantine(self, key: ContentKey) -> None:
        source, target = self._content(key), self._item(key)
        try:
            found = await self._client.head(source)
        except ContentNotFoundError:
            pass
        else:
            taken = await self._head(target)
            if taken is not None and not _is_same(taken, found):
                target = self._item(f"{key}.{secrets.token_hex(8)}")
            # A crash leaves both, and the next call the copy alone.
            await self._client.copy(source, target)
            await self._client.delete([source])
        await self.delete_variants(key)

    async def put_quarantined(self, key: ContentKey, chunks: AsyncIterable[bytes]) -> ContentDigest:
        path = self._item(_checked(key))
        async with self._gathered(chunks) as (data, digest):
            if await self._head(path) is not None:
                path = self._item(f"{key}.{secrets.token_hex(8)}")
            await self._put(path, data, digest)
            return digest

    async def list_quarantine(self, key: ContentKey | None = None) -> Sequence[Quarantined]:
        return [item async for item in self._items(key) if item.byte_size]

    async def open_quarantined(self, name: str) -> StoredContent:
        return await self._open(self._item(name), 0, None)

    async def delete_quarantined(self, name: str) -> None:
        await self._client.delete([self._item(name)])

    async def list_orphans(self, *, older_than: timedelta) -> Sequence[str]:  # noqa: ARG002 -- the port's
        """Return nothing: an upload that breaks off leaves nothing."""
        return ()

    async def quarantine_orphan(self, name: str) -> None:  # noqa: ARG002 -- the port's
        return None

    @property
    def _marker(self) -> str:
        return f"{self._root}{MARKER}"

    def _content(self, key: ContentKey) -> str:
        return f"{self._root}{CONTENTS}/{_checked(key)}"

    def _variant(self, key: ContentKey, name: VariantName) -> str:
        if _VARIANT_NAME.fullmatch(name) is None:
            raise ContentStoreError("The variant's name is malformed.")
        return f"{self._root}{VARIANTS}/{_checked(key)}/{name}"

    def _item(self, name: str) -> str:
        if _ITEM_NAME.fullmatch(name) is None:
            raise ContentStoreError("The file's name is malformed.")
        return f"{self._root}{QUARANTINE}/{name}"

    async def _items(self, key: ContentKey | None) -> AsyncIterator[Quarantined]:
        """Yield what is in quarantine, or what is there under `key`, with what is empty, ordered by name."""
        folder = f"{self._root}{QUARANTINE}"
        after = None if key is None else f"{folder}/{key[:-1]}"
        async for entry in self._client.entries(folder, after=after):
            name = entry.path.removeprefix(f"{folder}/")
            owner = name.partition(".")[0]
            if key is None or owner == key:
                kept_under = ContentKey(owner) if _is_key(owner) else None
                yield Quarantined(name=name, key=kept_under, byte_size=entry.byte_size)
            elif name > key and not name.startswith(key):
                return

    async def _head(self, path: str) -> S3Object | None:
        try:
            return await self._client.head(path)
        except ContentNotFoundError:
            return None

    async def _open(self, path: str, start: int, end: int | None) -> StoredContent:
        if end is not None and start >= end:
            found = await self._client.head(path)
            return StoredContent(found.byte_size, chunks_of(b""), sha256=_sha256_of(found))
        download = await self._client.get(path, start, end)
        chunks: AsyncIterator[bytes] = _Verified(download)
        if download.stop - download.start <= AT_ONCE_SIZE:
            chunks = chunks_of(b"".join([chunk async for chunk in chunks]))
        return StoredContent(download.object.byte_size, chunks, sha256=_sha256_of(download.object))

    async def _gather(self, path: str, chunks: AsyncIterable[bytes]) -> ContentDigest:
        async with self._gathered(chunks) as (data, digest):
            await self._put(path, data, digest)
            return digest

    @asynccontextmanager
    async def _gathered(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[tuple[bytearray, ContentDigest]]:
        """Give all chunks and their digest; the memory of few large ones is used at a time."""
        data, sha256 = bytearray(), hashlib.sha256()
        async with AsyncExitStack() as stack:
            async for chunk in chunks:
                size = len(data) + len(chunk)
                if size > CONTENT_MAX_SIZE:
                    raise ContentStoreError("The content is larger than the content store takes.")
                if len(data) <= _SMALL_BUFFER < size:
                    await stack.enter_async_context(self._buffers)
                data += chunk
                sha256.update(chunk)
            yield data, ContentDigest(len(data), sha256.hexdigest())

    async def _put(self, path: str, data: bytes | bytearray, digest: ContentDigest) -> None:
        try:
            await self._client.put(path, data, media_type=_media_type(path, data), metadata={DIGEST: digest.sha256})
        except ContentStoreError:
            self._may_be_written = False
            raise
        self._may_be_written = True


class _Verified(AsyncIterator[bytes]):
    """The chunks of a download, of at most 1 MiB each; the last one comes only if all are what was stored."""

    def __init__(self, download: S3Download) -> None:
        self._chunks = download.chunks
        self._position = download.start
        self._stop = download.stop
        is_whole = (download.start, download.stop) == (0, download.object.byte_size)
        self._expected = _sha256_of(download.object) if is_whole else None
        self._sha256 = hashlib.sha256()
        self._rest = b""

    async def __anext__(self) -> bytes:
        if not self._rest:
            self._rest = await self._next()
        chunk, self._rest = self._rest[:AT_ONCE_SIZE], self._rest[AT_ONCE_SIZE:]
        return chunk

    async def _next(self) -> bytes:
        if self._position == self._stop:
            raise StopAsyncIteration
        chunk = b""
        while not chunk:
            try:
                chunk = await anext(self._chunks)
            except StopAsyncIteration:
                raise ContentStoreError("The content breaks off before its end.") from None
        self._position += len(chunk)
        if self._position > self._stop:
            raise ContentStoreError("The content store sends more bytes than it has announced.")
        if self._expected is not None:
            self._sha256.update(chunk)
            if self._position == self._stop and self._sha256.hexdigest() != self._expected:
                raise DamagedContentError("The content is not what was stored: its SHA-256 differs.")
        return chunk


def _checked(key: ContentKey) -> ContentKey:
    if not _is_key(key):
        raise ContentStoreError("The content's key is malformed.")
    return key


def _is_key(text: str) -> bool:
    return _KEY.fullmatch(text) is not None


def _first_part(key: str) -> str:
    return key.partition("-")[0]


def _sha256_of(found: S3Object) -> str | None:
    sha256 = found.metadata.get(DIGEST)
    return sha256 if sha256 is not None and _SHA256.fullmatch(sha256) else None


def _is_same(one: S3Object, other: S3Object) -> bool:
    """Whether two objects surely have the same bytes."""
    sha256 = _sha256_of(one)
    return sha256 is not None and (one.byte_size, sha256) == (other.byte_size, _sha256_of(other))


def _media_type(path: str, data: bytes | bytearray) -> str:
    """Return the media type that the bytes begin like, or that a variant's name tells."""
    bitmap = bitmap_type_of(bytes(data[:64]))
    if bitmap is not None:
        return bitmap
    if is_markup(data):
        return MediaType.SVG
    return _BY_EXTENSION.get(f".{path.rpartition('.')[2]}", "application/octet-stream")
