"""Use case: list tags."""

from dataclasses import dataclass

from pixyproxy.application.pages import LIMIT_DEFAULT, cut_page, ensure_limit
from pixyproxy.domain.errors import UnauthorizedError
from pixyproxy.domain.image import ImageScope, Visibility
from pixyproxy.domain.listing import TagCursor, TagFilter, TagPage
from pixyproxy.domain.ports import TagCatalogue
from pixyproxy.domain.user import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class ListTags:
    """Return up to `limit` (1 to 1,000) tags of the ready images in `scope`, with their numbers of images.

    Lists only tags that begin with `prefix`, from the cursor on. Raises `DataValidationError` for the limit and the
    prefix, and `UnauthorizedError` for an anonymous principal's own tags.
    """

    tags: TagCatalogue

    async def __call__(
        self,
        principal: Principal,
        scope: ImageScope = ImageScope.PUBLIC,
        *,
        prefix: str = "",
        limit: int = LIMIT_DEFAULT,
        cursor: TagCursor | None = None,
    ) -> TagPage:
        ensure_limit(limit)
        is_backward = cursor is not None and cursor.is_backward
        found = await self.tags.list_tags(
            _within(scope, principal, prefix),
            # One more than the limit tells whether there are more.
            limit=limit + 1,
            after=None if cursor is None else cursor.tag,
            descending=is_backward,
        )
        page = cut_page(found, limit, is_first=cursor is None, is_backward=is_backward)
        return TagPage(
            tags=page.entries,
            next=TagCursor(page.entries[-1].tag) if page.has_next else None,
            previous=TagCursor(page.entries[0].tag, is_backward=True) if page.has_previous else None,
        )


def _within(scope: ImageScope, principal: Principal, prefix: str) -> TagFilter:
    if scope is ImageScope.PUBLIC:
        return TagFilter(visibility=Visibility.PUBLIC, prefix=prefix)
    if principal.name is None:
        raise UnauthorizedError("Listing the tags of one's own images needs a login.")
    return TagFilter(author=principal.name, prefix=prefix)
