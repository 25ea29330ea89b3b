"""Problems in the OpenAPI document."""

from typing import Final

from litestar.openapi.datastructures import ResponseSpec

from pixyproxy.entrypoints.http.problems.handler import PROBLEM_MEDIA_TYPE
from pixyproxy.entrypoints.http.problems.schemas import Problem

_DESCRIPTIONS: Final = {
    400: "The body, a parameter or the guid breaks a rule, or the generator does not take an option; `errors` names the"
    " field.",
    401: "The route needs a login and none was given, or the login or the API key that was given is not valid.",
    403: "The API key lacks the scope that this needs, or this needs a login with a password, or an administrator. Or"
    " the image is public, and another's; only its author may change or delete it. Or the link is not valid, or has"
    " expired. Or a page of another site may not do this.",
    404: "There is no such image, batch, API key or user, or none that you may know of.",
    428: "`If-Match` is missing, and this service is set up to ask for it.",
    408: "The body did not arrive in time.",
    409: "The image is not ready yet; or the outcome of the request that this idempotency key was used for is unknown:"
    " then `maybe_billed` is true, and only another key buys another image.",
    412: "It is not the one that `If-Match` names; nothing was done. Or, of content, it has changed since the time in"
    " `If-Unmodified-Since`.",
    413: "The body is larger than 1 MiB, or a file in a form is larger than the service takes.",
    415: "The body has another media type than it must have.",
    416: "There are no such bytes; `Content-Range` says how many there are.",
    422: "The generator will not draw this prompt, or the idempotency key belongs to a request with another body.",
    429: "Too many wrong logins with this user name from this address, or the generator wants fewer requests:"
    " `Retry-After` says when to try again, where that is known.",
    500: "PixyProxy is set up wrongly or has a fault; the log says more under the request id.",
    502: "The generator answered with an error or with something that is no image.",
    503: "Database, content store or generator is not available, too many images or variants are waiting already, or"
    " the image is not ready yet: then `guid` or `batch` says which.",
    504: "The generator did not answer in time.",
}


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """Describe a route's problems; one that takes a login has those of too many wrong ones and of too few scopes."""
    return {
        status: ResponseSpec(
            Problem, media_type=PROBLEM_MEDIA_TYPE, description=_DESCRIPTIONS[status], generate_examples=False
        )
        for status in sorted({*statuses, *([403, 429] if 401 in statuses else [])})  # noqa: PLR2004
    }


CREATION_PROBLEMS: Final = problems(400, 401, 404, 408, 409, 413, 415, 422, 429, 500, 502, 503, 504)
"""The problems of every route that creates images."""
