"""How an image is changed by one at a time."""

from collections.abc import Awaitable, Callable, Collection
from typing import Final, TypeVar
from uuid import UUID

from pixyproxy.domain.errors import ConstraintViolationError, PreconditionFailedError
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import ImageRepository
from pixyproxy.domain.user import Principal

T = TypeVar("T")

# So often others may be faster.
_ATTEMPTS: Final = 10


async def at_current_version(
    images: ImageRepository,
    guid: UUID,
    principal: Principal,
    work: Callable[[Image], Awaitable[T]],
    *,
    versions: Collection[int] | None,
) -> T:
    """Return what `work` does with an image of the principal's own as it is now.

    If somebody else has changed the image meanwhile, for which `work` raises `ConstraintViolationError`, the image is
    read again. Raises what `ChangeImage` raises.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        image = await images.get(guid)
        image.ensure_changeable_by(principal)
        if versions is not None and image.version not in versions:
            raise PreconditionFailedError("The image has changed since its ETag was sent.")
        try:
            return await work(image)
        except ConstraintViolationError:
            if attempt == _ATTEMPTS or (await images.get(guid)).version == image.version:
                raise
    raise AssertionError
