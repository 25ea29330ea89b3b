"""An author's own images, private ones included: every route needs a login, or for content an author's link."""

from collections.abc import Collection
from typing import Annotated, Any

from litestar import HttpMethod, Request, Response, Router, delete, get, patch, post, route
from litestar.di import NamedDependency, Provide
from litestar.params import Body
from litestar.response import ServerSentEvent
from litestar.types import ASGIApp

from pixyproxy.application import (
    ChangeImage,
    CreateImage,
    DeleteImage,
    DeleteImages,
    GetImage,
    ListImages,
    TagImages,
    WatchImage,
)
from pixyproxy.domain.idempotency import IdempotencyKey
from pixyproxy.domain.image import ImageScope
from pixyproxy.domain.user import Principal
from pixyproxy.entrypoints.http.auth.guards import require_login, require_login_or_link
from pixyproxy.entrypoints.http.content.delivery import ContentDelivery
from pixyproxy.entrypoints.http.content.links import create_link, provide_reader
from pixyproxy.entrypoints.http.content.variants import VariantQuery
from pixyproxy.entrypoints.http.images.filters import provide_private_query
from pixyproxy.entrypoints.http.images.json_request import JSONRequest, MergePatchRequest
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
    PRIVATE_PATH,
    TOTAL_HEADER,
    UNCHANGED,
    bulk_items,
    changed_response,
    creation_response,
    detail_response,
    events_response,
    problems,
)
from pixyproxy.entrypoints.http.images.schemas import (
    BulkItem,
    ChangeImageBody,
    CreatePrivateImage,
    DeleteImagesBody,
    ImageDetail,
    TagImagesBody,
)
from pixyproxy.entrypoints.http.options import options
from pixyproxy.entrypoints.http.problems.handler import MAY_BILL

MERGE_PATCH = "application/merge-patch+json"


