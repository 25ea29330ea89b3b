"""Responses that several routes give."""

from typing import Final
from urllib.parse import urlencode

from litestar import Response
from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Stream

from pixyproxy.domain.image import Image, ImageCursor, ImagePage
from pixyproxy.domain.ports import StoredContent
from pixyproxy.entrypoints.http.errors import PROBLEM_MEDIA_TYPE
from pixyproxy.entrypoints.http.schemas import ImageDetail, Problem

_DESCRIPTIONS: Final = {
    400: "The body, a parameter or the guid breaks a rule; `errors` names the field.",
    401: "The route needs a login and none was given, or the one that was given is not valid.",
    404: "There is no such image, or none that you may know of.",
    409: "The image contradicts one that is stored.",
    413: "The body is larger than 1 MiB.",
    415: "The body is not `application/json`.",
    422: "The generator will not draw this prompt.",
    429: "The generator wants fewer requests; `Retry-After` says when to try again, where the generator said so.",
    500: "PixyProxy is set up wrongly or has a fault; the log says more under the request id.",
    502: "The generator answered with an error or with something that is no image.",
    503: "Database, content store or generator is not available.",
    504: "The generator did not answer in time.",
}

LINK_HEADER: Final = ResponseHeader(
    name="Link", description='`<…>; rel="next"`: the next page (RFC 8288); absent on the last.', documentation_only=True
)


ANY_IMAGE: Final = "image/*"

CONTENT: Final = {200: ResponseSpec(bytes, media_type=ANY_IMAGE, description="The bytes.", generate_examples=False)}


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """Describe the problems that a route can answer with."""
    return {
        status: ResponseSpec(
            Problem, media_type=PROBLEM_MEDIA_TYPE, description=_DESCRIPTIONS[status], generate_examples=False
        )
        for status in statuses
    }


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
