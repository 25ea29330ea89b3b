"""Use case: store the uploads of an archive."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from pixyproxy.application.store_upload import StoreUpload
from pixyproxy.domain.content import CONTENT_MAX_SIZE, ContentInfo
from pixyproxy.domain.errors import ContentNotFoundError, DamagedContentError, DBConnectionError
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import ArchivedReference, ContentInspector, ContentStore
from pixyproxy.domain.reference import Upload, upload_key_of

_KNOWN_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportUploads:
    """Store a reference of an archive as an upload, unless it is stored already; return whether it was stored.

    Holds it for as long as `store_upload` does: without an image that refers to it, it is deleted after that. Raises
    `DamagedContentError` and `DataValidationError` for bytes that are not what the archive tells, or no picture to draw
    from, `ConstraintViolationError` when another process takes long to delete the same bytes, `ContentStoreError` and
    `DBConnectionError`. After an error nothing of the reference is kept.
    """

    upload_contents: ContentStore
    inspector: ContentInspector
    store_upload: StoreUpload
    _known: dict[str, ContentInfo] = field(default_factory=dict)

    async def __call__(self, reference: ArchivedReference) -> bool:
        sha256 = reference.sha256
        if reference.content.byte_size > CONTENT_MAX_SIZE:
            raise DamagedContentError(f"The reference has more than {CONTENT_MAX_SIZE >> 20} MiB.")
        await self.store_upload.hold(sha256)
        try:
            if await self._is_stored(sha256, reference.content.byte_size):
                return False
            await self.store_upload(_verified(reference), filename=None, field="The reference")
        except BaseException:
            with suppress(DBConnectionError):
                await self.store_upload.uploads.release(sha256)
            raise
        return True

    @asynccontextmanager
    async def held(self, image: Image) -> AsyncIterator[None]:
        """Hold the uploads that an image refers to while it is stored.

        Raises `DamagedContentError` for one that is not stored, or is not what the record of the image tells.
        """
        held: list[Upload] = []
        try:
            for picture in image.request.pictures:
                if picture.upload is not None:
                    await self.store_upload.hold(picture.upload.content.sha256)
                    held.append(picture.upload)
                    await self._check(picture.upload)
            yield
        finally:
            await self.store_upload.release(held)

    async def _is_stored(self, sha256: str, byte_size: int) -> bool:
        try:
            return (await self.upload_contents.open(upload_key_of(sha256))).byte_size == byte_size
        except ContentNotFoundError:
            return False

    async def _check(self, upload: Upload) -> None:
        sha256 = upload.content.sha256
        try:
            stored = await self.upload_contents.open(upload.key)
            if sha256 not in self._known:
                found = (await self.inspector.inspect_input(stored)).content
                if len(self._known) >= _KNOWN_MAX:
                    self._known.clear()
                self._known[sha256] = found
        except ContentNotFoundError as exc:
            raise DamagedContentError(f"Its upload {sha256} is neither in the archive nor stored here.") from exc
        except DamagedContentError as exc:
            raise DamagedContentError(f"Its upload {sha256} can't be used: {exc.detail}") from exc
        if self._known[sha256] != upload.content:
            raise DamagedContentError(f"Its upload {sha256} is not the picture that the record tells of.")


async def _verified(reference: ArchivedReference) -> AsyncIterator[bytes]:
    """Yield the chunks; raise `DamagedContentError` at the end if they do not have the reference's SHA-256."""
    digest = hashlib.sha256()
    async for chunk in reference.content.chunks:
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != reference.sha256:
        raise DamagedContentError("The reference does not have the SHA-256 that its name tells.")
