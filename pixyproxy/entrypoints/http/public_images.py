"""The public images: anyone may read them, a logged-in user may create them."""

from typing import Annotated

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import Body
from litestar.response import ServerSentEvent, Stream

from pixyproxy.application import CreateImage, GetImage, GetImageContent, ListImages, WatchImage
from pixyproxy.application.list_images import LIMIT_DEFAULT
from pixyproxy.domain.idempotency import IdempotencyKey
from pixyproxy.domain.image import ImageCursor, ImageScope, Visibility
from pixyproxy.domain.user import ANONYMOUS, Principal
from pixyproxy.entrypoints.http.guards import identify, require_login_to_create
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
from pixyproxy.entrypoints.http.schemas import CreatePublicImage, ImageDetail

PATH = "/image"


@post(
    "/",
    status_code=200,
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
    request = await create_image.request(
        prompt=data.prompt,
        tags=data.tags,
        visibility=Visibility.PUBLIC,
        principal=principal,
        idempotency_key=idempotency_key,
        wait=preferences.seconds,
    )
    return creation_response(request, preferences, path=PATH)


@get(
    "/",
    summary="List public images",
    response_description="A page of images, newest first.",
    response_headers=[LINK_HEADER],
    responses=problems(400, 503),
)
async def list_public_images(
    list_images: NamedDependency[ListImages], limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None
) -> Response[list[ImageDetail]]:
    """List the public images, newest first. Follow the `Link` header to see each image exactly once."""
    after = None if cursor is None else ImageCursor.parse(cursor)
    page = await list_images(ANONYMOUS, ImageScope.PUBLIC, limit=limit, after=after)
    return page_response(page, path=PATH, limit=limit)


@get(
    "/{guid:str}",
    summary="The details of a public image",
    response_description="The details.",
    guards=[identify],
    security=[{}, {"basic": []}],
    responses=problems(400, 401, 404, 503),
)
async def get_public_image(
    guid: Guid, get_image: NamedDependency[GetImage], principal: NamedDependency[Principal]
) -> ImageDetail:
    """Return the details of a public image; while it is not ready, to its author alone."""
    return ImageDetail.from_image(await get_image(guid, principal, ImageScope.PUBLIC))


@get(
    "/{guid:str}/events",
    summary="What becomes of a public image",
    guards=[identify],
    security=[{}, {"basic": []}],
    responses=EVENTS | problems(400, 401, 404, 503),
)
async def get_public_image_events(
    guid: Guid, watch_image: NamedDependency[WatchImage], principal: NamedDependency[Principal]
) -> ServerSentEvent:
    """Send an event now and each time the state of the image changes; while it is not ready, to its author alone."""
    return events_response(await watch_image(guid, principal, ImageScope.PUBLIC))


@get("/{guid:str}/content", summary="The bytes of a public image", responses=CONTENT | problems(400, 404, 503))
async def get_public_image_content(guid: Guid, get_image_content: NamedDependency[GetImageContent]) -> Stream:
    """Return the bytes of a public image with their true media type."""
    return content_response(*await get_image_content(guid, ANONYMOUS, ImageScope.PUBLIC))


public_images = Router(
    PATH,
    route_handlers=[
        collection_options,
        create_public_image,
        list_public_images,
        get_public_image,
        get_public_image_events,
        get_public_image_content,
    ],
    tags=["Public images"],
)
