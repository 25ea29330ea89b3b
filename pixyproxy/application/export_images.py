"""Use case: write images into an archive."""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from pixyproxy.application.progress import no_progress
from pixyproxy.domain.content import ContentInfo, ContentKey
from pixyproxy.domain.errors import (
    ContentNotFoundError,
    ContentStoreError,
    DamagedContentError,
    DamagedRecordError,
    RecordNotFoundError,
)
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import (
    ArchiveProblem,
    ContentStore,
    DamagedRecord,
    ImageArchiveWriter,
    ImageMaintenance,
    ImageRepository,
    Quarantine,
    StoredContent,
)
from pixyproxy.domain.reference import Upload
from pixyproxy.domain.user import UserName

PAGE_SIZE: Final = 200


class ExportOutcome(StrEnum):
    """The outcome for an image.

    `QUARANTINED` counts the entries in quarantine, which are not exported.
    """

    EXPORTED = "exported"
    UNCHANGED = "unchanged"
    BEING_MADE = "being-made"
    FAILED = "failed"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportImages:
    """Write all images, or those of one author, into an archive, except images that are still being made.

    Uploads are written once, before the first image that refers to them. Skips images and uploads that the archive has
    already, so that an interrupted export can go on. Compares content and uploads with their record; an image that
    misses one of them, or has a damaged one, or a damaged record of any author, is reported to `on_problem` and left
    out. `on_progress` gets the number of images examined, of all authors, after each. Memory does not grow with the
    number of images.

    Returns the number of images by outcome; images that are deleted meanwhile are not counted. Quarantine is counted
    for the author, or completely. Raises `DBConnectionError` and `ArchiveError`.
    """

    images: ImageRepository
    image_maintenance: ImageMaintenance
    contents: ContentStore
    upload_contents: ContentStore
    quarantine: Quarantine

    async def __call__(
        self,
        archive: ImageArchiveWriter,
        *,
        author: UserName | None = None,
        on_progress: Callable[[int], None] = no_progress,
        on_problem: Callable[[ArchiveProblem], None] = no_progress,
    ) -> Mapping[ExportOutcome, int]:
        outcomes: Counter[ExportOutcome] = Counter()
        seen = 0
        if (warning := await archive.prepare()) is not None:
            on_problem(warning)
        async for image in self._scan():
            if isinstance(image, DamagedRecord):
                outcomes[ExportOutcome.FAILED] += 1
                on_problem(ArchiveProblem(image.guid, "The record is damaged."))
            elif author is None or image.author == author:
                try:
                    outcomes[await self._export(image, archive)] += 1
                except ContentStoreError as exc:
                    if await self._is_stored(image.guid):
                        outcomes[ExportOutcome.FAILED] += 1
                        on_problem(ArchiveProblem(str(image.guid), exc.detail))
            seen += 1
            on_progress(seen)
        await archive.finish()
        if quarantined := await self._quarantined(author):
            outcomes[ExportOutcome.QUARANTINED] = quarantined
        return outcomes

    async def _quarantined(self, author: UserName | None) -> int:
        """Return the number of entries in quarantine, of all images or of one author's."""
        try:
            items = await self.quarantine.list_quarantine()
        except ContentStoreError:
            return 0
        if author is None:
            return len(items)
        return sum([await self._is_by(author, item.key) for item in items])

    async def _is_by(self, author: UserName, key: ContentKey | None) -> bool:
        try:
            return key is not None and (await self.images.get(UUID(key))).author == author
        except (ValueError, RecordNotFoundError, DamagedRecordError):
            return False

    async def _scan(self) -> AsyncIterator[Image | DamagedRecord]:
        after = ""
        while page := await self.image_maintenance.scan(after=after, limit=PAGE_SIZE):
            for image in page:
                yield image
            after = str(page[-1].guid)

    async def _export(self, image: Image, archive: ImageArchiveWriter) -> ExportOutcome:
        if not image.status.is_final:
            return ExportOutcome.BEING_MADE
        if await archive.has(image):
            return ExportOutcome.UNCHANGED
        for picture in image.request.pictures:
            if picture.upload is not None and not await archive.has_reference(picture.upload.content):
                await self._export_upload(picture.upload, archive)
        if image.content is None:
            await archive.put(image)
        else:
            stored = await self.contents.open(image.content_key)
            await archive.put(image, _compared(stored, image.content))
        return ExportOutcome.EXPORTED

    async def _export_upload(self, upload: Upload, archive: ImageArchiveWriter) -> None:
        try:
            stored = await self.upload_contents.open(upload.key)
            await archive.put_reference(upload.content, _compared(stored, upload.content))
        except (ContentNotFoundError, DamagedContentError) as exc:
            raise DamagedContentError(f"Its upload {upload.content.sha256} can't be exported: {exc.detail}") from exc

    async def _is_stored(self, guid: UUID) -> bool:
        try:
            await self.images.get(guid)
        except RecordNotFoundError:
            return False
        return True


async def _compared(stored: StoredContent, expected: ContentInfo) -> AsyncIterator[bytes]:
    """Yield the chunks; raise `DamagedContentError`, at the end at the latest, if they are not the expected content."""
    if stored.byte_size != expected.byte_size:
        raise DamagedContentError(f"The content has {stored.byte_size:,} bytes and not {expected.byte_size:,}.")
    digest = hashlib.sha256()
    async for chunk in stored.chunks:
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != expected.sha256:
        raise DamagedContentError("The content is not what was stored: its SHA-256 differs.")
