"""An author's own images, private ones included: every route needs a login, or for content a signed link."""

from typing import Annotated

from litestar import HttpMethod, Response, Router, get, post, route
from litestar.params import Body
from litestar.response import ServerSentEvent
from litestar.types import ASGIApp

from pixyproxy.domain.image import ImageScope
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.auth.administrators import administrator_log
from pixyproxy.entrypoints.http.auth.authentication import APIRequest, OpenLogin, authentication
from pixyproxy.entrypoints.http.auth.authorization import require_login
from pixyproxy.entrypoints.http.auth.logins import logins
from pixyproxy.entrypoints.http.auth.security import LOGIN
from pixyproxy.entrypoints.http.content.schemas import CreateLinkBody, ImageLink
from pixyproxy.entrypoints.http.content.signed_links import SignedLinkMaker
from pixyproxy.entrypoints.http.images.changes import change_routes
from pixyproxy.entrypoints.http.images.downloads import download_routes
from pixyproxy.entrypoints.http.images.forms import CreationRequest, Forms, releasing_uploads
from pixyproxy.entrypoints.http.images.linked_content import linked_content
from pixyproxy.entrypoints.http.images.parameters import CREATION_PARAMETERS, PRIVATE_LIST_PARAMETERS
from pixyproxy.entrypoints.http.images.references import reference_content
from pixyproxy.entrypoints.http.images.resource import ImageResource
from pixyproxy.entrypoints.http.images.responses import (
    ACCEPTED_BATCH,
    BATCH_ETAG_HEADER,
    ETAG_HEADER,
    EVENTS,
    LINK_HEADER,
    LIST_ETAG_HEADER,
    OWN_EVENTS,
    PARTIAL,
    TOTAL_HEADER,
    UNCHANGED,
    accepted,
    events_response,
)
from pixyproxy.entrypoints.http.images.schemas import CreatePrivateBatch, CreatePrivateImage, PrivateImageDetail
from pixyproxy.entrypoints.http.json_request import JSONRequest
from pixyproxy.entrypoints.http.middleware.path_prefix import public_address
from pixyproxy.entrypoints.http.options import options
from pixyproxy.entrypoints.http.parameters import BatchGuid, Guid, Position, taking
from pixyproxy.entrypoints.http.paths import PRIVATE_PATH
from pixyproxy.entrypoints.http.problems.handler import MAY_BILL
from pixyproxy.entrypoints.http.problems.responses import CREATION_PROBLEMS, problems
from pixyproxy.entrypoints.settings import Settings


