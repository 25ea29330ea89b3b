"""How an image is changed by one at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import nullcontext
from typing import Final, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

from pixyproxy.domain.errors import ConstraintViolationError, OverloadedError, PreconditionFailedError
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import ImageRepository
from pixyproxy.domain.user import Principal

T = TypeVar("T")

# So often others may be faster.
_ATTEMPTS: Final = 100

# Of those in this process that have lost a race for an image, one at a time tries again.
_turns: Final[WeakValueDictionary[UUID, asyncio.Lock]] = WeakValueDictionary()


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
    read again, and `work` done with that. Raises what `ChangeImage` raises.
    """
    turn = _turns.setdefault(guid, asyncio.Lock())
    for attempt in range(_ATTEMPTS):
        async with turn if attempt else nullcontext():
            image = await images.get(guid)
            image.ensure_changeable_by(principal)
            if versions is not None and image.version not in versions:
                raise PreconditionFailedError("The image has changed since its ETag was sent.")
            try:
                return await work(image)
            except ConstraintViolationError:
                if (await images.get(guid)).version == image.version:
                    raise
    raise OverloadedError("Others change the image again and again.", retry_after=1.0)
