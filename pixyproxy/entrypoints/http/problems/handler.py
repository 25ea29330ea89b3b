"""Answers errors with problem details (RFC 9457); `problem_types.py` has the table."""

import logging
import math
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

import msgspec
from litestar import HttpMethod, Request, Response
from litestar.datastructures import Headers
from litestar.exceptions import HTTPException, NotFoundException, ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.types import HTTPScope
from msgspec import UNSET, UnsetType

from pixyproxy.domain import errors
from pixyproxy.entrypoints.http.entity_tags import parse_entity_tags
from pixyproxy.entrypoints.http.problems.challenges import challenge_of
from pixyproxy.entrypoints.http.problems.problem_types import problem_type_of
from pixyproxy.entrypoints.http.problems.schemas import FieldError, Problem

# The option of a handler whose requests may cost money.
MAY_BILL: Final = {"creates": True}
REPLAYED: Final = "Idempotency-Replayed"
PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
_RETRYABLE: Final = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}

_log = logging.getLogger("pixyproxy.errors")


def handle_error(request: Request[Any, Any, Any], exc: Exception) -> Response[Problem]:
    """Answer any exception with a problem, and log the service's own faults."""
    problem = _problem(exc, request_id=request.scope["state"]["request_id"])
    if isinstance(exc, errors.PreconditionFailedError):
        problem = msgspec.structs.replace(problem, detail=_weakness(request.headers) or problem.detail)
    if _creates(request.scope):
        has_key = "idempotency-key" in request.headers
        problem = msgspec.structs.replace(problem, **_purchase(exc, problem.status, has_key=has_key))
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        facts = {"request_id": problem.request_id, "status": problem.status, "cause": _cause(exc)}
        if notes := getattr(exc, "__notes__", ()):
            facts["note"] = " ".join(notes)
        _log.error(problem.detail, extra=facts, exc_info=_unexpected(exc))
    return Response(
        problem,
        status_code=problem.status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers=_headers(exc, problem.status, request.scope),
    )


def broken_off_problem(scope: HTTPScope) -> Problem:
    """Return the problem of a request that the service's shutdown broke off."""
    detail = "The service was stopped before the answer was there."
    problem = plain_problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, scope["state"]["request_id"])
    if _creates(scope):
        return msgspec.structs.replace(problem, retryable=True, maybe_billed=True)
    return problem


def _creates(scope: HTTPScope) -> bool:
    """Whether the request asks for a new image, as far as it is known."""
    handler = dict(scope).get("route_handler")
    if isinstance(handler, HTTPRouteHandler):
        return MAY_BILL.items() <= handler.opt.items()
    # The request has no route yet.
    return scope["method"] == HttpMethod.POST


def _problem(exc: Exception, *, request_id: str) -> Problem:
    match exc:
        case NotFoundException():
            return _domain_problem(errors.EndpointNotFoundError, "There is no such endpoint.", request_id)
        case errors.DataValidationError():
            return _field_problem([FieldError(exc.field, exc.detail)], request_id)
        case errors.PixyProxyException():
            blamed = exc.field if isinstance(exc, errors.GenerationError) else None
            field_errors = [FieldError(blamed, exc.detail)] if blamed else []
            return _domain_problem(type(exc), exc.detail, request_id, field_errors)
        case ValidationException(extra=list() as items):
            return _field_problem([_field_error(item) for item in items], request_id)
        case HTTPException() if exc.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
            return plain_problem(HTTPStatus(exc.status_code), exc.detail, request_id)
        case _:
            detail = "Something unexpected went wrong; the log says more under this request id."
            return plain_problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail, request_id)


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


def _domain_problem(
    kind: type[errors.PixyProxyException], detail: str, request_id: str, field_errors: Sequence[FieldError] = ()
) -> Problem:
    """Return the problem of an error of the domain."""
    problem_type = problem_type_of(kind)
    return Problem(
        type=problem_type.type,
        title=problem_type.title,
        status=problem_type.status,
        detail=detail,
        request_id=request_id,
        errors=field_errors,
    )


def _field_problem(field_errors: Sequence[FieldError], request_id: str) -> Problem:
    detail = "; ".join(f"{error.field} {error.detail}" for error in field_errors)
    return _domain_problem(errors.DataValidationError, detail, request_id, field_errors)


def plain_problem(status: HTTPStatus, detail: str, request_id: str) -> Problem:
    """Return a problem without a type of its own (RFC 9457, section 4.2.1)."""
    return Problem(
        type="about:blank", title=status.phrase, status=int(status), detail=detail, request_id=request_id, errors=()
    )


def _field_error(item: Mapping[str, Any]) -> FieldError:
    field, message = item.get("key", ""), item["message"]
    if field == "data":
        # Litestar calls the whole body `data`; where one of its fields is missing or unknown, only msgspec's text says
        # which.
        named = re.fullmatch(r"Object (?:missing required|contains unknown) field `(.+)`", message)
        field = named[1] if named else "body"
    return FieldError(field, message)


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
    # Caches would keep a 404 by default (RFC 9110, section 15.1), and the image may exist later.
    headers = {"Cache-Control": "no-store"}
    if isinstance(exc, HTTPException) and exc.headers:
        headers.update(exc.headers)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = challenge_of(scope)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        # The rest of the body is unread, so the connection can't be reused.
        headers["Connection"] = "close"
    if isinstance(exc, errors.TooManyLoginsError | errors.OverloadedError):
        # Retrying at once costs a new connection each time.
        headers["Connection"] = "close"
    retry_after = getattr(exc, "retry_after", None)
    if isinstance(exc, errors.PixyProxyException) and retry_after is not None:
        headers["Retry-After"] = str(math.ceil(retry_after))
    if isinstance(exc, errors.GenerationError) and exc.is_replay:
        headers[REPLAYED] = "true"
    return headers


def _unexpected(exc: Exception) -> BaseException | None:
    """Return the exception whose traceback belongs in the log, if it was not raised on purpose."""
    match exc:
        case errors.GenerationFaultError(is_replay=False):
            return exc.__cause__
        case errors.PixyProxyException():
            return None
        case _:
            return exc


def _cause(exc: Exception) -> str | None:
    """Return the kind and number of the vendor's error that caused `exc`; its message may hold data and stays out."""
    cause = exc.__cause__
    if cause is None:
        return None
    number = next((arg for arg in cause.args if isinstance(arg, int)), None)
    return type(cause).__qualname__ if number is None else f"{type(cause).__qualname__} {number}"
