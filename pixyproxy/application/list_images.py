"""Use case: list images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from pixyproxy.application.pages import LIMIT_DEFAULT, PAGE_MAX_BYTES, count_fitting, cut_page, ensure_limit
from pixyproxy.domain.errors import (
    DataValidationError,
    OperationNotAllowedError,
    RecordNotFoundError,
    UnauthorizedError,
)
from pixyproxy.domain.image import Image, ImageScope, ImageStatus, Visibility
from pixyproxy.domain.listing import ImageCursor, ImageFilter, ImageOrder, ImagePage, ImagePosition
from pixyproxy.domain.ports import ImageCatalogue, ImageRepository
from pixyproxy.domain.user import Principal

# Images per query; the longest prompts of one query take 16 MB. A default page takes one query.
_BATCH: Final = 128

_SIZE_WITHOUT_TEXTS: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class ListImages:
    """Return up to `limit` (1 to 1,000) images in `scope` that match `wanted`, from the cursor on.

    A page ends before `max_bytes` of text, but has at least one image if there are any. Following the cursors shows
    each image that matches from the start to the end exactly once, whatever is written meanwhile. `with_total` counts
    all matches, which takes longer the more there are. Images derived from one that the principal may not read in the
    scope, where other authors' public images count as well, are not listed. An administrator's own images
    are those of the author that `wanted` names, if it names one.

    Raises `DataValidationError` for the limit and for public images that are not ready, `UnauthorizedError` for an
    anonymous principal's own images, and `OperationNotAllowedError` for `derived_from` without the port `images`, which
    is optional.
    """

    catalogue: ImageCatalogue
    images: ImageRepository | None = None
    max_bytes: int = PAGE_MAX_BYTES

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
        if within is None or not await self._may_know_parent(within, scope, principal):
            return ImagePage(images=[], total=0 if with_total else None)
        is_backward = cursor is not None and cursor.is_backward
        # One more than the limit tells whether there are more.
        found = await self._find(
            within,
            scope=scope,
            limit=limit + 1,
            order=order.reversed if is_backward else order,
            after=None if cursor is None else cursor.position,
        )
        fitting = min(limit, count_fitting([_text_size(image, scope) for image in found], self.max_bytes))
        page = cut_page(found, fitting, is_first=cursor is None, is_backward=is_backward)
        return ImagePage(
            images=page.entries,
            next=ImageCursor(ImagePosition.of(page.entries[-1])) if page.has_next else None,
            previous=ImageCursor(ImagePosition.of(page.entries[0]), is_backward=True) if page.has_previous else None,
            total=await self.catalogue.count_listed(within) if with_total else None,
        )

    async def _may_know_parent(self, within: ImageFilter, scope: ImageScope, principal: Principal) -> bool:
        if within.derived_from is None:
            return True
        if self.images is None:
            raise OperationNotAllowedError("Lists of derived images are not supported here.")
        try:
            parent = await self.images.get(within.derived_from)
        except RecordNotFoundError:
            return False
        return any(parent.is_readable_by(principal, each) for each in {scope, ImageScope.PUBLIC})

    async def _find(
        self, within: ImageFilter, *, scope: ImageScope, limit: int, order: ImageOrder, after: ImagePosition | None
    ) -> Sequence[Image]:
        """Return up to `limit` images, or as many as fill a page.

        Fetches them in batches, so that memory holds little more than the page.
        """
        found: list[Image] = []
        size = 0
        while len(found) < limit and size <= self.max_bytes:
            wanted = min(_BATCH, limit - len(found))
            batch = await self.catalogue.list(within, limit=wanted, order=order, after=after)
            found += batch
            if len(batch) < wanted or len(found) == limit:
                break
            size += sum(_text_size(image, scope) for image in batch)
            after = ImagePosition.of(batch[-1])
        return found


def _text_size(image: Image, scope: ImageScope) -> int:
    """Return about the number of bytes that an image takes on a page; authors see the whole request and its result."""
    size = _SIZE_WITHOUT_TEXTS + sum(len(tag.encode()) for tag in image.tags)
    if scope is ImageScope.PUBLIC:
        return size + len(image.prompt.encode())
    told = (image.request, image.result, image.sender, image.failure)
    return size + len(msgspec.json.encode(told)) + len(str(image.usage))


def _within(scope: ImageScope, principal: Principal, wanted: ImageFilter) -> ImageFilter | None:
    """Return the filter within the scope, or None if no image can match."""
    if scope is ImageScope.PUBLIC:
        if wanted.status is not ImageStatus.READY:
            raise DataValidationError("status", "must be ready in lists of public images")
        if wanted.visibility is Visibility.PRIVATE:
            return None
        return msgspec.structs.replace(wanted, visibility=Visibility.PUBLIC, searches_senders=False)
    if principal.name is None:
        raise UnauthorizedError("Listing one's own images needs a login.")
    author = wanted.author or principal.name
    if not principal.may_manage(author):
        return None
    return msgspec.structs.replace(wanted, author=author, searches_senders=True)
