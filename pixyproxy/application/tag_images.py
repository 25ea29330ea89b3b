"""Use case: add and remove tags of many images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from pixyproxy.application.bulk import BulkResult, each_of
from pixyproxy.application.change_image import ChangeImage
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import Image, ImageChanges
from pixyproxy.domain.tag import Tag, normalized_tags, parse_new_tags, parse_tags
from pixyproxy.domain.user import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class TagImages:
    """Add and remove tags of images of the principal's own; the remaining tags keep their order.

    Takes 1 to 1,000 different guids. Each image is changed by itself, whether the others succeed or not. Raises
    `DataValidationError` for errors in the request as a whole.
    """

    change_image: ChangeImage

    async def __call__(
        self, guids: Sequence[UUID], principal: Principal, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> Sequence[BulkResult]:
        added, removed = _parsed("add", add, parse_new_tags), _parsed("remove", remove, parse_tags)
        if both := set(added) & set(removed):
            raise DataValidationError("add", f"must not have what `remove` has: {min(both)}")

        def changes(image: Image) -> ImageChanges:
            kept = [tag for tag in normalized_tags(image.tags) if tag not in removed]
            return ImageChanges(tags=[*kept, *(tag for tag in added if tag not in kept)])

        async def change(guid: UUID) -> Image:
            return await self.change_image(guid, principal, changes)

        return await each_of(guids, change)


def _parsed(field: str, texts: Sequence[str], parse: Callable[[Sequence[str]], Sequence[Tag]]) -> Sequence[Tag]:
    try:
        return parse(texts)
    except DataValidationError as exc:
        raise DataValidationError(exc.field.replace("tags", field), exc.detail) from None
