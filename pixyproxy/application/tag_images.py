"""Use case: add tags to many images, and remove others."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from pixyproxy.application.bulk import BulkResult, each_of
from pixyproxy.application.change_image import ChangeImage
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import Image, ImageChanges, parse_tags
from pixyproxy.domain.user import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class TagImages:
    """Add tags to images of one's own, and remove others; the order of those that stay is kept.

    Takes 1 to 1,000 different guids. Each image is changed by itself, and one that can't be changes nothing for the
    others. Raises `DataValidationError` for what is wrong with the request as a whole.
    """

    change_image: ChangeImage

    async def __call__(
        self, guids: Sequence[UUID], principal: Principal, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> Sequence[BulkResult]:
        for field, tags in (("add", add), ("remove", remove)):
            _ensure_tags(field, tags)
        if both := set(add) & set(remove):
            raise DataValidationError("add", f"must not have what `remove` has: {min(both)}")

        def changes(image: Image) -> ImageChanges:
            kept = [tag for tag in image.tags if tag not in remove]
            return ImageChanges(tags=[*kept, *(tag for tag in add if tag not in kept)])

        async def change(guid: UUID) -> Image:
            return await self.change_image(guid, principal, changes)

        return await each_of(guids, change)


def _ensure_tags(field: str, tags: Sequence[str]) -> None:
    try:
        parse_tags(tags)
    except DataValidationError as exc:
        raise DataValidationError(exc.field.replace("tags", field), exc.detail) from None
