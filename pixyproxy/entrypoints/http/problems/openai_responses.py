"""Errors in OpenAI's shape in the OpenAPI document."""

from typing import Final

from litestar import MediaType
from litestar.openapi.datastructures import ResponseSpec

from pixyproxy.entrypoints.http.problems.openai_errors import ErrorBody

_DESCRIPTIONS: Final = {
    400: "A field breaks a rule or the generator does not take it, and `param` names it; or the generator refuses this"
    " prompt, and `code` is `moderation_blocked`.",
    401: "The key or the login is missing or not valid.",
    403: "The key lacks the scope.",
    404: "There is no such model.",
    408: "The body did not arrive in time.",
    412: "It is not the one that `If-Match` names.",
    413: "The body is too large.",
    415: "The body has another media type than it must have.",
    422: "The idempotency key belongs to another request.",
    424: "The request may have been billed, or only the operator can help: don't send it again.",
    429: "Too many wrong logins, or the generator wants fewer requests; nothing was billed.",
    500: "PixyProxy has a fault; the log says more under the request id.",
    503: "Too much is asked for at once, or something that PixyProxy needs is away; nothing was billed.",
}


def openai_errors(*statuses: int) -> dict[int, ResponseSpec]:
    """Describe the errors of a route below `/v1`; a route that takes a login also has that of too many wrong ones."""
    return {
        status: ResponseSpec(
            ErrorBody, media_type=MediaType.JSON, description=_DESCRIPTIONS[status], generate_examples=False
        )
        for status in (*statuses, *([429] if 401 in statuses and 429 not in statuses else []))  # noqa: PLR2004
    }
