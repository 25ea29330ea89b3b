"""Use case: delete an image."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from pixyproxy.application.partial_images import PartialImages
from pixyproxy.application.sweep_uploads import SweepUploads
from pixyproxy.application.versions import at_current_version
from pixyproxy.domain.errors import ConstraintViolationError, ContentStoreError, DBConnectionError
from pixyproxy.domain.image import LATE, Image, ImageStatus
from pixyproxy.domain.ports import ContentStore, ImageDeletions, ImageRepository
from pixyproxy.domain.reference import uploads_in
from pixyproxy.domain.user import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteImage:
    """Delete the record of an image of the principal's own, then its content, variants and partial images.

    Deleting the record also notes that the content is to be deleted, so there is never a record without content. After
    a crash or a failure of the store, `FinishDeletions` does the rest once `lease_seconds` have passed. With
    `sweep_uploads`, uploads that no other image refers to are deleted, too. With `versions`
    the image must have one of these. Raises what `ChangeImage` raises, except `DataValidationError`.
    """

    images: ImageRepository
    deletions: ImageDeletions
    contents: ContentStore
    sweep_uploads: SweepUploads | None = None
    lease_seconds: float = 60.0
    partials: PartialImages | None = None

    async def __call__(self, guid: UUID, principal: Principal, *, versions: Collection[int] | None = None) -> None:
        image = await at_current_version(self.images, guid, principal, self._delete_record, versions=versions)
        with suppress(ContentStoreError, DBConnectionError):
            await self.contents.delete(image.content_key)
            if image.status is not ImageStatus.UNKNOWN:
                await self.deletions.finish_deletion(guid)
            if self.partials is not None:
                await self.partials.delete(image)
            if self.sweep_uploads is not None and uploads_in(image.request.pictures):
                await self.sweep_uploads()

    async def _delete_record(self, image: Image) -> Image:
        if not image.status.is_final:
            raise ConstraintViolationError("An image that is still being made can't be deleted.")
        # The bytes of an image that is unknown may turn up for a while.
        seconds = LATE.total_seconds() if image.status is ImageStatus.UNKNOWN else self.lease_seconds
        await self.deletions.delete(image.guid, expected_version=image.version, lease_seconds=seconds)
        return image
