"""Pages of images and of tags, and the links between them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response

from pixyproxy.application import ListImages, ListTags
from pixyproxy.domain.image import ImageScope
from pixyproxy.domain.listing import ImageFilter, ImageOrder
from pixyproxy.domain.user import Principal
from pixyproxy.entrypoints.cursor_signer import CursorSigner
from pixyproxy.entrypoints.http.content.representations import FOR_ANYBODY, FOR_ONE, json_response
from pixyproxy.entrypoints.http.images.schemas import ImageDetail, TagDetail

T = TypeVar("T")

# The filters of the first release: the names of its lists have them all, null where they are not given.
_NAMED_ALWAYS: Final = frozenset(
    {"visibility", "author", "tags", "model", "media_type", "created_after", "created_before", "search"}
)


def image_list_name(principal: Principal, scope: ImageScope, wanted: ImageFilter, order: ImageOrder) -> bytes:
    """Return the text that a list's cursors are signed with; a filter added later is in it only where it is given.

    Changing the text of a list makes the cursors that clients hold invalid.
    """
    given = msgspec.structs.asdict(wanted).items()
    filters = {name: value for name, value in given if value or name in _NAMED_ALWAYS}
    return msgspec.json.encode((_owner(principal), scope, filters, order))


def tag_list_name(principal: Principal, scope: ImageScope, prefix: str) -> bytes:
    """Return the text that the cursors of a list of tags are signed with."""
    return msgspec.json.encode((_owner(principal), scope, prefix))


def _owner(principal: Principal) -> dict[str, str | None]:
    return {"name": principal.name}


class ImageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which images a client wants to see in which order, and whether it wants to know how many there are."""

    wanted: ImageFilter
    order: ImageOrder
    count_exact: bool


class Pager(msgspec.Struct, frozen=True):
    """Makes the page of a list that a request asks for: at most `limit` entries from `cursor` on.

    A cursor is signed for one list: the same scope, principal, filters and order.
    """

    request: Request[Any, Any, Any]
    cursor_signer: CursorSigner
    limit: int
    cursor: str | None

    async def images(
        self, list_images: ListImages, principal: Principal, scope: ImageScope, query: ImageQuery
    ) -> Response[list[ImageDetail]]:
        """Answer with a page of images."""
        name = image_list_name(principal, scope, query.wanted, query.order)
        page = await list_images(
            principal,
            scope,
            wanted=query.wanted,
            order=query.order,
            limit=self.limit,
            cursor=await self.cursor_signer.open_image(self.cursor, name),
            with_total=query.count_exact,
        )
        links = {
            "next": await self.cursor_signer.sign_image(page.next, name),
            "prev": await self.cursor_signer.sign_image(page.previous, name),
        }
        counted = {} if page.total is None else {"X-Total-Count": str(page.total), "Preference-Applied": "count=exact"}
        details = [ImageDetail.from_image(image) for image in page.images]
        return self._answer(details, scope, links, counted, varying="Prefer")

    async def tags(
        self, list_tags: ListTags, principal: Principal, scope: ImageScope, prefix: str
    ) -> Response[list[TagDetail]]:
        """Answer with a page of tags."""
        name = tag_list_name(principal, scope, prefix)
        page = await list_tags(
            principal,
            scope,
            prefix=prefix,
            limit=self.limit,
            cursor=await self.cursor_signer.open_tag(self.cursor, name),
        )
        links = {
            "next": await self.cursor_signer.sign_tag(page.next, name),
            "prev": await self.cursor_signer.sign_tag(page.previous, name),
        }
        return self._answer([TagDetail(count.tag, count.images) for count in page.tags], scope, links)

    def _answer(
        self,
        entries: Sequence[T],
        scope: ImageScope,
        links: Mapping[str, str | None],
        counted: Mapping[str, str] | None = None,
        *,
        varying: str = "",
    ) -> Response[list[T]]:
        is_public = scope is ImageScope.PUBLIC
        vary = ", ".join(filter(None, ["" if is_public else "Authorization", varying]))
        headers = {**(FOR_ANYBODY if is_public else FOR_ONE), **(counted or {})}
        if vary:
            headers["Vary"] = vary
        if named := [self._link(relation, cursor) for relation, cursor in links.items() if cursor]:
            headers["Link"] = ", ".join(named)
        return json_response(self.request, entries, headers, related=[links, counted])

    def _link(self, relation: str, cursor: str) -> str:
        kept: Sequence[tuple[str, str]] = [
            (name, value) for name, value in self.request.query_params.multi_items() if name != "cursor"
        ]
        path = self.request.scope["path"].rstrip("/")
        return f'<{path}?{urlencode([*kept, ("cursor", cursor)])}>; rel="{relation}"'
