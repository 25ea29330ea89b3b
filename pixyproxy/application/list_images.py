"""Use case: a page of images."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from pixyproxy.domain.errors import DataValidationError, UnauthorizedError
from pixyproxy.domain.image import Image, ImageScope, Visibility
from pixyproxy.domain.listing import ImageCursor, ImageFilter, ImageOrder, ImagePage, ImagePosition
from pixyproxy.domain.ports import ImageRepository
from pixyproxy.domain.user import Principal

LIMIT_DEFAULT = 100
LIMIT_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ListImages:
    """Return at most `limit` (1 to 1,000) ready images of those in `scope` that fit `wanted`, from the cursor on.

    Following the pages' cursors shows each image that was there at the start, and is still there, exactly once,
    whatever others write meanwhile. How many images fit is counted `with_total` only, because that takes longer the
    more there are. Raises `DataValidationError` for the limit, and `UnauthorizedError` for nobody's own images.
    """

    images: ImageRepository

    async def __call__(
        self,
        principal: Principal,
        scope: ImageScope = ImageScope.PUBLIC,
        *,
        wanted: ImageFilter | None = None,
        order: ImageOrder = ImageOrder.NEWEST_FIRST,
        limit: int = LIMIT_DEFAULT,
        cursor: ImageCursor | None = None,
        with_total: bool = False,
    ) -> ImagePage:
        ensure_limit(limit)
        within = _within(scope, principal, wanted or ImageFilter())
        if within is None:
            return ImagePage(images=[], total=0 if with_total else None)
        is_backward = cursor is not None and cursor.is_backward
        found = await self.images.list(
            within,
            # One more than asked for tells whether there are more.
            limit=limit + 1,
            order=order.reversed if is_backward else order,
            after=None if cursor is None else cursor.position,
        )
        images = found[:limit]
        has_more = len(found) > limit
        if is_backward:
            images = images[::-1]
        return ImagePage(
            images=images,
            next=ImageCursor(ImagePosition.of(images[-1])) if images and (has_more or is_backward) else None,
            previous=_before(images) if cursor is not None and (has_more or not is_backward) else None,
            total=await self.images.count_listed(within) if with_total else None,
        )


def ensure_limit(limit: int) -> None:
    """Raise `DataValidationError` unless a page may have so many entries."""
    if not 1 <= limit <= LIMIT_MAX:
        raise DataValidationError("limit", f"must be 1 to {LIMIT_MAX}, not {limit}")


def _within(scope: ImageScope, principal: Principal, wanted: ImageFilter) -> ImageFilter | None:
    """Return the filter of what is in scope, or None if nothing can fit."""
    if scope is ImageScope.PUBLIC:
        if wanted.visibility is Visibility.PRIVATE:
            return None
        return msgspec.structs.replace(wanted, visibility=Visibility.PUBLIC)
    if principal.name is None:
        raise UnauthorizedError("Listing one's own images needs a login.")
    if wanted.author not in {None, principal.name}:
        return None
    return msgspec.structs.replace(wanted, author=principal.name)


def _before(images: Sequence[Image]) -> ImageCursor | None:
    return ImageCursor(ImagePosition.of(images[0]), is_backward=True) if images else None
