"""The routes to the bytes of one's own images, which take a signed link in place of a login."""

from collections.abc import Callable

from litestar import HttpMethod, Router, route
from litestar.types import ASGIApp

from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.auth.authentication import APIRequest, authentication
from pixyproxy.entrypoints.http.auth.authorization import require_login
from pixyproxy.entrypoints.http.auth.logins import logins
from pixyproxy.entrypoints.http.auth.security import OPTIONAL_LOGIN
from pixyproxy.entrypoints.http.auth.signed_link import SignedLinkAuthenticator
from pixyproxy.entrypoints.http.content.delivery import DOWNLOAD_PARAMETER
from pixyproxy.entrypoints.http.content.signed_links import SIGNED_LINK_PARAMETERS
from pixyproxy.entrypoints.http.content.variants import VARIANT_PARAMETERS
from pixyproxy.entrypoints.http.images.resource import ImageResource
from pixyproxy.entrypoints.http.images.responses import IMAGE_CONTENT
from pixyproxy.entrypoints.http.parameters import Filename, Guid, taking
from pixyproxy.entrypoints.http.problems.responses import problems


def linked_content(container: Container, images: ImageResource, logged: Callable[[ASGIApp], ASGIApp]) -> Router:
    """Return the routes below those of the user's own images; `logged` is the middleware that logs administrators."""
    signed_link = SignedLinkAuthenticator(link_signer=container.link_signer(), clock=container.clock())
    responses = IMAGE_CONTENT | problems(400, 401, 403, 404, 412, 416, 503)

    @route(
        "/{guid:str}/content",
        http_method=[HttpMethod.GET, HttpMethod.HEAD],
        summary="The bytes of one's own image",
        operation_class=taking(*SIGNED_LINK_PARAMETERS, *VARIANT_PARAMETERS, DOWNLOAD_PARAMETER),
        responses=responses,
    )
    async def get_private_image_content(guid: Guid, request: APIRequest) -> ASGIApp:
        """Return the bytes of an image you authored, or have a signed link to.

        They have their true media type, or are a variant.
        """
        return await images.content(request, guid)

    @route(
        "/{guid:str}/content/{filename:str}",
        http_method=[HttpMethod.GET, HttpMethod.HEAD],
        summary="The bytes of one's own image, under a file name",
        operation_class=taking(*SIGNED_LINK_PARAMETERS, *VARIANT_PARAMETERS, DOWNLOAD_PARAMETER),
        responses=responses,
    )
    async def get_named_private_image_content(
        guid: Guid,
        filename: Filename,  # noqa: ARG001 -- for clients that look at the extension
        request: APIRequest,
    ) -> ASGIApp:
        """Return the same bytes, whatever the name.

        It is for people, and for programs that look at the extension.
        """
        return await images.content(request, guid)

    return Router(
        "/",
        route_handlers=[get_private_image_content, get_named_private_image_content],
        middleware=[authentication(signed_link, *logins(container)), require_login, logged],
        security=OPTIONAL_LOGIN,
    )
