"""The public images: anyone may read them, a logged-in user may create them."""

from typing import Annotated, Any

from litestar import HttpMethod, Request, Response, Router, get, post, route
from litestar.di import NamedDependency, Provide
from litestar.params import Body
from litestar.response import ServerSentEvent
from litestar.types import ASGIApp

from pixyproxy.application import CreateImage, GetImage, ListImages, WatchImage
from pixyproxy.domain.idempotency import IdempotencyKey
from pixyproxy.domain.image import ImageScope
from pixyproxy.domain.user import ANONYMOUS, Principal
from pixyproxy.entrypoints.http.auth.guards import identify, require_login_to_create
from pixyproxy.entrypoints.http.content.delivery import ContentDelivery
from pixyproxy.entrypoints.http.content.variants import VariantQuery
from pixyproxy.entrypoints.http.images.filters import provide_public_query
from pixyproxy.entrypoints.http.images.json_request import JSONRequest
from pixyproxy.entrypoints.http.images.pages import ImageQuery, Pager
from pixyproxy.entrypoints.http.images.parameters import Download, Guid, is_wanted
from pixyproxy.entrypoints.http.images.preferences import Preferences
from pixyproxy.entrypoints.http.images.responses import (
    ACCEPTED,
    CONTENT,
    ETAG_HEADER,
    EVENTS,
    LINK_HEADER,
    LIST_ETAG_HEADER,
    PUBLIC_PATH,
    TOTAL_HEADER,
    UNCHANGED,
    creation_response,
    detail_response,
    events_response,
    problems,
)
from pixyproxy.entrypoints.http.images.schemas import CreatePublicImage, ImageDetail
from pixyproxy.entrypoints.http.options import options
from pixyproxy.entrypoints.http.problems.handler import MAY_BILL


@post(
    "/",
    status_code=200,
    opt=MAY_BILL,
    response_description="The image, ready to be looked at.",
    summary="Generate a public image",
    request_class=JSONRequest,
    guards=[require_login_to_create],
    security=[{"basic": []}],
    responses=problems(400, 401, 409, 413, 415, 422, 429, 500, 502, 503, 504) | ACCEPTED,
)
async def create_public_image(
    data: Annotated[CreatePublicImage, Body(description="What to generate.")],
    create_image: NamedDependency[CreateImage],
    principal: NamedDependency[Principal],
    idempotency_key: NamedDependency[IdempotencyKey | None],
    preferences: NamedDependency[Preferences],
) -> Response[ImageDetail]:
    """Generate an image from a prompt and keep it. It takes 10 to 120 seconds with OpenAI and costs money."""
    created = await create_image(
        data.to_request(),
        tags=data.tags,
        visibility=data.visibility,
        principal=principal,
        idempotency_key=idempotency_key,
        wait=preferences.seconds,
    )
    return creation_response(created, preferences, path=PUBLIC_PATH)


@get(
    "/",
    summary="List public images",
    response_description="A page of images.",
    response_headers=[LIST_ETAG_HEADER, LINK_HEADER, TOTAL_HEADER],
    responses=UNCHANGED | problems(400, 412, 503),
    dependencies={"image_query": Provide(provide_public_query, sync_to_thread=False)},
)
async def list_public_images(
    list_images: NamedDependency[ListImages],
    image_query: NamedDependency[ImageQuery],
    pager: NamedDependency[Pager],
) -> Response[list[ImageDetail]]:
    """List the public images that fit all filters. Follow the `Link` header to see each image exactly once."""
    return await pager.images(list_images, ANONYMOUS, ImageScope.PUBLIC, image_query)


@get(
    "/{guid:str}",
    summary="The details of a public image",
    response_description="The details.",
    response_headers=[ETAG_HEADER],
    guards=[identify],
    security=[{}, {"basic": []}],
    responses=UNCHANGED | problems(400, 401, 404, 412, 503),
)
async def get_public_image(
    guid: Guid,
    request: Request[Any, Any, Any],
    get_image: NamedDependency[GetImage],
    principal: NamedDependency[Principal],
) -> Response[ImageDetail]:
    """Return the details of a public image; while it is not ready, to its author alone."""
    return detail_response(request, await get_image(guid, principal, ImageScope.PUBLIC), ImageScope.PUBLIC)


@get(
    "/{guid:str}/events",
    summary="What becomes of a public image",
    guards=[identify],
    security=[{}, {"basic": []}],
    responses=EVENTS | problems(400, 401, 404, 503),
)
async def get_public_image_events(
    guid: Guid,
    request: Request[Any, Any, Any],
    watch_image: NamedDependency[WatchImage],
    principal: NamedDependency[Principal],
) -> ServerSentEvent:
    """Send an event now and each time the state of the image changes; while it is not ready, to its author alone."""
    return events_response(request, await watch_image(guid, principal, ImageScope.PUBLIC))


@route(
    "/{guid:str}/content",
    http_method=[HttpMethod.GET, HttpMethod.HEAD],
    summary="The bytes of a public image",
    responses=CONTENT | problems(400, 404, 412, 416, 503),
)
async def get_public_image_content(
    guid: Guid,
    request: Request[Any, Any, Any],
    content_delivery: NamedDependency[ContentDelivery],
    variant_query: NamedDependency[VariantQuery],
    download: Download = None,
) -> ASGIApp:
    """Return the bytes of a public image with their true media type, or a variant in another size or format."""
    return await content_delivery.answer(
        request.scope, guid, ANONYMOUS, ImageScope.PUBLIC, variant_query, is_download=is_wanted(download)
    )


public_images = Router(
    PUBLIC_PATH,
    route_handlers=[
        options("/", "GET", "POST"),
        create_public_image,
        list_public_images,
        get_public_image,
        get_public_image_events,
        get_public_image_content,
    ],
    tags=["Public images"],
)
