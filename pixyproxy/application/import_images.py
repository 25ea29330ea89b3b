"""Use case: read images from an archive."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import msgspec

from pixyproxy.application.correct_sizes import exchanged
from pixyproxy.application.import_uploads import ImportUploads
from pixyproxy.application.progress import no_progress
from pixyproxy.domain.content import CONTENT_MAX_SIZE, ContentInfo
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    ContentNotFoundError,
    DamagedContentError,
    DamagedRecordError,
    DataValidationError,
    RecordNotFoundError,
    UploadTooLargeError,
)
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import (
    ArchivedImage,
    ArchivedReference,
    ArchiveProblem,
    ContentInspector,
    ContentStore,
    ImageArchiveReader,
    ImageDeletions,
    ImageRepository,
    Quarantine,
    StoredContent,
    chunks_of,
)
from pixyproxy.domain.reference import uploads_in


class ImportOutcome(StrEnum):
    """The outcome for an entry of an archive."""

    IMPORTED = "imported"
    UNCHANGED = "unchanged"
    MENDED = "mended"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportImages:
    """Store every image of an archive with its guid and all its fields, unless it is stored already.

    Content and uploads are stored before the record that names them, and only if they are whole pictures and exactly
    the record's. A stored image with the same fields gets what it misses of them; one with other fields is left alone.
    Problems are reported to `on_problem` and don't stop the import. `on_progress` gets the number of entries examined
    after each. Memory does not grow with the number of images. May be repeated, also while the service runs.

    Returns the number of images by outcome; `REFUSED` counts other entries, too. Raises `DBConnectionError`,
    `ContentStoreError` and `ArchiveError`; a repeated import stores the rest.
    """

    images: ImageRepository
    deletions: ImageDeletions
    contents: ContentStore
    quarantine: Quarantine
    inspector: ContentInspector
    import_uploads: ImportUploads

    async def __call__(
        self,
        archive: ImageArchiveReader,
        *,
        on_progress: Callable[[int], None] = no_progress,
        on_problem: Callable[[ArchiveProblem], None] = no_progress,
    ) -> Mapping[ImportOutcome, int]:
        outcomes: Counter[ImportOutcome] = Counter()
        # Since the last image.
        stored_uploads: set[str] = set()
        async for found in archive.items():
            outcome, problem = await self._take(found, stored_uploads)
            if outcome is None:
                continue
            outcomes[outcome] += 1
            if problem is not None:
                on_problem(problem)
            on_progress(outcomes.total())
        return outcomes

    async def _take(
        self, found: ArchivedImage | ArchivedReference | ArchiveProblem, stored_uploads: set[str]
    ) -> tuple[ImportOutcome | None, ArchiveProblem | None]:
        """Return the outcome, None for a reference that is not refused, and the problem, if there is one."""
        if isinstance(found, ArchiveProblem):
            return ImportOutcome.REFUSED, found
        try:
            if isinstance(found, ArchivedReference):
                if await self.import_uploads(found):
                    stored_uploads.add(found.sha256)
                return None, None
            outcome = await self._import(found)
            if outcome is ImportOutcome.UNCHANGED and not stored_uploads.isdisjoint(
                uploads_in(found.image.request.pictures)
            ):
                outcome = ImportOutcome.MENDED
            stored_uploads.clear()
        except DataValidationError as exc:
            detail = f"{exc.field} {exc.detail}."
        except (ConstraintViolationError, DamagedContentError, DamagedRecordError, UploadTooLargeError) as exc:
            detail = exc.detail
        else:
            return outcome, None
        name = found.sha256 if isinstance(found, ArchivedReference) else str(found.image.guid)
        return ImportOutcome.REFUSED, ArchiveProblem(name, detail)

    async def _import(self, archived: ArchivedImage) -> ImportOutcome:
        image = archived.image
        if not image.status.is_final:
            raise DataValidationError("status", "must not be that of an image that is still being made")
        if await self._is_stored(image):
            return await self._mend(archived)
        # Otherwise a pending deletion could delete the new content.
        if await self.deletions.is_being_deleted(image.guid):
            raise _being_deleted()
        async with self.import_uploads.held(image):
            return await self._add(archived)

    async def _add(self, archived: ArchivedImage) -> ImportOutcome:
        image = archived.image
        found = await self._put(archived)
        try:
            await self.images.add(msgspec.structs.replace(image, content=found))
        except ConstraintViolationError as exc:
            # Another import may have been faster.
            if await self._is_stored(image):
                return ImportOutcome.UNCHANGED
            raise _being_deleted() from exc
        except DataValidationError:
            if await self.quarantine.list_quarantine(image.content_key):
                # The stored content was paid for, and is not the archive's.
                await self.quarantine.move_to_quarantine(image.content_key)
            else:
                await self.contents.delete(image.content_key)
            raise
        return ImportOutcome.IMPORTED

    async def _is_stored(self, image: Image) -> bool:
        """Whether the image is stored; raise `ConstraintViolationError` if it is stored with other fields."""
        stored = await self._find(image.guid)
        if stored is not None and not _are_equal(stored, image):
            raise ConstraintViolationError("The image is stored already, and differs; it was left as it is.")
        return stored is not None

    async def _find(self, guid: UUID) -> Image | None:
        try:
            return await self.images.get(guid)
        except RecordNotFoundError:
            return None

    async def _mend(self, archived: ArchivedImage) -> ImportOutcome:
        """Store the missing content of a stored image."""
        image = archived.image
        if image.content is None or await self._has_content(image, image.content):
            return ImportOutcome.UNCHANGED
        await self._put(archived)
        if await self._find(image.guid) is None:
            # It was missing because the image is being deleted.
            await self.contents.delete(image.content_key)
        return ImportOutcome.MENDED

    async def _has_content(self, image: Image, expected: ContentInfo) -> bool:
        try:
            return (await self.contents.open(image.content_key)).byte_size == expected.byte_size
        except ContentNotFoundError:
            return False

    async def _put(self, archived: ArchivedImage) -> ContentInfo | None:
        """Store the content, if the image has any, and return its description.

        Raises `DamagedContentError` if it is not the record's. Older records have the sides of a rotated picture
        swapped.
        """
        expected, content = archived.image.content, archived.content
        if expected is None:
            return None
        if content is None or content.byte_size != expected.byte_size:
            raise DamagedContentError("The content does not have the size that the record tells.")
        if content.byte_size > CONTENT_MAX_SIZE:
            raise DamagedContentError(f"The content has more than {CONTENT_MAX_SIZE >> 20} MiB.")
        # A tar can be read only once.
        data = b"".join([chunk async for chunk in content.chunks])
        found = await self.inspector.inspect(StoredContent(len(data), chunks_of(data)))
        if found != expected and not (found == exchanged(expected) and self.inspector.is_turned(data)):
            raise DamagedContentError("The content is not the picture that the record tells of.")
        await self.contents.put(archived.image.content_key, chunks_of(data))
        return found


def _are_equal(stored: Image, image: Image) -> bool:
    """Whether the records are equal, except for what data upgrades change.

    That is the size of a rotated picture and, with each change, the version and its time.
    """
    content = image.content
    if content is not None and content.width != content.height and stored.content == exchanged(content):
        content = stored.content
    return stored == msgspec.structs.replace(
        image, id=stored.id, content=content, version=stored.version, updated_at=stored.updated_at
    )


def _being_deleted() -> ConstraintViolationError:
    return ConstraintViolationError("The image is just being deleted; import it again later.")
