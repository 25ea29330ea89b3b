"""Image records in memory."""

from collections.abc import Callable, Sequence
from itertools import count
from uuid import UUID

import msgspec

from pixyproxy.domain.errors import ConstraintViolationError
from pixyproxy.domain.image import Image, ImageCursor, ImageId, ImageStatus, Visibility, image_not_found
from pixyproxy.domain.ports import ImageRepository
from pixyproxy.domain.user import UserName


class InMemoryImageRepository(ImageRepository):
    """Keeps image records as long as the object lives; for tests and for hosts that need no more."""

    def __init__(self) -> None:
        self._images: dict[UUID, Image] = {}
        self._ids = count(1)

    async def add(self, image: Image) -> Image:
        if image.guid in self._images:
            raise ConstraintViolationError("An image with this guid is stored already.")
        stored = msgspec.structs.replace(image, id=ImageId(next(self._ids)))
        self._images[image.guid] = stored
        return stored

    async def get(self, guid: UUID) -> Image:
        try:
            return self._images[guid]
        except KeyError:
            raise image_not_found(guid) from None

    async def update(self, image: Image, *, expected: ImageStatus) -> None:
        stored = await self.get(image.guid)
        if stored.status is not expected:
            raise ConstraintViolationError("The image has been changed by somebody else.")
        self._images[image.guid] = msgspec.structs.replace(
            stored,
            status=image.status,
            filename=image.filename,
            content=image.content,
            usage=image.usage,
            failure=image.failure,
            updated_at=image.updated_at,
        )

    async def list_public(self, *, limit: int, after: ImageCursor | None = None) -> Sequence[Image]:
        return self._list(lambda image: image.visibility is Visibility.PUBLIC, limit, after)

    async def list_authored_by(
        self, author: UserName, *, limit: int, after: ImageCursor | None = None
    ) -> Sequence[Image]:
        return self._list(lambda image: image.author == author, limit, after)

    async def check(self) -> None:
        return

    def _list(self, is_wanted: Callable[[Image], bool], limit: int, after: ImageCursor | None) -> Sequence[Image]:
        found = [
            image
            for image in self._images.values()
            if image.status is ImageStatus.READY
            and is_wanted(image)
            and (after is None or (image.created_at, image.guid) < (after.created_at, after.guid))
        ]
        return sorted(found, key=lambda image: (image.created_at, image.guid), reverse=True)[:limit]
