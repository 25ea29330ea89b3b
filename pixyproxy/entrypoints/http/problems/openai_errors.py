"""Errors in OpenAI's shape, for everything below `/v1`: one table and one function.

Clients send a request again after 408, 409, 429 and 5xx; some do so after 403, and some ignore `x-should-retry`. So as
soon as something may have been bought, an error has the status 424 or 400, which no client sends again.
"""

import math
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar.exceptions import HTTPException
from msgspec import UNSET, Meta, UnsetType

from pixyproxy.domain import errors
from pixyproxy.entrypoints.http.problems.challenges import BEARER_CHALLENGE
from pixyproxy.entrypoints.http.problems.faults import log_fault
from pixyproxy.entrypoints.http.problems.headers import error_headers
from pixyproxy.entrypoints.http.problems.schemas import Problem
from pixyproxy.entrypoints.http.problems.translation import plain_problem, problem_of

SHOULD_RETRY: Final = "x-should-retry"
"""The header by which OpenAI tells its clients whether to send a request again."""

RETRY_AFTER_LONGEST: Final = 60
"""The most seconds that clients wait; they send a request again at once if `Retry-After` is more."""

_HOW_TO_LOG_IN: Final = (
    "Send Authorization: Bearer KEY with a key of PixyProxy: `pixyproxy keys add USER --name NAME` makes one, and so"
    " does POST /private/key."
)
_INVALID_REQUEST: Final = "invalid_request_error"
_RATE_LIMIT: Final = "rate_limit_error"
_SERVER: Final = "server_error"
_QUOTA: Final = "insufficient_quota"
_USER: Final = "image_generation_user_error"

_PASSING: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
# What must not be sent again even before an order: it would meet the same once more, or buy once more.
_FINAL: Final = frozenset({HTTPStatus.FAILED_DEPENDENCY, HTTPStatus.INTERNAL_SERVER_ERROR})
_PHRASES: Final = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request_entity_too_large",
    HTTPStatus.REQUEST_URI_TOO_LONG: "request_uri_too_long",
    HTTPStatus.UNPROCESSABLE_ENTITY: "unprocessable_entity",
}


class OpenAIErrorType(msgspec.Struct, frozen=True):
    """What an error of the domain is below `/v1`: its status before an order, its type, and its code.

    The code is the name of the problem in snake case unless OpenAI has a word for it.
    """

    status: HTTPStatus
    type: str
    code: str | None = None


