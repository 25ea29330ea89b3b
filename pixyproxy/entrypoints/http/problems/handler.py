"""Answers errors with problem details (RFC 9457); `problem_types.py` has the table."""

import math
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

import msgspec
from litestar import HttpMethod, Request, Response
from litestar.datastructures import Headers
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.types import HTTPScope
from msgspec import UNSET, UnsetType

from pixyproxy.domain import errors
from pixyproxy.entrypoints.http.entity_tags import parse_entity_tags
from pixyproxy.entrypoints.http.problems.challenges import challenge_of
from pixyproxy.entrypoints.http.problems.faults import log_fault
from pixyproxy.entrypoints.http.problems.headers import error_headers
from pixyproxy.entrypoints.http.problems.schemas import Problem
from pixyproxy.entrypoints.http.problems.translation import problem_of

# The option of a handler whose requests may cost money.
MAY_BILL: Final = {"creates": True}
PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
_RETRYABLE: Final = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}


def problem_response(
    request: Request[Any, Any, Any], exc: Exception, *, has_key: bool | None = None
) -> Response[Problem]:
    """Return any exception as a problem, and log the service's own faults.

    `has_key` is whether the request has an idempotency key; by default, whether its header has one.
    """
    problem = problem_of(exc, request_id=request.scope["state"]["request_id"])
    if isinstance(exc, errors.PreconditionFailedError):
        problem = msgspec.structs.replace(problem, detail=_weakness(request.headers) or problem.detail)
    if creates(request.scope):
        if has_key is None:
            has_key = "idempotency-key" in request.headers
        problem = msgspec.structs.replace(problem, **_purchase(exc, problem.status, has_key=has_key))
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log_fault(exc, problem.detail, status=problem.status, request_id=problem.request_id)
    return Response(
        problem,
        status_code=problem.status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers=_headers(exc, problem.status, request.scope),
    )


def creates(scope: HTTPScope) -> bool:
    """Whether the request asks for a new image, as far as it is known."""
    handler = dict(scope).get("route_handler")
    if isinstance(handler, HTTPRouteHandler):
        return MAY_BILL.items() <= handler.opt.items()
    # The request has no route yet.
    return scope["method"] == HttpMethod.POST


def _weakness(headers: Headers) -> str:
    """Return a sentence for a client whose `If-Match` has only weak entity tags; else None."""
    tags = parse_entity_tags(",".join(headers.getall("if-match", [])))
    if not tags or not all(tag.is_weak for tag in tags):
        return ""
    strong = tags[0].opaque
    return (
        f"If-Match never matches a weak entity tag (RFC 9110, section 13.1.1) such as W/{strong}: send {strong}. A"
        " proxy that compresses answers, such as nginx with gzip, makes entity tags weak."
    )


def _purchase(exc: Exception, status: int, *, has_key: bool) -> dict[str, Any]:
    """Return the members of a creation's problem: the image, whether it may be billed, whether to retry."""
    match exc:
        case errors.GenerationError():
            return {"retryable": exc.is_retryable, "maybe_billed": exc.maybe_billed, **_begun(exc)}
        case errors.ImageDelayedError():
            return {"retryable": False, "maybe_billed": True, **_begun(exc)}
        case errors.IdempotencyKeyInUseError():
            return {"retryable": True, "maybe_billed": True, **_begun(exc)}
        case errors.DBConnectionError() | errors.ConstraintViolationError() if has_key:
            # The outcome of the earlier request with this key is unknown.
            return {"retryable": status == HTTPStatus.SERVICE_UNAVAILABLE, "maybe_billed": True}
        case errors.PixyProxyException() | HTTPException():
            # All other errors of the domain are raised before the purchase.
            return {"retryable": status in _RETRYABLE, "maybe_billed": False}
        case _:
            return {"retryable": False, "maybe_billed": True}


def _begun(
    exc: errors.GenerationError | errors.ImageDelayedError | errors.IdempotencyKeyInUseError,
) -> dict[str, UUID | UnsetType]:
    return {"guid": exc.guid or UNSET, "batch": exc.batch or UNSET}


def _headers(exc: Exception, status: int, scope: HTTPScope) -> dict[str, str]:
    headers = error_headers(exc, status)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = challenge_of(scope)
    retry_after = getattr(exc, "retry_after", None)
    if isinstance(exc, errors.PixyProxyException) and retry_after is not None:
        headers["Retry-After"] = str(math.ceil(retry_after))
    return headers
