"""Responses that several routes give."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urlencode

import msgspec
from litestar import Response
from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import ServerSentEvent, Stream
from litestar.response.sse import ServerSentEventMessage

from pixyproxy.application.create_image import ImageRequest
from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.domain.image import Image, ImageCursor, ImagePage
from pixyproxy.domain.ports import StoredContent
from pixyproxy.entrypoints.http.errors import PROBLEM_MEDIA_TYPE, REPLAYED
from pixyproxy.entrypoints.http.preferences import Preferences
from pixyproxy.entrypoints.http.schemas import ImageDetail, ImageEvent, Problem

_log = logging.getLogger("pixyproxy.errors")

_DESCRIPTIONS: Final = {
    400: "The body, a parameter or the guid breaks a rule; `errors` names the field.",
    401: "The route needs a login and none was given, or the one that was given is not valid.",
    404: "There is no such image, or none that you may know of.",
    409: "The image of this idempotency key is still being made, or nobody knows what became of it: then"
    " `maybe_billed` is true, and only another key buys another image.",
    413: "The body is larger than 1 MiB.",
    415: "The body is not `application/json`.",
    422: "The generator will not draw this prompt, or the idempotency key belongs to a request with another body.",
    429: "The generator wants fewer requests; `Retry-After` says when to try again, where the generator said so.",
    500: "PixyProxy is set up wrongly or has a fault; the log says more under the request id.",
    502: "The generator answered with an error or with something that is no image.",
    503: "Database, content store or generator is not available, too many images are waiting already, or the image is"
    " not ready yet: then `guid` says which.",
    504: "The generator did not answer in time.",
}

LINK_HEADER: Final = ResponseHeader(
    name="Link", description='`<…>; rel="next"`: the next page (RFC 8288); absent on the last.', documentation_only=True
)

KEEP_ALIVE_SECONDS: Final = 15.0

ANY_IMAGE: Final = "image/*"

CONTENT: Final = {200: ResponseSpec(bytes, media_type=ANY_IMAGE, description="The bytes.", generate_examples=False)}


ACCEPTED: Final = {
    202: ResponseSpec(
        ImageDetail,
        description="The image is being made: look for it at `Location`, or follow its `events`.",
        generate_examples=False,
    )
}

EVENTS: Final = {
    200: ResponseSpec(
        ImageEvent,
        media_type="text/event-stream",
        description="An event for each state, named after it, with the details as JSON; the final state ends it. If it"
        " ends before, ask again.",
        generate_examples=False,
    )
}


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """Describe the problems that a route can answer with."""
    return {
        status: ResponseSpec(
            Problem, media_type=PROBLEM_MEDIA_TYPE, description=_DESCRIPTIONS[status], generate_examples=False
        )
        for status in statuses
    }


def creation_response(request: ImageRequest, preferences: Preferences, *, path: str) -> Response[ImageDetail]:
    """Answer with an image that was asked for: 200 when it is ready, 202 while it is being made."""
    headers = {REPLAYED: "true"} if request.is_replay else {}
    if preferences.applied:
        headers["Preference-Applied"] = preferences.applied
    image = request.image
    if not image.status.is_final:
        headers["Location"] = f"{path}/{image.guid}"
    return Response(ImageDetail.from_image(image), headers=headers, status_code=200 if image.status.is_final else 202)


def events_response(images: AsyncIterator[Image]) -> ServerSentEvent:
    """Answer with a stream of what becomes of an image."""
    return ServerSentEvent(_events(images), headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})


async def _events(images: AsyncIterator[Image]) -> AsyncIterator[ServerSentEventMessage]:
    upcoming = asyncio.ensure_future(anext(images, None))
    try:
        while True:
            # The waiting goes on beside the keep-alives, which tell proxies and clients that nobody has gone away.
            done, _ = await asyncio.wait([upcoming], timeout=KEEP_ALIVE_SECONDS)
            if not done:
                yield ServerSentEventMessage(data=None, comment="keep-alive")
                continue
            try:
                image = upcoming.result()
            except PixyProxyException as exc:
                # It is too late for a problem; the client sees that no final state has come, and asks again.
                _log.warning("events broken off", extra={"problem": type(exc).__name__, "detail": exc.detail})
                return
            if image is None:
                return
            yield ServerSentEventMessage(event=image.status, data=msgspec.json.encode(ImageDetail.from_image(image)))
            upcoming = asyncio.ensure_future(anext(images, None))
    finally:
        upcoming.cancel()


def page_response(page: ImagePage, *, path: str, limit: int) -> Response[list[ImageDetail]]:
    """Answer with a page of a list, and with a link to the next one where there is one."""
    headers = {"Link": f'<{path}?{_query(limit, page.next)}>; rel="next"'} if page.next else {}
    return Response([ImageDetail.from_image(image) for image in page.images], headers=headers)


def content_response(image: Image, content: StoredContent) -> Stream:
    """Answer with the bytes of an image under their true media type, as a picture that can do nothing else."""
    return Stream(
        content.chunks,
        media_type=image.ready_content.media_type,
        headers={
            "Content-Length": str(content.byte_size),
            "Content-Disposition": f'inline; filename="{image.filename}"',
            "Cache-Control": image.visibility,
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
        },
    )


def _query(limit: int, cursor: ImageCursor) -> str:
    return urlencode({"limit": limit, "cursor": str(cursor)})
