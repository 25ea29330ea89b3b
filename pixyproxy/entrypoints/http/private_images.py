"""An author's own images, private ones included: every route needs a login."""

from typing import Annotated

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import Body
from litestar.response import ServerSentEvent, Stream

from pixyproxy.application import CreateImage, GetImage, GetImageContent, ListImages, WatchImage
from pixyproxy.application.list_images import LIMIT_DEFAULT
from pixyproxy.domain.idempotency import IdempotencyKey
from pixyproxy.domain.image import ImageCursor, ImageScope
from pixyproxy.domain.user import Principal
from pixyproxy.entrypoints.http.guards import require_login
from pixyproxy.entrypoints.http.json_request import JSONRequest
from pixyproxy.entrypoints.http.options import collection_options
from pixyproxy.entrypoints.http.parameters import Cursor, Guid, Limit
from pixyproxy.entrypoints.http.preferences import Preferences
from pixyproxy.entrypoints.http.responses import (
    ACCEPTED,
    CONTENT,
    EVENTS,
    LINK_HEADER,
    content_response,
    creation_response,
    events_response,
    page_response,
    problems,
)
from pixyproxy.entrypoints.http.schemas import CreatePrivateImage, ImageDetail

PATH = "/private/image"


@post(
    "/",
    status_code=200,
    response_description="The image, ready to be looked at.",
    summary="Generate an image of one's own",
    request_class=JSONRequest,
    responses=problems(400, 401, 409, 413, 415, 422, 429, 500, 502, 503, 504) | ACCEPTED,
)
async def create_private_image(
    data: Annotated[CreatePrivateImage, Body(description="What to generate.")],
    create_image: NamedDependency[CreateImage],
    principal: NamedDependency[Principal],
    idempotency_key: NamedDependency[IdempotencyKey | None],
    preferences: NamedDependency[Preferences],
) -> Response[ImageDetail]:
    """Generate an image from a prompt and keep it, for its author alone unless `visibility` says otherwise."""
    request = await create_image.request(
        prompt=data.prompt,
        tags=data.tags,
        visibility=data.visibility,
        principal=principal,
        idempotency_key=idempotency_key,
        wait=preferences.seconds,
    )
    return creation_response(request, preferences, path=PATH)


@get(
    "/",
    summary="List one's own images",
    response_description="A page of images, newest first.",
    response_headers=[LINK_HEADER],
    responses=problems(400, 401, 503),
)
async def list_private_images(
    list_images: NamedDependency[ListImages],
    principal: NamedDependency[Principal],
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Response[list[ImageDetail]]:
    """List the images you authored, newest first. Follow the `Link` header to see each image exactly once."""
    after = None if cursor is None else ImageCursor.parse(cursor)
    page = await list_images(principal, ImageScope.OWN, limit=limit, after=after)
    return page_response(page, path=PATH, limit=limit)


@get(
    "/{guid:str}",
    summary="The details of one's own image",
    response_description="The details.",
    responses=problems(400, 401, 404, 503),
)
async def get_private_image(
    guid: Guid, get_image: NamedDependency[GetImage], principal: NamedDependency[Principal]
) -> ImageDetail:
    """Return the details of an image you authored, in whatever state it is."""
    return ImageDetail.from_image(await get_image(guid, principal, ImageScope.OWN))


@get(
    "/{guid:str}/events",
    summary="What becomes of one's own image",
    responses=EVENTS | problems(400, 401, 404, 503),
)
async def get_private_image_events(
    guid: Guid, watch_image: NamedDependency[WatchImage], principal: NamedDependency[Principal]
) -> ServerSentEvent:
    """Send an event now and each time the state of the image changes, until that is final."""
    return events_response(await watch_image(guid, principal, ImageScope.OWN))


@get("/{guid:str}/content", summary="The bytes of one's own image", responses=CONTENT | problems(400, 401, 404, 503))
async def get_private_image_content(
    guid: Guid, get_image_content: NamedDependency[GetImageContent], principal: NamedDependency[Principal]
) -> Stream:
    """Return the bytes of an image you authored with their true media type."""
    return content_response(*await get_image_content(guid, principal, ImageScope.OWN))


private_images = Router(
    PATH,
    route_handlers=[
        collection_options,
        create_private_image,
        list_private_images,
        get_private_image,
        get_private_image_events,
        get_private_image_content,
    ],
    guards=[require_login],
    security=[{"basic": []}],
    tags=["Private images"],
)
