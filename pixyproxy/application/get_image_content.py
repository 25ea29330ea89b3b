"""Use case: get the bytes of one image."""

from dataclasses import dataclass
from uuid import UUID

from pixyproxy.domain.errors import ContentNotFoundError, ContentStoreError
from pixyproxy.domain.image import Image, ImageScope
from pixyproxy.domain.ports import ContentStore, ImageRepository, StoredContent
from pixyproxy.domain.user import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class GetImageContent:
    """Return one image in `scope`, and its stored content.

    `find` and `open` do this in two steps, for callers that need the image before its bytes. All raise
    `RecordNotFoundError`, the same for an unknown image and for one that the principal may not know of, and
    `ContentStoreError`, also for content of another size than the record's.
    """

    images: ImageRepository
    contents: ContentStore

    async def __call__(
        self, guid: UUID, principal: Principal, scope: ImageScope = ImageScope.PUBLIC
    ) -> tuple[Image, StoredContent]:
        image = await self.find(guid, principal, scope)
        return image, await self.open(image, principal, scope)

    async def find(self, guid: UUID, principal: Principal, scope: ImageScope = ImageScope.PUBLIC) -> Image:
        """Return the image, which is ready."""
        image = await self.images.get(guid)
        image.ensure_readable_by(principal, scope)
        return image

    async def open(
        self,
        image: Image,
        principal: Principal,
        scope: ImageScope = ImageScope.PUBLIC,
        *,
        start: int = 0,
        end: int | None = None,
    ) -> StoredContent:
        """Return the content of an image from `find`; `start` and `end` are those of `ContentStore.open`."""
        try:
            content = await self.contents.open(image.content_key, start=start, end=end)
        except ContentNotFoundError:
            # It may have been deleted meanwhile.
            await self.find(image.guid, principal, scope)
            raise
        if content.byte_size != image.ready_content.byte_size:
            raise ContentStoreError(f"The content of image {image.guid} is damaged.")
        return content