OPENAI_ERROR_TYPES: Final[Mapping[type[errors.PixyProxyException], OpenAIErrorType]] = {
    errors.PixyProxyException: OpenAIErrorType(HTTPStatus.INTERNAL_SERVER_ERROR, _SERVER),
    errors.BadRequestError: OpenAIErrorType(HTTPStatus.BAD_REQUEST, _INVALID_REQUEST),
    errors.DataValidationError: OpenAIErrorType(HTTPStatus.BAD_REQUEST, _INVALID_REQUEST),
    errors.UploadTooLargeError: OpenAIErrorType(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _INVALID_REQUEST),
    errors.PictureUnavailableError: OpenAIErrorType(HTTPStatus.BAD_REQUEST, _INVALID_REQUEST),
    errors.UnauthorizedError: OpenAIErrorType(HTTPStatus.UNAUTHORIZED, _INVALID_REQUEST, "invalid_api_key"),
    errors.AuthenticationError: OpenAIErrorType(HTTPStatus.UNAUTHORIZED, _INVALID_REQUEST, "invalid_api_key"),
    errors.TooManyLoginsError: OpenAIErrorType(HTTPStatus.TOO_MANY_REQUESTS, _RATE_LIMIT),
    errors.OperationNotAllowedError: OpenAIErrorType(HTTPStatus.FORBIDDEN, _INVALID_REQUEST),
    errors.RecordNotFoundError: OpenAIErrorType(HTTPStatus.NOT_FOUND, _INVALID_REQUEST),
    errors.ModelNotFoundError: OpenAIErrorType(HTTPStatus.NOT_FOUND, _INVALID_REQUEST),
    errors.EndpointNotFoundError: OpenAIErrorType(HTTPStatus.NOT_FOUND, _INVALID_REQUEST),
    errors.ConstraintViolationError: OpenAIErrorType(HTTPStatus.FAILED_DEPENDENCY, _INVALID_REQUEST),
    errors.PreconditionFailedError: OpenAIErrorType(HTTPStatus.PRECONDITION_FAILED, _INVALID_REQUEST),
    errors.PreconditionRequiredError: OpenAIErrorType(HTTPStatus.PRECONDITION_REQUIRED, _INVALID_REQUEST),
    errors.DBConnectionError: OpenAIErrorType(HTTPStatus.SERVICE_UNAVAILABLE, _SERVER),
    errors.SchemaOutdatedError: OpenAIErrorType(HTTPStatus.SERVICE_UNAVAILABLE, _SERVER),
    errors.DamagedRecordError: OpenAIErrorType(HTTPStatus.INTERNAL_SERVER_ERROR, _SERVER),
    errors.OverloadedError: OpenAIErrorType(HTTPStatus.SERVICE_UNAVAILABLE, _SERVER),
    errors.IdempotencyKeyReusedError: OpenAIErrorType(HTTPStatus.UNPROCESSABLE_ENTITY, _INVALID_REQUEST),
    errors.IdempotencyKeyInUseError: OpenAIErrorType(HTTPStatus.FAILED_DEPENDENCY, _SERVER),
    errors.ImageDelayedError: OpenAIErrorType(HTTPStatus.FAILED_DEPENDENCY, _SERVER),
    errors.ContentStoreError: OpenAIErrorType(HTTPStatus.SERVICE_UNAVAILABLE, _SERVER),
    errors.ContentNotFoundError: OpenAIErrorType(HTTPStatus.SERVICE_UNAVAILABLE, _SERVER),
    errors.DamagedContentError: OpenAIErrorType(HTTPStatus.SERVICE_UNAVAILABLE, _SERVER),
    errors.GenerationError: OpenAIErrorType(HTTPStatus.FAILED_DEPENDENCY, _SERVER),
    errors.GenerationRefusedError: OpenAIErrorType(HTTPStatus.BAD_REQUEST, _USER, "moderation_blocked"),
    errors.GenerationOptionError: OpenAIErrorType(HTTPStatus.BAD_REQUEST, _INVALID_REQUEST),
    errors.GenerationFailedError: OpenAIErrorType(HTTPStatus.FAILED_DEPENDENCY, _SERVER),
    errors.GenerationFaultError: OpenAIErrorType(HTTPStatus.FAILED_DEPENDENCY, _SERVER),
    errors.GenerationTimedOutError: OpenAIErrorType(HTTPStatus.FAILED_DEPENDENCY, _SERVER),
    errors.GenerationBrokenOffError: OpenAIErrorType(HTTPStatus.FAILED_DEPENDENCY, _SERVER),
    errors.GenerationAbandonedError: OpenAIErrorType(HTTPStatus.FAILED_DEPENDENCY, _SERVER),
    errors.GenerationNotStartedError: OpenAIErrorType(HTTPStatus.SERVICE_UNAVAILABLE, _SERVER),
    errors.ReferenceGoneError: OpenAIErrorType(HTTPStatus.FAILED_DEPENDENCY, _INVALID_REQUEST),
    errors.ContentNotKeptError: OpenAIErrorType(HTTPStatus.FAILED_DEPENDENCY, _SERVER),
    errors.GenerationRateLimitedError: OpenAIErrorType(HTTPStatus.TOO_MANY_REQUESTS, _RATE_LIMIT),
    errors.GeneratorUnavailableError: OpenAIErrorType(HTTPStatus.SERVICE_UNAVAILABLE, _SERVER),
    errors.GeneratorCredentialsError: OpenAIErrorType(HTTPStatus.FAILED_DEPENDENCY, _SERVER),
    errors.GeneratorSetupError: OpenAIErrorType(HTTPStatus.FAILED_DEPENDENCY, _SERVER),
    errors.GeneratorQuotaError: OpenAIErrorType(HTTPStatus.FAILED_DEPENDENCY, _QUOTA, _QUOTA),
}


