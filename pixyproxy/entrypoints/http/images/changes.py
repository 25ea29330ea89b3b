"""Changing and deleting one's own images, one or many."""

from collections.abc import Sequence
from typing import Annotated

from litestar import Response, delete, patch, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import Body

from pixyproxy.application.bulk import BULK_MAX
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.auth.administrators import log_administrator_access_to
from pixyproxy.entrypoints.http.auth.authentication import APIRequest
from pixyproxy.entrypoints.http.images.parameters import IF_MATCH_PARAMETER
from pixyproxy.entrypoints.http.images.responses import ETAG_HEADER, bulk_items, changed_response
from pixyproxy.entrypoints.http.images.schemas import (
    BulkItem,
    ChangeImageBody,
    DeleteImagesBody,
    PrivateImageDetail,
    SetVisibilityBody,
    TagImagesBody,
)
from pixyproxy.entrypoints.http.images.versions import versions_of
from pixyproxy.entrypoints.http.json_request import JSONRequest, MergePatchRequest
from pixyproxy.entrypoints.http.parameters import Guid, taking
from pixyproxy.entrypoints.http.problems.responses import problems
from pixyproxy.entrypoints.settings import Settings

MERGE_PATCH = "application/merge-patch+json"


def change_routes(container: Container, settings: Settings) -> Sequence[HTTPRouteHandler]:
    """Return the routes that change and delete images."""
    change_image, tag_images = container.change_image(), container.tag_images()
    set_visibility = container.set_visibility()
    delete_image, delete_images = container.delete_image(), container.delete_images()
    images = container.images()

    @patch(
        "/{guid:str}",
        summary="Change one's own image",
        response_description="The details as they are now.",
        response_headers=[ETAG_HEADER],
        operation_class=taking(IF_MATCH_PARAMETER),
        request_class=MergePatchRequest,
        responses=problems(400, 401, 403, 404, 409, 412, 413, 415, 428, 503),
    )
    async def change_private_image(
        guid: Guid,
        data: Annotated[ChangeImageBody, Body(description="The changes.", media_type=MERGE_PATCH)],
        request: APIRequest,
    ) -> Response[PrivateImageDetail]:
        """Change the tags, the visibility or the file name of an image you authored, as a merge patch (RFC 7396)."""
        versions = versions_of(request, is_required=settings.require_if_match)
        return changed_response(await change_image(guid, request.user, data.to_changes(), versions=versions))

    @delete(
        "/{guid:str}",
        summary="Delete one's own image",
        response_description="It is deleted.",
        operation_class=taking(IF_MATCH_PARAMETER),
        responses=problems(400, 401, 403, 404, 409, 412, 428, 503),
    )
    async def delete_private_image(guid: Guid, request: APIRequest) -> None:
        """Delete an image you authored for good: its record, then its bytes."""
        await delete_image(guid, request.user, versions=versions_of(request, is_required=settings.require_if_match))

    @post(
        "/bulk/tag",
        status_code=200,
        summary="Tag many of one's own images",
        response_description="The result for each, in the order of the request.",
        request_class=JSONRequest,
        responses=problems(400, 401, 413, 415, 503),
    )
    async def tag_private_images(
        data: Annotated[TagImagesBody, Body(description="Which images get or lose which tags.")],
        request: APIRequest,
    ) -> list[BulkItem]:
        """Add tags to images you authored, and remove others; a failure with one does not stop the rest."""
        await log_administrator_access_to(request.scope, images, data.guids[:BULK_MAX])
        return bulk_items(await tag_images(data.guids, request.user, add=data.add, remove=data.remove))

    @post(
        "/bulk/visibility",
        status_code=200,
        summary="Publish or hide many of one's own images",
        response_description="The result for each, in the order of the request.",
        request_class=JSONRequest,
        responses=problems(400, 401, 413, 415, 503),
    )
    async def set_visibility_of_private_images(
        data: Annotated[SetVisibilityBody, Body(description="Which images become public or private.")],
        request: APIRequest,
    ) -> list[BulkItem]:
        """Make images you authored public or private; a failure with one does not stop the rest."""
        await log_administrator_access_to(request.scope, images, data.guids[:BULK_MAX])
        return bulk_items(await set_visibility(data.guids, request.user, data.visibility))

    @post(
        "/bulk/delete",
        status_code=200,
        summary="Delete many of one's own images",
        response_description="The result for each, in the order of the request.",
        request_class=JSONRequest,
        responses=problems(400, 401, 413, 415, 503),
    )
    async def delete_private_images(
        data: Annotated[DeleteImagesBody, Body(description="Which images to delete.")],
        request: APIRequest,
    ) -> list[BulkItem]:
        """Delete images you authored for good; a failure with one does not stop the rest."""
        await log_administrator_access_to(request.scope, images, data.guids[:BULK_MAX])
        return bulk_items(await delete_images(data.guids, request.user))

    return [
        change_private_image,
        delete_private_image,
        tag_private_images,
        set_visibility_of_private_images,
        delete_private_images,
    ]
