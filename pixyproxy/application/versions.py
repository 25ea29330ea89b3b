"""Optimistic locking of images."""

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

# The attempts that may lose against other writers.
_ATTEMPTS: Final = 100

# Writers of this process that have lost a race for an image try again one at a time.
_turns: Final[WeakValueDictionary[UUID, asyncio.Lock]] = WeakValueDictionary()


async def at_current_version(
    images: ImageRepository,
    guid: UUID,
    principal: Principal,
    work: Callable[[Image], Awaitable[T]],
    *,
    versions: Collection[int] | None,
) -> T:
    """Call `work` with the current state of an image of the principal's own, and return its result.

    If another writer is faster, for which `work` raises `ConstraintViolationError`, reads the image and calls `work`
    again. Raises what `ChangeImage` raises.
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
