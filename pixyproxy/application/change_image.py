"""Use case: change an image's tags, its visibility or its file name."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from uuid import UUID

from pixyproxy.application.versions import at_current_version
from pixyproxy.domain.image import Image, ImageChanges
from pixyproxy.domain.ports import Clock, ImageRepository
from pixyproxy.domain.user import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeImage:
    """Change an image of the principal's own and return it; later reads never see the old state.

    Takes the changes, or a function that makes them from the current image. With `versions` the image must have one of
    these, so that the caller overwrites nothing unseen. Changes without an effect are not stored.

    Raises `DataValidationError`; `RecordNotFoundError`, the same for an unknown image and for one that the principal
    may not know of; `OperationNotAllowedError` for another author's public image; `ConstraintViolationError` for one
    that is still being made; and `PreconditionFailedError` for a version that is none of `versions`.
    """

    images: ImageRepository
    clock: Clock

    async def __call__(
        self,
        guid: UUID,
        principal: Principal,
        changes: ImageChanges | Callable[[Image], ImageChanges],
        *,
        versions: Collection[int] | None = None,
    ) -> Image:
        async def store(image: Image) -> Image:
            wanted = changes(image) if callable(changes) else changes
            changed = image.changed(wanted, at=self.clock.now())
            if changed is not image:
                await self.images.change(changed, expected_version=image.version)
            return changed

        return await at_current_version(self.images, guid, principal, store, versions=versions)
