"""Use case: publish or hide many images."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from pixyproxy.application.bulk import BulkResult, each_of
from pixyproxy.application.change_image import ChangeImage
from pixyproxy.domain.image import Image, ImageChanges, Visibility
from pixyproxy.domain.user import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class SetVisibility:
    """Make images of the principal's own public or private; takes guids and raises errors as `TagImages` does."""

    change_image: ChangeImage

    async def __call__(
        self, guids: Sequence[UUID], principal: Principal, visibility: Visibility
    ) -> Sequence[BulkResult]:
        changes = ImageChanges(visibility=visibility)

        async def change(guid: UUID) -> Image:
            return await self.change_image(guid, principal, changes)

        return await each_of(guids, change)
