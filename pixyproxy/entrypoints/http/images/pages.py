"""Pages of images and tags, and the `Link` headers between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlencode

import msgspec
from litestar import Response

from pixyproxy.application import ListImages, ListTags
from pixyproxy.domain.image import ImageScope
from pixyproxy.domain.listing import ImageFilter, ImageOrder, ImagePage
from pixyproxy.domain.user import ANONYMOUS, Principal
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.cursor_signer import CursorSigner
from pixyproxy.entrypoints.http.auth.administrators import log_administrator_access
from pixyproxy.entrypoints.http.auth.authentication import APIRequest
from pixyproxy.entrypoints.http.content.representations import FOR_ANYBODY, FOR_ONE, LOGIN_HEADERS, json_response
from pixyproxy.entrypoints.http.images.filters import ImageQuery, parse_image_query, parse_tag_query
from pixyproxy.entrypoints.http.images.preferences import preferences_of
from pixyproxy.entrypoints.http.images.schemas import TagDetail, detail_of

T = TypeVar("T")

# The filters of the first release: list names contain them all, null if they are not given.
_NAMED_ALWAYS: Final = frozenset(
    {"visibility", "author", "tags", "model", "media_type", "created_after", "created_before", "search"}
)


def image_list_name(principal: Principal, scope: ImageScope, wanted: ImageFilter, order: ImageOrder) -> bytes:
    """Return the text that a list's cursors are signed with; it contains later filters only if they are given.

    Changing the text of a list makes the cursors that clients hold invalid.
    """
    given, defaults = msgspec.structs.asdict(wanted), msgspec.structs.asdict(type(wanted)())
    filters = {name: value for name, value in given.items() if value != defaults[name] or name in _NAMED_ALWAYS}
    return msgspec.json.encode((_owner(principal), scope, filters, order))


def tag_list_name(principal: Principal, scope: ImageScope, prefix: str) -> bytes:
    """Return the text that the cursors of a list of tags are signed with."""
    return msgspec.json.encode((_owner(principal), scope, prefix))


def _owner(principal: Principal) -> dict[str, str | None]:
    return {"name": principal.name}


class FoundPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of images, and the signed cursors of its neighbours."""

    page: ImagePage
    next: str | None
    previous: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """Answers requests for lists, one page at a time, with cursors of the neighbouring pages.

    A cursor is signed for one list: the same scope, principal, filters and order.
    """

    list_images: ListImages
    list_tags: ListTags
    cursor_signer: CursorSigner

    @classmethod
    def of(cls, container: Container) -> Self:
        """Return the pages of the container's lists."""
        return cls(
            list_images=container.list_images(),
            list_tags=container.list_tags(),
            cursor_signer=container.cursor_signer(),
        )

    async def images(self, request: APIRequest, scope: ImageScope) -> Response[Any]:
        """Answer with a page of images; raise `DataValidationError` for an invalid parameter."""
        query = parse_image_query(request.query_params, scope)
        found = await self.find(request, scope, query, with_total=preferences_of(request).count_exact)
        page, cursors = found.page, {"next": found.next, "prev": found.previous}
        counted = {} if page.total is None else {"X-Total-Count": str(page.total), "Preference-Applied": "count=exact"}
        details = [detail_of(image, scope) for image in page.images]
        return _page_response(request, details, scope, cursors, counted, varying="Prefer")

    async def find(
        self, request: APIRequest, scope: ImageScope, query: ImageQuery, *, with_total: bool = False
    ) -> FoundPage:
        """Return a page of images, and log that an administrator sees those of another user.

        Raises `DataValidationError` for a cursor that is not one of this list.
        """
        principal = _reader(request, scope)
        name = image_list_name(principal, scope, query.wanted, query.order)
        if principal.is_admin and query.wanted.author is not None:
            log_administrator_access(request.scope, query.wanted.author)
        page = await self.list_images(
            principal,
            scope,
            wanted=query.wanted,
            order=query.order,
            limit=query.limit,
            cursor=await self.cursor_signer.open_image(query.cursor, name),
            with_total=with_total,
        )
        return FoundPage(
            page=page,
            next=await self.cursor_signer.sign_image(page.next, name),
            previous=await self.cursor_signer.sign_image(page.previous, name),
        )

    async def tags(self, request: APIRequest, scope: ImageScope) -> Response[list[TagDetail]]:
        """Answer with a page of tags; raise `DataValidationError` for an invalid parameter."""
        query, principal = parse_tag_query(request.query_params), _reader(request, scope)
        name = tag_list_name(principal, scope, query.prefix)
        page = await self.list_tags(
            principal,
            scope,
            prefix=query.prefix,
            limit=query.limit,
            cursor=await self.cursor_signer.open_tag(query.cursor, name),
        )
        cursors = {
            "next": await self.cursor_signer.sign_tag(page.next, name),
            "prev": await self.cursor_signer.sign_tag(page.previous, name),
        }
        return _page_response(request, [TagDetail(count.tag, count.images) for count in page.tags], scope, cursors)


def _reader(request: APIRequest, scope: ImageScope) -> Principal:
    """Return the principal whose list it is; the public lists are the same for all, and need no authentication."""
    return ANONYMOUS if scope is ImageScope.PUBLIC else request.user


def _page_response(
    request: APIRequest,
    entries: Sequence[T],
    scope: ImageScope,
    cursors: Mapping[str, str | None],
    counted: Mapping[str, str] | None = None,
    *,
    varying: str = "",
) -> Response[list[T]]:
    is_public = scope is ImageScope.PUBLIC
    vary = ", ".join(filter(None, ["" if is_public else LOGIN_HEADERS, varying]))
    headers = {**(FOR_ANYBODY if is_public else FOR_ONE), **(counted or {})}
    if vary:
        headers["Vary"] = vary
    if links := [_link(request, relation, cursor) for relation, cursor in cursors.items() if cursor]:
        headers["Link"] = ", ".join(links)
    return json_response(request, entries, headers, related=[cursors, counted])


def _link(request: APIRequest, relation: str, cursor: str) -> str:
    kept = [(name, value) for name, value in request.query_params.items() if name != "cursor"]
    path = request.scope["path"].rstrip("/")
    return f'<{path}?{urlencode([*kept, ("cursor", cursor)])}>; rel="{relation}"'