def private_images(container: Container, settings: Settings) -> Router:
    """Return the routes of a user's own images."""
    images = ImageResource.of(container, ImageScope.OWN)
    forms = Forms.of(container)
    signed_links = SignedLinkMaker.of(container)
    watch_own_images, access = container.watch_own_images(), container.access_changes()
    logged = administrator_log(container.images())

    @post(
        "/",
        status_code=200,
        opt=MAY_BILL,
        response_description="The image, ready to be looked at.",
        summary="Generate an image of one's own",
        operation_class=taking(*CREATION_PARAMETERS),
        request_class=CreationRequest.with_forms(forms),
        middleware=[releasing_uploads(forms)],
        responses=CREATION_PROBLEMS | accepted(PrivateImageDetail),
    )
    async def create_private_image(
        data: Annotated[CreatePrivateImage, Body(description="The image to generate.")], request: APIRequest
    ) -> Response[PrivateImageDetail]:
        """Generate an image from a prompt and keep it, for its author alone unless `visibility` says otherwise."""
        return await images.create(request, data)

    @get(
        "/",
        summary="List one's own images",
        response_description="A page of images.",
        response_headers=[LIST_ETAG_HEADER, LINK_HEADER, TOTAL_HEADER],
        operation_class=taking(*PRIVATE_LIST_PARAMETERS),
        responses=UNCHANGED | problems(400, 401, 412, 503),
    )
    async def list_private_images(request: APIRequest) -> Response[list[PrivateImageDetail]]:
        """List the images you authored that fit all filters: those that are ready, unless `status` says otherwise.

        Follow the `Link` header to see each image exactly once.
        """
        return await images.list(request)

    @post(
        "/batch",
        status_code=200,
        opt=MAY_BILL,
        response_description="The images in order: those that are ready, and those that have failed.",
        summary="Generate several images of one's own",
        operation_class=taking(*CREATION_PARAMETERS),
        request_class=CreationRequest.with_forms(forms),
        middleware=[releasing_uploads(forms)],
        responses=CREATION_PROBLEMS | accepted(list[PrivateImageDetail], ACCEPTED_BATCH),
    )
    async def create_private_batch(
        data: Annotated[CreatePrivateBatch, Body(description="The images to generate.")], request: APIRequest
    ) -> Response[list[PrivateImageDetail]]:
        """Generate `n` images from one prompt, and answer when all have ended.

        Each is made and billed by itself. If none is ready, the answer is the problem of the first.
        """
        return await images.create_several(request, data)

    @get(
        "/batch/{batch:str}",
        summary="The images of one's own batch",
        response_description="The details of each, in order.",
        response_headers=[BATCH_ETAG_HEADER],
        responses=UNCHANGED | problems(400, 401, 404, 412, 503),
    )
    async def get_private_batch(batch: BatchGuid, request: APIRequest) -> Response[list[PrivateImageDetail]]:
        """Return the details of the images of one request you made, in any state."""
        return await images.batch(request, batch)

    @get(
        "/{guid:str}",
        summary="The details of one's own image",
        response_description="The details.",
        response_headers=[ETAG_HEADER],
        responses=UNCHANGED | problems(400, 401, 404, 412, 503),
    )
    async def get_private_image(guid: Guid, request: APIRequest) -> Response[PrivateImageDetail]:
        """Return the details of an image you authored, in any state."""
        return await images.details(request, guid)

    @get(
        "/{guid:str}/events",
        summary="Watch one's own image",
        responses=EVENTS | problems(400, 401, 404, 503),
    )
    async def get_private_image_events(guid: Guid, request: APIRequest) -> ServerSentEvent:
        """Send an event now, each time the state of the image changes, and for each partial image.

        The final state ends it.
        """
        return await images.events(request, guid)

    @get(
        "/events",
        summary="Watch all images of one's own",
        responses=OWN_EVENTS | problems(400, 401, 503),
    )
    async def get_own_events(request: APIRequest) -> ServerSentEvent:
        """Send an event for each image of yours that is new, changes its state, tags, visibility or file name.

        It begins with the newest 100 images that are being made and the newest 100 changes of the last minute, so
        that nothing is missed between a list and the stream. Deletions are no events.
        """
        login = await OpenLogin.of(request, access)
        watched = await watch_own_images(request.user, ensure_login=None if login is None else login.ensure_valid)
        return events_response(request, watched, ImageScope.OWN, is_endless=True)

    @route(
        "/{guid:str}/partial/{position:str}",
        http_method=[HttpMethod.GET, HttpMethod.HEAD],
        summary="The bytes of a partial image of one's own image",
        responses=PARTIAL | problems(400, 401, 404, 503),
    )
    async def get_private_partial_image(guid: Guid, position: Position, request: APIRequest) -> ASGIApp:
        """Return a picture on the way to the final one, with its true media type, until the image is final."""
        return await images.partial(request, guid, position)

    @post(
        "/{guid:str}/link",
        status_code=200,
        summary="Make a link that opens one's own image without a login",
        response_description="The link.",
        request_class=JSONRequest,
        responses=problems(400, 401, 404, 413, 415, 503),
    )
    async def create_link(
        guid: Guid,
        data: Annotated[CreateLinkBody, Body(description="The lifetime and the variant.")],
        request: APIRequest,
    ) -> Response[ImageLink]:
        """Return a link to the bytes of an image you authored, which opens them without a login until it expires.

        It holds for one image in one size and format. Deleting the image ends it; hiding the image does not.
        """
        link = await signed_links.make(
            guid,
            request.user,
            data.to_query(),
            lifetime=data.lifetime,
            address=public_address(request, settings.public_address),
        )
        # The link is a credential.
        return Response(link, headers={"Cache-Control": "no-store"})

    return Router(
        PRIVATE_PATH,
        route_handlers=[
            Router(
                "/",
                route_handlers=[
                    options("/", "GET", "POST"),
                    options("/{guid:str}", "DELETE", "GET", "PATCH"),
                    create_private_batch,
                    get_private_batch,
                    create_private_image,
                    list_private_images,
                    get_private_image,
                    *change_routes(container, settings),
                    *download_routes(container),
                    get_private_image_events,
                    get_own_events,
                    get_private_partial_image,
                    reference_content(images),
                    create_link,
                ],
                middleware=[authentication(*logins(container)), require_login, logged],
                security=LOGIN,
            ),
            # Not in that router, whose middleware holds for all routes: these take signed links too.
            linked_content(container, images, logged),
        ],
        tags=["Private images"],
    )
