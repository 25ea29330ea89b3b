"""Use case: store an upload."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from pixyproxy.domain.content import ContentKey, with_extension
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    DamagedContentError,
    DataValidationError,
    DBConnectionError,
    UploadTooLargeError,
)
from pixyproxy.domain.ports import ContentInspector, StoredContent, Uploads, UploadStore
from pixyproxy.domain.reference import Upload, upload_filename

UPLOAD_MAX_SIZE: Final = 50 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUpload:
    """Store a picture that a client uploads as a reference or a mask, and hold it for an image that refers to it.

    Takes its bytes, its file name at the client, and the `field` that errors name. Returns the upload for the
    `GenerationRequest`; call `release` when the image is stored, or is not to be. Without that the hold ends after
    `hold_seconds`. Bytes that are stored already are stored once.

    Raises `UploadTooLargeError` after `max_size` bytes, `DataValidationError` for a file that is no PNG, JPEG or WebP,
    is animated or incomplete, `ConstraintViolationError` when another process takes more than `patience` seconds to
    delete the same bytes, `ContentStoreError`, `DBConnectionError` and what `chunks` raise. After an error nothing is
    kept.
    """

    uploads: Uploads
    upload_store: UploadStore
    inspector: ContentInspector
    max_size: int = UPLOAD_MAX_SIZE
    hold_seconds: float = 3_600.0
    patience: float = 10.0
    pause: float = 0.1
    # A decoded picture takes hundreds of megabytes.
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(
        self, chunks: AsyncIterable[bytes], *, filename: str | None, field: str = "references"
    ) -> Upload:
        accepted: list[Upload] = []

        async def accept(received: StoredContent) -> ContentKey:
            upload = await self._inspected(received, filename, field)
            await self.hold(upload.content.sha256)
            accepted.append(upload)
            return upload.key

        try:
            await self.upload_store.receive(self._bounded(chunks, field), accept)
        except BaseException:
            await self.release(accepted)
            raise
        return accepted[0]

    async def hold(self, sha256: str) -> None:
        """Hold an upload, as soon as an earlier one of the same bytes is deleted; raise `ConstraintViolationError`."""
        clock = asyncio.get_running_loop().time
        ends_at = clock() + self.patience
        while True:
            try:
                await self.uploads.hold(sha256, seconds=self.hold_seconds)
            except ConstraintViolationError:
                if clock() >= ends_at:
                    raise
            else:
                return
            await asyncio.sleep(self.pause)

    async def release(self, uploads: Iterable[Upload]) -> None:
        """End one hold of each upload; one that the database does not let go ends by itself."""
        for upload in uploads:
            with suppress(DBConnectionError):
                await self.uploads.release(upload.content.sha256)

    async def _bounded(self, chunks: AsyncIterable[bytes], field: str) -> AsyncIterator[bytes]:
        byte_size = 0
        async for chunk in chunks:
            byte_size += len(chunk)
            if byte_size > self.max_size:
                raise UploadTooLargeError(f"{field} has more than {self.max_size:,} bytes.", field=field)
            yield chunk

    async def _inspected(self, received: StoredContent, filename: str | None, field: str) -> Upload:
        if not received.byte_size:
            raise DataValidationError(field, "must not be an empty file")
        try:
            async with self.turn:
                content = (await self.inspector.inspect_input(received)).content
        except DamagedContentError as exc:
            raise DataValidationError(field, f"can't be used: {exc.detail}") from exc
        name = upload_filename(filename) or with_extension("upload", content.media_type.extension)
        return Upload(filename=name, content=content)
