"""The tags of images: of public images for anyone, of one's own with a login."""

from litestar import Response, Router, get

from pixyproxy.domain.image import ImageScope
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.auth.authentication import APIRequest, authentication
from pixyproxy.entrypoints.http.auth.authorization import require_login
from pixyproxy.entrypoints.http.auth.logins import logins
from pixyproxy.entrypoints.http.auth.security import LOGIN
from pixyproxy.entrypoints.http.images.pages import Pages
from pixyproxy.entrypoints.http.images.parameters import TAG_LIST_PARAMETERS
from pixyproxy.entrypoints.http.images.responses import LINK_HEADER, LIST_ETAG_HEADER, UNCHANGED
from pixyproxy.entrypoints.http.images.schemas import TagDetail
from pixyproxy.entrypoints.http.parameters import taking
from pixyproxy.entrypoints.http.problems.responses import problems


def public_tags(container: Container) -> Router:
    """Return the routes of the tags of public images."""
    pages = Pages.of(container)

    @get(
        "/",
        summary="List the tags of public images",
        operation_class=taking(*TAG_LIST_PARAMETERS),
        response_description="A page of tags, ordered by their characters.",
        response_headers=[LIST_ETAG_HEADER, LINK_HEADER],
        responses=UNCHANGED | problems(400, 412, 503),
    )
    async def list_public_tags(request: APIRequest) -> Response[list[TagDetail]]:
        """List the tags of the public images, with their numbers of images."""
        return await pages.tags(request, ImageScope.PUBLIC)

    return Router("/tag", route_handlers=[list_public_tags], tags=["Public images"])


def private_tags(container: Container) -> Router:
    """Return the routes of the tags of a user's own images."""
    pages = Pages.of(container)

    @get(
        "/",
        summary="List the tags of one's own images",
        operation_class=taking(*TAG_LIST_PARAMETERS),
        response_description="A page of tags, ordered by their characters.",
        response_headers=[LIST_ETAG_HEADER, LINK_HEADER],
        responses=UNCHANGED | problems(400, 401, 412, 503),
    )
    async def list_private_tags(request: APIRequest) -> Response[list[TagDetail]]:
        """List the tags of the images you authored, with their numbers of images."""
        return await pages.tags(request, ImageScope.OWN)

    return Router(
        "/private/tag",
        route_handlers=[list_private_tags],
        middleware=[authentication(*logins(container)), require_login],
        security=LOGIN,
        tags=["Private images"],
    )
