"""From exceptions to problems."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from litestar.exceptions import HTTPException, NotFoundException, ValidationException

from pixyproxy.domain import errors
from pixyproxy.entrypoints.http.problems.problem_types import problem_type_of
from pixyproxy.entrypoints.http.problems.schemas import FieldError, Problem

_WITH_FIELD: Final = (errors.GenerationError, errors.ModelNotFoundError, errors.UploadTooLargeError)


def problem_of(exc: Exception, *, request_id: str) -> Problem:
    """Return the problem that an exception is answered with, whichever route has raised it."""
    match exc:
        case NotFoundException():
            return _domain_problem(errors.EndpointNotFoundError, "There is no such endpoint.", request_id)
        case errors.DataValidationError():
            return _field_problem([FieldError(exc.field, exc.detail)], request_id)
        case errors.PixyProxyException():
            blamed = exc.field if isinstance(exc, _WITH_FIELD) else None
            field_errors = [FieldError(blamed, exc.detail)] if blamed else []
            return _domain_problem(type(exc), exc.detail, request_id, field_errors)
        case ValidationException(extra=list() as items):
            return _field_problem([_field_error(item) for item in items], request_id)
        case HTTPException() if exc.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
            return plain_problem(HTTPStatus(exc.status_code), exc.detail, request_id)
        case _:
            detail = "Something unexpected went wrong; the log says more under this request id."
            return plain_problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail, request_id)


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
