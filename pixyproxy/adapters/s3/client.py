"""The one module that knows obstore, the client for S3."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from pixyproxy.adapters.s3.errors import RANGE_NOT_SATISFIABLE, status_of, translated
from pixyproxy.adapters.s3.url import S3URL
from pixyproxy.domain.errors import ContentStoreError
from pixyproxy.domain.ports import chunks_of

if TYPE_CHECKING:
    from obstore import BytesStream, GetOptions
    from obstore.store import ClientConfig, S3Store

T = TypeVar("T")

CHUNK_SIZE: Final = 256 * 1024

# The first bounds each read of a download and not the whole, which goes on for as long as a slow client reads.
_SILENCE: Final = timedelta(seconds=10)
_DOWNLOAD_TIMEOUT: Final = timedelta(hours=1)
_TIMEOUT: Final = timedelta(seconds=10)
# All attempts at an upload together.
_UPLOAD_SECONDS: Final = 10.0
_UPLOAD_RATE: Final = 1 << 20
# Whatever is larger may take longer than the others on its way.
_LARGE: Final = 4 << 20
_LARGE_TIMEOUT: Final = timedelta(seconds=120)
_CONNECT_TIMEOUT: Final = timedelta(seconds=5)
_PAGE: Final = 1_000

CLOSE_SECONDS: Final = 10.0
# obstore's threads still call into Python for a moment after an operation: at the interpreter's end that is a crash.
REST_SECONDS: Final = 0.3


class S3Object(NamedTuple):
    """What a bucket tells about an object: its size and its metadata."""

    byte_size: int
    metadata: Mapping[str, str]


class S3Entry(NamedTuple):
    """An object in a listing."""

    path: str
    byte_size: int


class S3Download(NamedTuple):
    """An object, and its bytes from `start` up to, but without, `stop`, which can be read once."""

    object: S3Object
    start: int
    stop: int
    chunks: AsyncIterator[bytes]


class S3Client:
    """Asks a bucket. Paths are whole keys, without a slash at the beginning.

    Every request has a time-out and few retries; an upload is one PUT that shows all or nothing. Credentials come from
    the environment under the customary names (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`), from
    a web identity, a container's or an instance's role. Raises `ContentNotFoundError` and `ContentStoreError`.
    """

    def __init__(self, url: S3URL) -> None:
        self._url = url
        self._stores: dict[str, S3Store] = {}
        self._running: set[asyncio.Future[Any]] = set()
        self._last = -REST_SECONDS

    async def put(self, path: str, data: bytes | bytearray, *, media_type: str, metadata: Mapping[str, str]) -> None:
        """Store an object as a whole, with a checksum that the server verifies, and replace an earlier one."""
        store = self._large if len(data) > _LARGE else self._quick
        attributes = {"Content-Type": media_type, **metadata}
        try:
            async with asyncio.timeout(_UPLOAD_SECONDS + len(data) / _UPLOAD_RATE):
                await self.ask(lambda: store.put_async(path, data, attributes=attributes, use_multipart=False))
        except TimeoutError:
            raise ContentStoreError("The content store does not answer.") from None

    async def head(self, path: str) -> S3Object:
        """Return what the bucket tells about an object."""
        result = await self.ask(lambda: self._quick.get_async(path, options={"head": True}))
        return S3Object(result.meta["size"], result.attributes)

    async def get(self, path: str, start: int = 0, end: int | None = None) -> S3Download:
        """Begin to download an object, or the part of it that a range of at least one byte has."""
        options: GetOptions = {}
        if end is not None:
            options = {"range": (start, end)}
        elif start:
            options = {"range": {"offset": start}}
        try:
            result = await self.ask(lambda: self._downloads.get_async(path, options=options))
        except RangeNotSatisfiableError:
            found = await self.head(path)
            return S3Download(found, found.byte_size, found.byte_size, chunks_of(b""))
        found = S3Object(result.meta["size"], result.attributes)
        stop = found.byte_size if end is None else min(end, found.byte_size)
        return S3Download(found, start, stop, _Chunks(self, result.stream(min_chunk_size=CHUNK_SIZE)))

    async def copy(self, source: str, target: str) -> None:
        """Copy an object within the bucket, with its metadata."""
        await self.ask(lambda: self._large.copy_async(source, target))

    async def delete(self, paths: Sequence[str]) -> None:
        """Remove objects, if they are there."""
        if paths:
            await self.ask(lambda: self._quick.delete_async(paths))

    async def entries(self, folder: str, *, after: str | None = None) -> AsyncIterator[S3Entry]:
        """Yield the objects below a folder in the order of the listing, those behind the path `after`."""
        pages = self._quick.list(folder, offset=after, chunk_size=_PAGE)
        while True:
            try:
                page = await self.ask(lambda: anext(pages))
            except StopAsyncIteration:
                return
            for entry in page:
                yield S3Entry(entry["path"], entry["size"])

    async def close(self) -> None:
        """Wait for the requests that are running, or cancel them after 10 seconds, and let obstore's threads rest."""
        if self._running:
            await asyncio.wait(self._running, timeout=CLOSE_SECONDS)
            for running in self._running:
                running.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
        await asyncio.sleep(max(0.0, self._last + REST_SECONDS - monotonic()))

    @property
    def _quick(self) -> "S3Store":
        return self._store("quick", _TIMEOUT, {}, retries=1)

    @property
    def _large(self) -> "S3Store":
        return self._store("large", _LARGE_TIMEOUT, {}, retries=1)

    @property
    def _downloads(self) -> "S3Store":
        return self._store("downloads", _DOWNLOAD_TIMEOUT, {"read_timeout": _SILENCE}, retries=2)

    def _store(self, name: str, timeout: timedelta, more: "ClientConfig", *, retries: int) -> "S3Store":
        """Return the store of this name, which has its own connections."""
        if name not in self._stores:
            from obstore.store import S3Store  # noqa: PLC0415 -- 16 MB that no other content store needs

            url = self._url
            # By this name the endpoint wins over AWS_ENDPOINT_URL_S3 in the environment.
            place: Any = {"aws_endpoint_url_s3": url.endpoint, "region": url.region}
            # Whether to encrypt is up to the address, which the environment may give.
            options: ClientConfig = {"allow_http": True, "connect_timeout": _CONNECT_TIMEOUT, "user_agent": "pixyproxy"}
            self._stores[name] = S3Store(
                url.bucket,
                **{option: value for option, value in place.items() if value is not None},
                checksum_algorithm="SHA256",
                # Not every server knows the bulk deletion.
                disable_bulk_delete=True,
                client_options={**options, "timeout": timeout, **more},
                retry_config={"max_retries": retries, "retry_timeout": timeout},
            )
        return self._stores[name]

    async def ask(self, begin: Callable[[], Awaitable[T]]) -> T:
        """Wait for one of obstore's operations, which are futures and no coroutines."""
        from obstore.exceptions import BaseError  # noqa: PLC0415 -- as above

        try:
            running = asyncio.ensure_future(begin())
            self._running.add(running)
            running.add_done_callback(self._forget)
            return await running
        except (BaseError, FileNotFoundError) as exc:
            if status_of(exc) == RANGE_NOT_SATISFIABLE:
                raise RangeNotSatisfiableError from None
            # The text of obstore's error has the address of the server and what it sent.
            raise translated(exc) from None

    def _forget(self, done: "asyncio.Future[Any]") -> None:
        self._running.discard(done)
        self._last = monotonic()


class RangeNotSatisfiableError(ContentStoreError):
    """No byte of the object is in the range."""

    def __init__(self) -> None:
        super().__init__("The content store does not have the range.")


class _Chunks(AsyncIterator[bytes]):
    """The chunks of a download, of about 256 KiB each."""

    def __init__(self, client: S3Client, stream: "BytesStream") -> None:
        self._client = client
        self._stream = stream

    async def __anext__(self) -> bytes:
        return await self._client.ask(self._stream.__anext__)
