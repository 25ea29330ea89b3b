"""The one handler of all errors, and the answers of layers without Litestar.

Everything below `/v1` is refused in OpenAI's shape (`problems/openai_errors.py`), all else with a problem.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar import MediaType, Request, Response
from litestar.exceptions import NotFoundException
from litestar.types import HTTPScope

from pixyproxy.domain import errors
from pixyproxy.entrypoints.http.headers import Header
from pixyproxy.entrypoints.http.problems.challenges import challenge_of
from pixyproxy.entrypoints.http.problems.handler import PROBLEM_MEDIA_TYPE, creates, problem_response
from pixyproxy.entrypoints.http.problems.openai_errors import broken_off_error, openai_error, plain_error
from pixyproxy.entrypoints.http.problems.openai_paths import directions, is_openais
from pixyproxy.entrypoints.http.problems.translation import plain_problem
from pixyproxy.entrypoints.http.service_path import known_address, service_path

_IS_ORDERED: Final = "is_ordered"


class PlainAnswer(msgspec.Struct, frozen=True):
    """An encoded answer for layers without Litestar."""

    status: int
    headers: Sequence[Header]
    body: bytes


def handle_error(request: Request[Any, Any, Any], exc: Exception) -> Response[Any]:
    """Answer any exception, and log the service's own faults: below `/v1` in OpenAI's shape, else with a problem."""
    scope = request.scope
    return _openai_response(scope, exc) if is_openais(service_path(scope)) else problem_response(request, exc)


def note_order(scope: HTTPScope) -> None:
    """Note that a request's images are stored: whatever breaks from now on, no client may send the request again."""
    scope["state"][_IS_ORDERED] = True


def plain_answer(status: HTTPStatus, detail: str, request_id: str, *, path: str) -> PlainAnswer:
    """Return the answer to a request for `path`, below the service's prefix, that no exception stands for."""
    if is_openais(path):
        return _encoded(status, MediaType.JSON, plain_error(status, detail, request_id))
    return _encoded(status, PROBLEM_MEDIA_TYPE, plain_problem(status, detail, request_id))


def broken_off_answer(scope: HTTPScope) -> PlainAnswer:
    """Return the answer to a request that the service's shutdown broke off."""
    detail, request_id = "The service was stopped before the answer was there.", scope["state"]["request_id"]
    if is_openais(service_path(scope)):
        error = broken_off_error(detail, request_id, creates=creates(scope))
        return _encoded(error.status, MediaType.JSON, error.body, error.headers)
    problem = plain_problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, request_id)
    if creates(scope):
        problem = msgspec.structs.replace(problem, retryable=True, maybe_billed=True)
    return _encoded(problem.status, PROBLEM_MEDIA_TYPE, problem)


def _openai_response(scope: HTTPScope, exc: Exception) -> Response[Any]:
    if isinstance(exc, NotFoundException | errors.EndpointNotFoundError):
        exc = errors.EndpointNotFoundError(directions(service_path(scope), known_address(scope)))
    state = scope["state"]
    is_ordered = state.get(_IS_ORDERED, False)
    error = openai_error(exc, state["request_id"], is_ordered=is_ordered, creates=is_ordered or creates(scope))
    headers = dict(error.headers)
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = challenge_of(scope)
    return Response(error.body, status_code=error.status, media_type=MediaType.JSON, headers=headers)


def _encoded(status: int, media_type: str, body: object, headers: Mapping[str, str] | None = None) -> PlainAnswer:
    encoded = msgspec.json.encode(body)
    described = {"Content-Type": media_type, "Content-Length": str(len(encoded)), **(headers or {})}
    lines = [(name.lower().encode(), value.encode("latin-1")) for name, value in described.items()]
    return PlainAnswer(int(status), lines, encoded)
