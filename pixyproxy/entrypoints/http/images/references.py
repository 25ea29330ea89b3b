"""The route to the bytes of references."""

from litestar import HttpMethod, route
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from pixyproxy.entrypoints.http.auth.authentication import APIRequest
from pixyproxy.entrypoints.http.content.delivery import DOWNLOAD_PARAMETER
from pixyproxy.entrypoints.http.images.resource import ImageResource
from pixyproxy.entrypoints.http.images.responses import CONTENT
from pixyproxy.entrypoints.http.parameters import Guid, ReferencePosition, taking
from pixyproxy.entrypoints.http.problems.responses import problems


def reference_content(images: ImageResource) -> HTTPRouteHandler:
    """Return the route below those of the user's own images."""

    @route(
        "/{guid:str}/reference/{position:str}/content",
        http_method=[HttpMethod.GET, HttpMethod.HEAD],
        summary="The bytes of a reference of one's own image",
        operation_class=taking(DOWNLOAD_PARAMETER),
        responses=CONTENT | problems(400, 401, 404, 412, 416, 503),
    )
    async def get_reference_content(guid: Guid, position: ReferencePosition, request: APIRequest) -> ASGIApp:
        """Return the bytes of a picture that an image you authored is drawn from, with their true media type.

        It is 404 when the upload or the image is gone, and when you may not read that image any more.
        """
        return await images.reference(request, guid, position)

    return get_reference_content
