"""Use case: delete many images."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from pixyproxy.application.bulk import BulkResult, each_of
from pixyproxy.application.delete_image import DeleteImage
from pixyproxy.domain.user import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteImages:
    """Delete images of the principal's own; takes and raises what `TagImages` does."""

    delete_image: DeleteImage

    async def __call__(self, guids: Sequence[UUID], principal: Principal) -> Sequence[BulkResult]:
        async def delete(guid: UUID) -> None:
            await self.delete_image(guid, principal)

        return await each_of(guids, delete)