class ErrorDetail(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong, in the members that OpenAI's clients read, and in our own."""

    message: Annotated[str, Meta(description="What is wrong this time.", examples=["model must be gpt-image-2"])]
    type: Annotated[str, Meta(description="The family of the error.", examples=[_INVALID_REQUEST])]
    param: Annotated[str | None, Meta(description="The field to blame, if there is one.", examples=["model"])]
    code: Annotated[str, Meta(description="The kind of error, for programs.", examples=["model_not_found"])]
    request_id: Annotated[str, Meta(description="Under which the log says more.", examples=["4e5a3d6c0b8f4f0d"])]
    maybe_billed: Annotated[
        bool | UnsetType, Meta(description="Of a creation: false only if it surely cost nothing.")
    ] = UNSET
    retryable: Annotated[
        bool | UnsetType, Meta(description="Of a creation: whether the same request may succeed another time.")
    ] = UNSET
    guid: Annotated[UUID | UnsetType, Meta(description="Of a creation that was begun: its image.")] = UNSET
    batch: Annotated[UUID | UnsetType, Meta(description="Of a creation that was begun: its images.")] = UNSET


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of an error."""

    error: ErrorDetail


class OpenAIError(msgspec.Struct, frozen=True, kw_only=True):
    """An error's status, its headers beside those of every answer, and its body."""

    status: int
    headers: Mapping[str, str]
    body: ErrorBody


def openai_error(
    exc: Exception, request_id: str, *, is_ordered: bool, creates: bool = True, others_billed: bool = False
) -> OpenAIError:
    """Return any exception as an error in OpenAI's shape, and log the service's own faults.

    `is_ordered` says that the images of the request are stored, so that some may have been bought. Before that, only an
    unexpected exception of a request that `creates` leaves this open. `others_billed` says that another image of the
    same order may have been billed: then no client may send the request again, whatever became of this one.
    """
    problem = problem_of(exc, request_id=request_id)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log_fault(exc, problem.detail, status=problem.status, request_id=request_id)
    maybe_billed = others_billed or _maybe_billed(exc, is_ordered=is_ordered, creates=creates)
    kind = _type_of(exc, problem)
    status = _status(exc, kind.status, is_ordered=is_ordered, maybe_billed=maybe_billed)
    param = _param(problem)
    detail = ErrorDetail(
        message=_message(exc, problem),
        type=kind.type,
        param=param,
        code=kind.code or snake_case(problem),
        request_id=request_id,
        maybe_billed=maybe_billed if creates else UNSET,
        retryable=_is_retryable(exc, status) if creates else UNSET,
        guid=getattr(exc, "guid", None) or UNSET,
        batch=getattr(exc, "batch", None) or UNSET,
    )
    return OpenAIError(status=int(status), headers=_headers(exc, status, is_ordered=is_ordered), body=ErrorBody(detail))


def plain_error(status: HTTPStatus, message: str, request_id: str) -> ErrorBody:
    """Return the body of an error that no exception stands for."""
    problem = plain_problem(status, message, request_id)
    detail = ErrorDetail(
        message=message, type=_family(status), param=None, code=snake_case(problem), request_id=request_id
    )
    return ErrorBody(detail)


def broken_off_error(message: str, request_id: str, *, creates: bool) -> OpenAIError:
    """Return the error of a request that the service's shutdown broke off."""
    if not creates:
        status = HTTPStatus.SERVICE_UNAVAILABLE
        return OpenAIError(status=int(status), headers={}, body=plain_error(status, message, request_id))
    status = HTTPStatus.FAILED_DEPENDENCY
    detail = ErrorDetail(
        message=message,
        type=_SERVER,
        param=None,
        code="broken_off",
        request_id=request_id,
        maybe_billed=True,
        retryable=True,
    )
    return OpenAIError(status=int(status), headers={SHOULD_RETRY: "false"}, body=ErrorBody(detail))


def _type_of(exc: Exception, problem: Problem) -> OpenAIErrorType:
    """Return the row of the table; a host's own class has that of its parent."""
    if isinstance(exc, errors.PixyProxyException):
        return next(OPENAI_ERROR_TYPES[kind] for kind in type(exc).__mro__ if kind in OPENAI_ERROR_TYPES)
    status = HTTPStatus(problem.status)
    return OpenAIErrorType(status, _family(status))


def _family(status: HTTPStatus) -> str:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _SERVER
    return _RATE_LIMIT if status == HTTPStatus.TOO_MANY_REQUESTS else _INVALID_REQUEST


def _maybe_billed(exc: Exception, *, is_ordered: bool, creates: bool) -> bool:
    match exc:
        case errors.GenerationError():
            return exc.maybe_billed
        case errors.ImageDelayedError() | errors.IdempotencyKeyInUseError() | errors.ConstraintViolationError():
            # An earlier request has bought something.
            return creates
        case errors.PixyProxyException() | HTTPException():
            return is_ordered
        case _:
            return creates


def _status(exc: Exception, status: HTTPStatus, *, is_ordered: bool, maybe_billed: bool) -> HTTPStatus:
    """Return the status, which is one that no client sends again if something may have been bought."""
    if status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY} and (
        isinstance(exc, errors.GenerationError) or not is_ordered
    ):
        return status
    if maybe_billed or (is_ordered and not isinstance(exc, errors.GenerationError)):
        return HTTPStatus.FAILED_DEPENDENCY
    return status