@post(
    "/",
    status_code=200,
    opt=MAY_BILL,
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
    created = await create_image(
        data.to_request(),
        tags=data.tags,
        visibility=data.visibility,
        principal=principal,
        idempotency_key=idempotency_key,
        wait=preferences.seconds,
    )
    return creation_response(created, preferences, path=PRIVATE_PATH)


@get(
    "/",
    summary="List one's own images",
    response_description="A page of images.",
    response_headers=[LIST_ETAG_HEADER, LINK_HEADER, TOTAL_HEADER],
    responses=UNCHANGED | problems(400, 401, 412, 503),
    dependencies={"image_query": Provide(provide_private_query, sync_to_thread=False)},
)
async def list_private_images(
    list_images: NamedDependency[ListImages],
    principal: NamedDependency[Principal],
    image_query: NamedDependency[ImageQuery],
    pager: NamedDependency[Pager],
) -> Response[list[ImageDetail]]:
    """List the images you authored that fit all filters. Follow the `Link` header to see each image exactly once."""
    return await pager.images(list_images, principal, ImageScope.OWN, image_query)


@get(
    "/{guid:str}",
    summary="The details of one's own image",
    response_description="The details.",
    response_headers=[ETAG_HEADER],
    responses=UNCHANGED | problems(400, 401, 404, 412, 503),
)
async def get_private_image(
    guid: Guid,
    request: Request[Any, Any, Any],
    get_image: NamedDependency[GetImage],
    principal: NamedDependency[Principal],
) -> Response[ImageDetail]:
    """Return the details of an image you authored, in whatever state it is."""
    return detail_response(request, await get_image(guid, principal, ImageScope.OWN), ImageScope.OWN)


@patch(
    "/{guid:str}",
    summary="Change one's own image",
    response_description="The details as they are now.",
    response_headers=[ETAG_HEADER],
    request_class=MergePatchRequest,
    responses=problems(400, 401, 403, 404, 409, 412, 413, 415, 428, 503),
)
async def change_private_image(
    guid: Guid,
    data: Annotated[ChangeImageBody, Body(description="What is to be different.", media_type=MERGE_PATCH)],
    change_image: NamedDependency[ChangeImage],
    principal: NamedDependency[Principal],
    versions: NamedDependency[Collection[int] | None],
) -> Response[ImageDetail]:
    """Change the tags, the visibility or the file name of an image you authored, as a merge patch (RFC 7396)."""
    return changed_response(await change_image(guid, principal, data.to_changes(), versions=versions))


@delete(
    "/{guid:str}",
    summary="Delete one's own image",
    response_description="It is deleted.",
    responses=problems(400, 401, 403, 404, 409, 412, 428, 503),
)
async def delete_private_image(
    guid: Guid,
    delete_image: NamedDependency[DeleteImage],
    principal: NamedDependency[Principal],
    versions: NamedDependency[Collection[int] | None],
) -> None:
    """Delete an image you authored for good: its record, then its bytes."""
    await delete_image(guid, principal, versions=versions)


@post(
    "/bulk/tag",
    status_code=200,
    summary="Tag many of one's own images",
    response_description="What became of each, in the order asked for.",
    request_class=JSONRequest,
    responses=problems(400, 401, 413, 415, 503),
)
async def tag_private_images(
    data: Annotated[TagImagesBody, Body(description="Which images get or lose which tags.")],
    tag_images: NamedDependency[TagImages],
    principal: NamedDependency[Principal],
) -> list[BulkItem]:
    """Add tags to images you authored, and remove others; what can't be done with one does not stop the others."""
    return bulk_items(await tag_images(data.guids, principal, add=data.add, remove=data.remove))


@post(
    "/bulk/delete",
    status_code=200,
    summary="Delete many of one's own images",
    response_description="What became of each, in the order asked for.",
    request_class=JSONRequest,
    responses=problems(400, 401, 413, 415, 503),
)
async def delete_private_images(
    data: Annotated[DeleteImagesBody, Body(description="Which images to delete.")],
    delete_images: NamedDependency[DeleteImages],
    principal: NamedDependency[Principal],
) -> list[BulkItem]:
    """Delete images you authored for good; what can't be done with one does not stop the others."""
    return bulk_items(await delete_images(data.guids, principal))


@get(
    "/{guid:str}/events",
    summary="What becomes of one's own image",
    responses=EVENTS | problems(400, 401, 404, 503),
)
async def get_private_image_events(
    guid: Guid,
    request: Request[Any, Any, Any],
    watch_image: NamedDependency[WatchImage],
    principal: NamedDependency[Principal],
) -> ServerSentEvent:
    """Send an event now and each time the state of the image changes, until that is final."""
    return events_response(request, await watch_image(guid, principal, ImageScope.OWN))


@route(
    "/{guid:str}/content",
    http_method=[HttpMethod.GET, HttpMethod.HEAD],
    summary="The bytes of one's own image",
    security=[{"basic": []}, {}],
    responses=CONTENT | problems(400, 401, 403, 404, 412, 416, 503),
    dependencies={"principal": Provide(provide_reader, sync_to_thread=False)},
)
async def get_private_image_content(  # noqa: PLR0917 -- one for each part of the request
    guid: Guid,
    request: Request[Any, Any, Any],
    content_delivery: NamedDependency[ContentDelivery],
    principal: NamedDependency[Principal],
    variant_query: NamedDependency[VariantQuery],
    download: Download = None,
) -> ASGIApp:
    """Return the bytes of an image you authored, or hold a link to, with their true media type, or a variant of it."""
    return await content_delivery.answer(
        request.scope, guid, principal, ImageScope.OWN, variant_query, is_download=is_wanted(download)
    )


private_images = Router(
    PRIVATE_PATH,
    route_handlers=[
        Router(
            "/",
            route_handlers=[
                options("/", "GET", "POST"),
                options("/{guid:str}", "DELETE", "GET", "PATCH"),
                create_private_image,
                list_private_images,
                get_private_image,
                change_private_image,
                delete_private_image,
                tag_private_images,
                delete_private_images,
                get_private_image_events,
                create_link,
            ],
            guards=[require_login],
            security=[{"basic": []}],
        ),
        # A router's guard guards all of its routes.
        Router("/", route_handlers=[get_private_image_content], guards=[require_login_or_link]),
    ],
    tags=["Private images"],
)
