"""Responses that several routes share."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec
from litestar import MediaType, Request, Response
from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import ServerSentEvent
from litestar.response.sse import ServerSentEventMessage

from pixyproxy.application.bulk import BulkResult
from pixyproxy.application.create_batch import CreatedBatch
from pixyproxy.application.create_image import CreatedImage
from pixyproxy.application.watch_image import WatchedPartial
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.domain.image import Image, ImageScope, Visibility
from pixyproxy.domain.user import ANONYMOUS
from pixyproxy.entrypoints.http.content.representations import (
    FOR_ANYBODY,
    FOR_ONE,
    LOGIN_HEADERS,
    entity_tag_of,
    json_response,
)
from pixyproxy.entrypoints.http.content.zip_response import ZIP
from pixyproxy.entrypoints.http.images.preferences import Preferences
from pixyproxy.entrypoints.http.images.schemas import (
    BulkItem,
    EventName,
    ImageEvent,
    PartialDetail,
    PrivateImageDetail,
    detail_of,
)
from pixyproxy.entrypoints.http.images.versions import tag_prefix
from pixyproxy.entrypoints.http.middleware.head import is_head
from pixyproxy.entrypoints.http.paths import PRIVATE_PATH, path_of
from pixyproxy.entrypoints.http.problems.headers import REPLAYED
from pixyproxy.entrypoints.http.service_path import prefix_of

_log = logging.getLogger("pixyproxy.errors")

LINK_HEADER: Final = ResponseHeader(
    name="Link",
    description='`<…>; rel="next"` and `<…>; rel="prev"`: the pages beside this one (RFC 8288), where there are any.',
    documentation_only=True,
)
TOTAL_HEADER: Final = ResponseHeader(
    name="X-Total-Count",
    description="How many images fit, if `Prefer: count=exact` asked for it.",
    documentation_only=True,
)
ETAG_HEADER: Final = ResponseHeader(
    name="ETag",
    description="Names this state of the details, for `If-Match` and `If-None-Match`.",
    documentation_only=True,
)
BATCH_ETAG_HEADER: Final = ResponseHeader(
    name="ETag", description="Names this state of the details, for `If-None-Match`.", documentation_only=True
)
LIST_ETAG_HEADER: Final = ResponseHeader(
    name="ETag", description="Names this state of the page, for `If-None-Match`.", documentation_only=True
)

KEEP_ALIVE_SECONDS: Final = 15.0

# After these, clients of a stream without an end ask again.
RETRY_MILLISECONDS: Final = 2_000

ANY_IMAGE: Final = "image/*"

UNCHANGED: Final = {304: ResponseSpec(None, description="You have it already.", generate_examples=False)}

CONTENT: Final = {
    **UNCHANGED,
    200: ResponseSpec(bytes, media_type=ANY_IMAGE, description="The bytes.", generate_examples=False),
    206: ResponseSpec(
        bytes,
        media_type=ANY_IMAGE,
        description="The one range of bytes that `Range` asks for; several at once are answered with the whole.",
        generate_examples=False,
    ),
}

# Of the bytes of images, which the content store may send by itself.
IMAGE_CONTENT: Final = {
    **CONTENT,
    307: ResponseSpec(
        None,
        description="Where the bytes are for a short while, if the operator has the content store send them: send the"
        " same GET to `Location`, without the login.",
        generate_examples=False,
    ),
}


ZIPPED: Final = {
    200: ResponseSpec(
        bytes,
        media_type=ZIP,
        description="The zip, of the size in `Content-Length`, to be saved under the name in `Content-Disposition`.",
        generate_examples=False,
    )
}


def accepted(
    body: Any, description: str = "The image is not ready yet: poll `Location`, or follow its `events`."
) -> dict[int, ResponseSpec]:
    """Describe the answer to a creation that is not over yet."""
    return {202: ResponseSpec(body, description=description, generate_examples=False)}


ACCEPTED_BATCH: Final = "Images are not ready yet: poll `Location`, or follow the `events` of each."


EVENTS: Final = {
    200: ResponseSpec(
        ImageEvent,
        media_type="text/event-stream",
        description="An event for each state, named after it, with the details as JSON, and an event `partial` for"
        " each partial image, with its position and its address. The final state ends it. If it ends before,"
        " such as when its login is no longer valid, ask again.",
        generate_examples=False,
    )
}

OWN_EVENTS: Final = {
    200: ResponseSpec(
        ImageEvent,
        media_type="text/event-stream",
        description="An event for each image that is being made, then one whenever an image of yours is new or has"
        " changed, named after its state, with the details as JSON, and an event `partial` for each partial image. It"
        " has no end of its own. If it ends, such as when the service stops or the login is no longer valid, ask again"
        " after the seconds that `retry` names.",
        generate_examples=False,
    )
}

PARTIAL: Final = {
    200: ResponseSpec(bytes, media_type=ANY_IMAGE, description="The bytes, a bitmap.", generate_examples=False)
}


def creation_response(created: CreatedImage, preferences: Preferences, scope: ImageScope) -> Response[Any]:
    """Answer with a requested image: 200 when it is ready, 202 before."""
    image = created.image
    location = None if image.status.is_final else f"{_path_of(image, scope)}/{image.guid}"
    return _creation(detail_of(image, scope), location, preferences, is_replay=created.is_replay)


def batch_creation_response(created: CreatedBatch, preferences: Preferences, scope: ImageScope) -> Response[Any]:
    """Answer with the images of a batch: 200 when all have ended, 202 before."""
    location = None if created.is_final else f"{_path_of(created.images[0], scope)}/batch/{created.guid}"
    details = [detail_of(image, scope) for image in created.images]
    return _creation(details, location, preferences, is_replay=created.is_replay)


def _path_of(image: Image, scope: ImageScope) -> str:
    return PRIVATE_PATH if image.visibility is Visibility.PRIVATE else path_of(scope)


def _creation(body: object, location: str | None, preferences: Preferences, *, is_replay: bool) -> Response[Any]:
    """Answer with what a creation has made, or with the location where it will be."""
    headers = {REPLAYED: "true"} if is_replay else {}
    if preferences.applied:
        headers["Preference-Applied"] = preferences.applied
    if location is not None:
        headers["Location"] = location
    return Response(body, headers=headers, status_code=200 if location is None else 202)


def events_response(
    request: Request[Any, Any, Any],
    watched: AsyncIterator[Image | WatchedPartial],
    scope: ImageScope,
    *,
    is_endless: bool = False,
) -> ServerSentEvent:
    """Answer with a stream of images and partial images; to a HEAD, with the headers only.

    An endless stream begins at once and says when to ask again.
    """
    prefix = prefix_of(request.scope)
    stream = _no_events() if is_head(request.scope) else _events(watched, scope, prefix, is_endless=is_endless)
    return ServerSentEvent(stream, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})


async def _no_events() -> AsyncIterator[ServerSentEventMessage]:
    return
    yield


async def _events(
    watched: AsyncIterator[Image | WatchedPartial], scope: ImageScope, prefix: str, *, is_endless: bool
) -> AsyncIterator[ServerSentEventMessage]:
    if is_endless:
        yield ServerSentEventMessage(data=None, retry=RETRY_MILLISECONDS)
    upcoming = asyncio.ensure_future(anext(watched, None))
    try:
        while True:
            # Keep-alives stop proxies and clients from giving up a silent connection.
            done, _ = await asyncio.wait([upcoming], timeout=KEEP_ALIVE_SECONDS)
            if not done:
                yield ServerSentEventMessage(data=None, comment="keep-alive")
                continue
            try:
                found = upcoming.result()
            except PixyProxyException as exc:
                # Too late for a problem: the client sees no final state, and asks again.
                _log.warning("events broken off", extra={"problem": type(exc).__name__, "detail": exc.detail})
                return
            if found is None:
                return
            yield _event(found, scope, prefix)
            upcoming = asyncio.ensure_future(anext(watched, None))
    finally:
        upcoming.cancel()


def _event(found: Image | WatchedPartial, scope: ImageScope, prefix: str) -> ServerSentEventMessage:
    if isinstance(found, Image):
        return ServerSentEventMessage(event=found.status, data=msgspec.json.encode(detail_of(found, scope)))
    path = path_of(scope)
    url = f"{prefix}{path}/{found.guid}/partial/{found.position}"
    partial = PartialDetail(guid=found.guid, position=found.position, url=url)
    return ServerSentEventMessage(event=EventName.PARTIAL, data=msgspec.json.encode(partial))


def detail_response(request: Request[Any, Any, Any], image: Image, scope: ImageScope) -> Response[Any]:
    """Answer a GET with an image's details; raise `PreconditionFailedError`."""
    return json_response(request, detail_of(image, scope), _detail_headers([image], scope), prefix=tag_prefix(image))


