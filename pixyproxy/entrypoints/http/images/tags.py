"""The tags that images have: of the public images for anyone, of one's own with a login."""

from litestar import Response, Router, get
from litestar.di import NamedDependency

from pixyproxy.application import ListTags
from pixyproxy.domain.image import ImageScope
from pixyproxy.domain.user import ANONYMOUS, Principal
from pixyproxy.entrypoints.http.auth.guards import require_login
from pixyproxy.entrypoints.http.images.pages import Pager
from pixyproxy.entrypoints.http.images.responses import LINK_HEADER, LIST_ETAG_HEADER, UNCHANGED, problems
from pixyproxy.entrypoints.http.images.schemas import TagDetail


@get(
    "/",
    summary="List the tags of public images",
    response_description="A page of tags, ordered by their characters.",
    response_headers=[LIST_ETAG_HEADER, LINK_HEADER],
    responses=UNCHANGED | problems(400, 412, 503),
)
async def list_public_tags(
    list_tags: NamedDependency[ListTags],
    tag_prefix: NamedDependency[str],
    pager: NamedDependency[Pager],
) -> Response[list[TagDetail]]:
    """List the tags of the public images, and how many of them have each."""
    return await pager.tags(list_tags, ANONYMOUS, ImageScope.PUBLIC, tag_prefix)


@get(
    "/",
    summary="List the tags of one's own images",
    response_description="A page of tags, ordered by their characters.",
    response_headers=[LIST_ETAG_HEADER, LINK_HEADER],
    responses=UNCHANGED | problems(400, 401, 412, 503),
)
async def list_private_tags(
    list_tags: NamedDependency[ListTags],
    principal: NamedDependency[Principal],
    tag_prefix: NamedDependency[str],
    pager: NamedDependency[Pager],
) -> Response[list[TagDetail]]:
    """List the tags of the images you authored, and how many of them have each."""
    return await pager.tags(list_tags, principal, ImageScope.OWN, tag_prefix)


public_tags = Router("/tag", route_handlers=[list_public_tags], tags=["Public images"])

private_tags = Router(
    "/private/tag",
    route_handlers=[list_private_tags],
    guards=[require_login],
    security=[{"basic": []}],
    tags=["Private images"],
)