def _is_retryable(exc: Exception, status: HTTPStatus) -> bool:
    match exc:
        case errors.GenerationError():
            return exc.is_retryable
        case errors.IdempotencyKeyInUseError():
            return True
        case _:
            return status in _PASSING


def _param(problem: Problem) -> str | None:
    """Return OpenAI's name of the first field to blame: an edit's references are its `image`."""
    if not problem.errors:
        return None
    field = problem.errors[0].field
    return "image" if re.fullmatch(r"references\b.*", field) else field


def _message(exc: Exception, problem: Problem) -> str:
    match exc:
        case errors.UnauthorizedError():
            return f"An API key is needed. {_HOW_TO_LOG_IN}"
        case errors.AuthenticationError():
            return f"{exc.detail} {_HOW_TO_LOG_IN}"
        case errors.GenerationError() | errors.UploadTooLargeError():
            return exc.detail
        case _ if problem.errors:
            first, *others = problem.errors
            told = [f"{_param(problem)} {first.detail}", *(f"{other.field} {other.detail}" for other in others)]
            return "; ".join(told)
        case _:
            return problem.detail


def snake_case(problem: Problem) -> str:
    """Return the code of a problem: the last part of its type, or else the words of its status."""
    status = HTTPStatus(problem.status)
    if problem.type != "about:blank":
        return problem.type.rpartition(":")[2].replace("-", "_")
    return _PHRASES.get(status) or re.sub("[^a-z]+", "_", status.phrase.lower())


def _headers(exc: Exception, status: HTTPStatus, *, is_ordered: bool) -> Mapping[str, str]:
    headers = error_headers(exc, status)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = BEARER_CHALLENGE
    retry_after = getattr(exc, "retry_after", None)
    if status in _PASSING and isinstance(exc, errors.PixyProxyException) and retry_after is not None:
        headers["Retry-After"] = str(min(math.ceil(retry_after), RETRY_AFTER_LONGEST))
    if status in _FINAL or (is_ordered and status not in _PASSING):
        headers[SHOULD_RETRY] = "false"
    return headers