def batch_response(request: Request[Any, Any, Any], images: Sequence[Image], scope: ImageScope) -> Response[Any]:
    """Answer a GET with the details of a batch's images; raise `PreconditionFailedError`."""
    return json_response(request, [detail_of(image, scope) for image in images], _detail_headers(images, scope))


def _detail_headers(images: Sequence[Image], scope: ImageScope) -> dict[str, str]:
    is_for_anybody = scope is ImageScope.PUBLIC and all(image.is_readable_by(ANONYMOUS, scope) for image in images)
    # One that is for anybody is the same with a session, which caches need not know.
    return {**FOR_ANYBODY, "Vary": "Authorization"} if is_for_anybody else {**FOR_ONE, "Vary": LOGIN_HEADERS}


def changed_response(image: Image) -> Response[PrivateImageDetail]:
    """Answer a PATCH with an image's details and their entity tag."""
    body = msgspec.json.encode(PrivateImageDetail.from_image(image))
    headers = {"ETag": entity_tag_of(body, prefix=tag_prefix(image))}
    response: Response[Any] = Response(body, media_type=MediaType.JSON, headers=headers)
    return response


def bulk_items(results: Sequence[BulkResult]) -> list[BulkItem]:
    """Return the result for each image."""
    return [BulkItem.from_result(result) for result in results]
