"""Use case: get a reference or the mask of an image."""

from dataclasses import dataclass
from uuid import UUID

import msgspec

from pixyproxy.application.find_pictures import FindPictures, FoundPicture
from pixyproxy.domain.errors import ContentNotFoundError, RecordNotFoundError
from pixyproxy.domain.image import ImageScope
from pixyproxy.domain.ports import ImageRepository, StoredContent
from pixyproxy.domain.reference import Reference
from pixyproxy.domain.user import Principal


class StoredReference(msgspec.Struct, frozen=True, kw_only=True):
    """A reference or mask that is there; `reference` says whether it is an upload or an image."""

    reference: Reference
    picture: FoundPicture

    async def open(self, *, start: int = 0, end: int | None = None) -> StoredContent:
        """Return its bytes as `ContentStore.open` does; raise `RecordNotFoundError` if they are gone."""
        try:
            return await self.picture.open_part(start=start, end=end)
        except ContentNotFoundError as exc:
            raise _gone() from exc


@dataclass(frozen=True, slots=True, kw_only=True)
class GetReference:
    """Return the reference at `position`, from 0, or the mask for None, of an image of the principal's own.

    The image may be in any state. Raises `RecordNotFoundError` if there is none, and if it is an image that is gone or
    that the principal may not read any more.
    """

    images: ImageRepository
    find_pictures: FindPictures

    async def __call__(self, guid: UUID, position: int | None, principal: Principal) -> StoredReference:
        image = await self.images.get(guid)
        image.ensure_visible_to(principal, ImageScope.OWN)
        references = image.request.references
        if position is None:
            reference = image.request.mask
        else:
            reference = references[position] if position < len(references) else None
        if reference is None:
            raise RecordNotFoundError("The image has no such reference.")
        try:
            picture = await self.find_pictures.find(reference, principal)
        except RecordNotFoundError as exc:
            raise _gone() from exc
        return StoredReference(reference=reference, picture=picture)


def _gone() -> RecordNotFoundError:
    return RecordNotFoundError("The reference is gone.")
