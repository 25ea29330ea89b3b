"""The public images: anyone may read them, a logged-in user may create them."""

from typing import Annotated

from litestar import HttpMethod, Response, Router, get, post, route
from litestar.params import Body
from litestar.response import ServerSentEvent
from litestar.types import ASGIApp

from pixyproxy.domain.image import ImageScope
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.auth.authentication import APIRequest, authentication
from pixyproxy.entrypoints.http.auth.authorization import require_login
from pixyproxy.entrypoints.http.auth.logins import logins
from pixyproxy.entrypoints.http.auth.security import LOGIN, OPTIONAL_LOGIN
from pixyproxy.entrypoints.http.content.delivery import DOWNLOAD_PARAMETER
from pixyproxy.entrypoints.http.content.variants import VARIANT_PARAMETERS
from pixyproxy.entrypoints.http.images.forms import CreationRequest, Forms, releasing_uploads
from pixyproxy.entrypoints.http.images.parameters import CREATION_PARAMETERS, PUBLIC_LIST_PARAMETERS
from pixyproxy.entrypoints.http.images.resource import ImageResource
from pixyproxy.entrypoints.http.images.responses import (
    ACCEPTED_BATCH,
    BATCH_ETAG_HEADER,
    ETAG_HEADER,
    EVENTS,
    IMAGE_CONTENT,
    LINK_HEADER,
    LIST_ETAG_HEADER,
    PARTIAL,
    TOTAL_HEADER,
    UNCHANGED,
    accepted,
)
from pixyproxy.entrypoints.http.images.schemas import CreatePublicBatch, CreatePublicImage, ImageDetail
from pixyproxy.entrypoints.http.options import options
from pixyproxy.entrypoints.http.parameters import BatchGuid, Guid, Position, taking
from pixyproxy.entrypoints.http.paths import PUBLIC_PATH
from pixyproxy.entrypoints.http.problems.handler import MAY_BILL
from pixyproxy.entrypoints.http.problems.responses import CREATION_PROBLEMS, problems
from pixyproxy.entrypoints.settings import Settings


def public_images(container: Container, settings: Settings) -> Router:
    """Return the routes of public images."""
    images = ImageResource.of(container, ImageScope.PUBLIC)
    authenticated = authentication(*logins(container))
    forms = Forms.of(container)
    creators = [
        *([authenticated] if settings.anonymous_create else [authenticated, require_login]),
        releasing_uploads(forms),
    ]

    @post(
        "/",
        status_code=200,
        opt=MAY_BILL,
        response_description="The image, ready to be looked at.",
        summary="Generate a public image",
        operation_class=taking(*CREATION_PARAMETERS),
        request_class=CreationRequest.with_forms(forms),
        middleware=creators,
        security=LOGIN,
        responses=CREATION_PROBLEMS | accepted(ImageDetail),
    )
    async def create_public_image(
        data: Annotated[CreatePublicImage, Body(description="The image to generate.")], request: APIRequest
    ) -> Response[ImageDetail]:
        """Generate an image from a prompt and keep it. It takes 10 to 120 seconds with OpenAI and costs money."""
        return await images.create(request, data)

    @get(
        "/",
        summary="List public images",
        operation_class=taking(*PUBLIC_LIST_PARAMETERS),
        response_description="A page of images.",
        response_headers=[LIST_ETAG_HEADER, LINK_HEADER, TOTAL_HEADER],
        responses=UNCHANGED | problems(400, 412, 503),
    )
    async def list_public_images(request: APIRequest) -> Response[list[ImageDetail]]:
        """List the public images that fit all filters. Follow the `Link` header to see each image exactly once."""
        return await images.list(request)

    @get(
        "/{guid:str}",
        summary="The details of a public image",
        response_description="The details.",
        response_headers=[ETAG_HEADER],
        middleware=[authenticated],
        security=OPTIONAL_LOGIN,
        responses=UNCHANGED | problems(400, 401, 404, 412, 503),
    )
    async def get_public_image(guid: Guid, request: APIRequest) -> Response[ImageDetail]:
        """Return the details of a public image; only its author sees it before it is ready."""
        return await images.details(request, guid)

    @get(
        "/{guid:str}/events",
        summary="Watch a public image",
        middleware=[authenticated],
        security=OPTIONAL_LOGIN,
        responses=EVENTS | problems(400, 401, 404, 503),
    )
    async def get_public_image_events(guid: Guid, request: APIRequest) -> ServerSentEvent:
        """Send an event now, each time the state of the image changes, and for each partial image.

        Only its author sees it before it is ready.
        """
        return await images.events(request, guid)

    @route(
        "/{guid:str}/partial/{position:str}",
        http_method=[HttpMethod.GET, HttpMethod.HEAD],
        summary="The bytes of a partial image of a public image",
        middleware=[authenticated],
        security=OPTIONAL_LOGIN,
        responses=PARTIAL | problems(400, 401, 404, 503),
    )
    async def get_public_partial_image(guid: Guid, position: Position, request: APIRequest) -> ASGIApp:
        """Return a picture on the way to the final one, with its true media type, until the image is final.

        Only its author sees it.
        """
        return await images.partial(request, guid, position)

    @route(
        "/{guid:str}/content",
        http_method=[HttpMethod.GET, HttpMethod.HEAD],
        summary="The bytes of a public image",
        operation_class=taking(*VARIANT_PARAMETERS, DOWNLOAD_PARAMETER),
        responses=IMAGE_CONTENT | problems(400, 404, 412, 416, 503),
    )
    async def get_public_image_content(guid: Guid, request: APIRequest) -> ASGIApp:
        """Return the bytes of a public image with their true media type, or a variant in another size or format."""
        return await images.content(request, guid)

    @post(
        "/batch",
        status_code=200,
        opt=MAY_BILL,
        response_description="The images in order: those that are ready, and those that have failed.",
        summary="Generate several public images",
        operation_class=taking(*CREATION_PARAMETERS),
        request_class=CreationRequest.with_forms(forms),
        middleware=creators,
        security=LOGIN,
        responses=CREATION_PROBLEMS | accepted(list[ImageDetail], ACCEPTED_BATCH),
    )
    async def create_public_batch(
        data: Annotated[CreatePublicBatch, Body(description="The images to generate.")], request: APIRequest
    ) -> Response[list[ImageDetail]]:
        """Generate `n` images from one prompt, and answer when all have ended.

        Each is made and billed by itself. If none is ready, the answer is the problem of the first.
        """
        return await images.create_several(request, data)

    @get(
        "/batch/{batch:str}",
        summary="The images of a batch",
        response_description="The details of each, in order.",
        response_headers=[BATCH_ETAG_HEADER],
        middleware=[authenticated],
        security=OPTIONAL_LOGIN,
        responses=UNCHANGED | problems(400, 401, 404, 412, 503),
    )
    async def get_public_batch(batch: BatchGuid, request: APIRequest) -> Response[list[ImageDetail]]:
        """Return the details of the public images of one request; only their author sees those that are not ready."""
        return await images.batch(request, batch)

    return Router(
        PUBLIC_PATH,
        route_handlers=[
            options("/", "GET", "POST"),
            create_public_batch,
            get_public_batch,
            create_public_image,
            list_public_images,
            get_public_image,
            get_public_image_events,
            get_public_partial_image,
            get_public_image_content,
        ],
        tags=["Public images"],
    )
