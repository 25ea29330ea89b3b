"""Use case: a page of images, newest first."""

from dataclasses import dataclass

from pixyproxy.domain.errors import DataValidationError, UnauthorizedError
from pixyproxy.domain.image import ImageCursor, ImagePage, ImageScope
from pixyproxy.domain.ports import ImageRepository
from pixyproxy.domain.user import Principal

LIMIT_DEFAULT = 100
LIMIT_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ListImages:
    """Return at most `limit` (1 to 1,000) images of those in `scope`, newest first, from behind `after` on.

    Following the pages' cursors shows each image that was ready at the start exactly once, whatever is created
    meanwhile. Raises `DataValidationError` for the limit, and `UnauthorizedError` for nobody's own images.
    """

    images: ImageRepository

    async def __call__(
        self,
        principal: Principal,
        scope: ImageScope = ImageScope.PUBLIC,
        *,
        limit: int = LIMIT_DEFAULT,
        after: ImageCursor | None = None,
    ) -> ImagePage:
        if not 1 <= limit <= LIMIT_MAX:
            raise DataValidationError("limit", f"must be 1 to {LIMIT_MAX}, not {limit}")
        # One more than asked for tells whether there is a next page.
        if scope is ImageScope.PUBLIC:
            found = await self.images.list_public(limit=limit + 1, after=after)
        elif principal.name is None:
            raise UnauthorizedError("Listing one's own images needs a login.")
        else:
            found = await self.images.list_authored_by(principal.name, limit=limit + 1, after=after)
        images = found[:limit]
        return ImagePage(images, ImageCursor.behind(images[-1]) if len(found) > limit else None)
