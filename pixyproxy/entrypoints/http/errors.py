"""From errors to problem details (RFC 9457): one table, one handler."""

import logging
import math
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from litestar import Request, Response
from litestar.exceptions import HTTPException, NotFoundException, ValidationException

from pixyproxy.domain import errors
from pixyproxy.entrypoints.http.basic_auth import CHALLENGE
from pixyproxy.entrypoints.http.schemas import FieldError, Problem

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"

# For each error the status and what it means, for people.
MEANINGS: Final[dict[type[errors.PixyProxyException], tuple[HTTPStatus, str]]] = {
    errors.PixyProxyException: (HTTPStatus.INTERNAL_SERVER_ERROR, "PixyProxy has a fault"),
    errors.BadRequestError: (HTTPStatus.BAD_REQUEST, "The request makes no sense"),
    errors.DataValidationError: (HTTPStatus.BAD_REQUEST, "A field breaks a rule"),
    errors.UnauthorizedError: (HTTPStatus.UNAUTHORIZED, "A login is needed"),
    errors.AuthenticationError: (HTTPStatus.UNAUTHORIZED, "The login is not valid"),
    errors.OperationNotAllowedError: (HTTPStatus.FORBIDDEN, "This is not allowed"),
    errors.RecordNotFoundError: (HTTPStatus.NOT_FOUND, "There is no such record"),
    errors.EndpointNotFoundError: (HTTPStatus.NOT_FOUND, "There is no such endpoint"),
    errors.ConstraintViolationError: (HTTPStatus.CONFLICT, "The record contradicts a stored one"),
    errors.DBConnectionError: (HTTPStatus.SERVICE_UNAVAILABLE, "The database is not available"),
    errors.SchemaOutdatedError: (HTTPStatus.SERVICE_UNAVAILABLE, "The database's schema is not up to date"),
    errors.DamagedRecordError: (HTTPStatus.INTERNAL_SERVER_ERROR, "A stored record is damaged"),
    errors.OverloadedError: (HTTPStatus.SERVICE_UNAVAILABLE, "Too much is asked for at once"),
    errors.ContentStoreError: (HTTPStatus.SERVICE_UNAVAILABLE, "The content store is not available"),
    errors.ContentNotFoundError: (HTTPStatus.SERVICE_UNAVAILABLE, "The content is missing"),
    errors.GenerationError: (HTTPStatus.BAD_GATEWAY, "The generation failed"),
    errors.GenerationRefusedError: (HTTPStatus.UNPROCESSABLE_ENTITY, "The generator refuses this prompt"),
    errors.GenerationFailedError: (HTTPStatus.BAD_GATEWAY, "The generation failed"),
    errors.GenerationTimedOutError: (HTTPStatus.GATEWAY_TIMEOUT, "The generation took too long"),
    errors.GenerationRateLimitedError: (HTTPStatus.TOO_MANY_REQUESTS, "The generator wants fewer requests"),
    errors.GeneratorUnavailableError: (HTTPStatus.SERVICE_UNAVAILABLE, "The generator is not available"),
    errors.GeneratorCredentialsError: (HTTPStatus.INTERNAL_SERVER_ERROR, "PixyProxy is set up wrongly"),
}

_log = logging.getLogger("pixyproxy.errors")


def handle_error(request: Request[Any, Any, Any], exc: Exception) -> Response[Problem]:
    """Answer any exception with a problem, and log what is the service's own fault."""
    problem = _problem(exc, request_id=request.scope["state"]["request_id"])
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        facts = {"request_id": problem.request_id, "status": problem.status, "cause": _cause(exc)}
        _log.error(problem.detail, extra=facts, exc_info=_unexpected(exc))
    return Response(
        problem, status_code=problem.status, media_type=PROBLEM_MEDIA_TYPE, headers=_headers(exc, problem.status)
    )


def _problem(exc: Exception, *, request_id: str) -> Problem:
    match exc:
        case NotFoundException():
            return _meant(errors.EndpointNotFoundError, "There is no such endpoint.", request_id)
        case errors.DataValidationError():
            return _meant_for_fields([FieldError(exc.field, exc.detail)], request_id)
        case errors.PixyProxyException():
            return _meant(type(exc), exc.detail, request_id)
        case ValidationException(extra=list() as items):
            return _meant_for_fields([_field_error(item) for item in items], request_id)
        case HTTPException() if exc.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
            return _plain(HTTPStatus(exc.status_code), exc.detail, request_id)
        case _:
            detail = "Something unexpected went wrong; the log says more under this request id."
            return _plain(HTTPStatus.INTERNAL_SERVER_ERROR, detail, request_id)


def _meant(
    kind: type[errors.PixyProxyException], detail: str, request_id: str, field_errors: Sequence[FieldError] = ()
) -> Problem:
    """Make the problem of an error that was raised on purpose; an embedder's own kind means what its parent does."""
    known = next(ancestor for ancestor in kind.__mro__ if ancestor in MEANINGS)
    status, title = MEANINGS[known]
    return Problem(
        type=f"urn:pixyproxy:problem:{_kebab_case(known.__name__)}",
        title=title,
        status=int(status),
        detail=detail,
        request_id=request_id,
        errors=field_errors,
    )


def _meant_for_fields(field_errors: Sequence[FieldError], request_id: str) -> Problem:
    detail = "; ".join(f"{error.field} {error.detail}" for error in field_errors)
    return _meant(errors.DataValidationError, detail, request_id, field_errors)


def _plain(status: HTTPStatus, detail: str, request_id: str) -> Problem:
    """Make a problem that says no more than its status does (RFC 9457, section 4.2.1)."""
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


def _kebab_case(class_name: str) -> str:
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z][a-z]+", class_name.removesuffix("Error"))
    return "-".join(words).lower()


def _headers(exc: Exception, status: int) -> dict[str, str]:
    headers: dict[str, str] = {}
    if isinstance(exc, HTTPException) and exc.headers:
        headers.update(exc.headers)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = CHALLENGE
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        # The rest of the body stays unread, so the connection can't carry another request.
        headers["Connection"] = "close"
    if isinstance(exc, errors.GenerationError | errors.OverloadedError) and exc.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(exc.retry_after))
    return headers


def _unexpected(exc: Exception) -> Exception | None:
    """Return the exception if its traceback belongs in the log: it was not raised on purpose."""
    return None if isinstance(exc, errors.PixyProxyException) else exc


def _cause(exc: Exception) -> str | None:
    """Return the kind and number of the vendor's error behind `exc`; its message could hold data and stays out."""
    cause = exc.__cause__
    if cause is None:
        return None
    number = next((arg for arg in cause.args if isinstance(arg, int)), None)
    return type(cause).__qualname__ if number is None else f"{type(cause).__qualname__} {number}"
