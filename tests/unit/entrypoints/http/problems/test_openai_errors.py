"""From errors to OpenAI's shape."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
from litestar.exceptions import HTTPException, MethodNotAllowedException

from pixyproxy.domain import errors
from pixyproxy.entrypoints.http.problems.openai_errors import (
    OPENAI_ERROR_TYPES,
    RETRY_AFTER_LONGEST,
    OpenAIError,
    openai_error,
)
from tests.unit.entrypoints.http.problems.test_handler import tree

GUID = UUID("00000000-0000-4000-8000-000000000001")

# What the clients of OpenAI send again, LiteLLM's router also after a 403.
SENT_AGAIN = {403, 408, 409, 429, *range(500, 600)}
ALL = list(tree(errors.PixyProxyException))


def made(
    kind: type[errors.PixyProxyException], *, maybe_billed: bool = False, **given: Any
) -> errors.PixyProxyException:
    if issubclass(kind, errors.GenerationError):
        return kind("Exactly this.", maybe_billed=maybe_billed, **given)
    if issubclass(kind, errors.DataValidationError):
        return kind("size", "must be less")
    if issubclass(
        kind,
        errors.TooManyLoginsError | errors.OverloadedError | errors.IdempotencyKeyInUseError | errors.ImageDelayedError,
    ):
        return kind("Exactly this.", retry_after=400.0)
    return kind("Exactly this.")


def answered(exc: Exception, *, is_ordered: bool, **options: bool) -> OpenAIError:
    return openai_error(exc, "a-request", is_ordered=is_ordered, **options)


@pytest.mark.parametrize("kind", ALL)
def test_every_error_of_the_domain_has_a_row_of_its_own(kind: type[errors.PixyProxyException]) -> None:
    assert kind in OPENAI_ERROR_TYPES


@pytest.mark.parametrize("maybe_billed", [False, True])
@pytest.mark.parametrize("kind", ALL)
def test_after_an_order_no_client_sends_again_what_may_be_billed(
    kind: type[errors.PixyProxyException], maybe_billed: bool
) -> None:
    error = answered(made(kind, maybe_billed=maybe_billed), is_ordered=True)

    detail = error.body.error
    if detail.maybe_billed:
        assert error.status in {400, 424}
    if error.status in SENT_AGAIN:
        assert issubclass(kind, errors.GenerationError)
        assert error.status in {429, 503}
        assert detail.maybe_billed is False
        assert detail.retryable is True
        assert "x-should-retry" not in error.headers
    else:
        assert error.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("kind", ALL)
def test_before_an_order_nothing_is_a_conflict(kind: type[errors.PixyProxyException]) -> None:
    error = answered(made(kind), is_ordered=False)

    assert error.status != 409
    assert ("x-should-retry" in error.headers) == (error.status in {424, 500})
    assert int(error.headers.get("Retry-After", 0)) <= RETRY_AFTER_LONGEST


@pytest.mark.parametrize(
    ("kind", "before", "after", "type_", "code"),
    [
        (errors.DataValidationError, 400, 424, "invalid_request_error", "data_validation"),
        (errors.UploadTooLargeError, 413, 424, "invalid_request_error", "upload_too_large"),
        (errors.UnauthorizedError, 401, 424, "invalid_request_error", "invalid_api_key"),
        (errors.AuthenticationError, 401, 424, "invalid_request_error", "invalid_api_key"),
        (errors.OperationNotAllowedError, 403, 424, "invalid_request_error", "operation_not_allowed"),
        (errors.ModelNotFoundError, 404, 424, "invalid_request_error", "model_not_found"),
        (errors.ConstraintViolationError, 424, 424, "invalid_request_error", "constraint_violation"),
        (errors.DBConnectionError, 503, 424, "server_error", "db_connection"),
        (errors.OverloadedError, 503, 424, "server_error", "overloaded"),
        (errors.TooManyLoginsError, 429, 424, "rate_limit_error", "too_many_logins"),
        (errors.IdempotencyKeyReusedError, 422, 424, "invalid_request_error", "idempotency_key_reused"),
        (errors.ImageDelayedError, 424, 424, "server_error", "image_delayed"),
        (errors.ContentStoreError, 503, 424, "server_error", "content_store"),
        (errors.GenerationRefusedError, 400, 400, "image_generation_user_error", "moderation_blocked"),
        (errors.GenerationOptionError, 400, 400, "invalid_request_error", "generation_option"),
        (errors.GenerationFailedError, 424, 424, "server_error", "generation_failed"),
        (errors.GenerationTimedOutError, 424, 424, "server_error", "generation_timed_out"),
        (errors.GenerationNotStartedError, 503, 503, "server_error", "generation_not_started"),
        (errors.GenerationRateLimitedError, 429, 429, "rate_limit_error", "generation_rate_limited"),
        (errors.GeneratorUnavailableError, 503, 503, "server_error", "generator_unavailable"),
        (errors.GeneratorCredentialsError, 424, 424, "server_error", "generator_credentials"),
        (errors.GeneratorSetupError, 424, 424, "server_error", "generator_setup"),
        (errors.GeneratorQuotaError, 424, 424, "insufficient_quota", "insufficient_quota"),
    ],
)
def test_an_error_has_a_status_before_and_after_an_order(
    kind: type[errors.PixyProxyException], before: int, after: int, type_: str, code: str
) -> None:
    for is_ordered, status in ((False, before), (True, after)):
        error = answered(made(kind), is_ordered=is_ordered)
        assert (error.status, error.body.error.type, error.body.error.code) == (status, type_, code)


@pytest.mark.parametrize("kind", [errors.GenerationRateLimitedError, errors.GeneratorUnavailableError])
def test_a_failure_that_another_image_of_the_order_has_cost_is_not_sent_again(
    kind: type[errors.GenerationError],
) -> None:
    error = answered(made(kind), is_ordered=True, others_billed=True)

    assert (error.status, error.headers["x-should-retry"]) == (424, "false")
    assert error.body.error.maybe_billed is True


def test_no_client_is_told_to_wait_longer_than_clients_wait() -> None:
    for seconds, told in ((0.2, "1"), (60.0, "60"), (3_600.0, "60"), (None, None)):
        error = answered(made(errors.GenerationRateLimitedError, retry_after=seconds), is_ordered=True)
        assert error.headers.get("Retry-After") == told


def test_a_final_failure_tells_no_one_to_wait() -> None:
    assert "Retry-After" not in answered(made(errors.ImageDelayedError), is_ordered=True).headers


def test_an_unexpected_exception_of_a_creation_may_have_been_billed() -> None:
    for is_ordered in (False, True):
        error = answered(ZeroDivisionError("secret"), is_ordered=is_ordered)
        assert error.status == 424
        assert error.body.error.maybe_billed is True
        assert "secret" not in msgspec.json.encode(error.body).decode()


def test_an_unexpected_exception_of_another_request_is_a_fault() -> None:
    error = answered(ZeroDivisionError(), is_ordered=False, creates=False)

    assert (error.status, error.headers["x-should-retry"]) == (500, "false")
    assert error.body.error.maybe_billed is msgspec.UNSET


@pytest.mark.parametrize("is_ordered", [False, True])
def test_the_service_s_own_faults_are_logged(is_ordered: bool, caplog: pytest.LogCaptureFixture) -> None:
    answered(ZeroDivisionError(), is_ordered=is_ordered)
    answered(made(errors.GeneratorSetupError), is_ordered=is_ordered)
    answered(made(errors.GenerationRefusedError), is_ordered=is_ordered)

    fault, setup = caplog.records
    assert fault.exc_info is not None
    assert (fault.levelname, fault.request_id) == ("ERROR", "a-request")  # type: ignore[attr-defined]
    assert (setup.getMessage(), setup.exc_info) == ("Exactly this.", None)


@pytest.mark.parametrize(
    ("field", "param"),
    [("references", "image"), ("references[3]", "image"), ("mask", "mask"), ("size", "size"), (None, None)],
)
def test_the_field_to_blame_has_openai_s_name(field: str | None, param: str | None) -> None:
    error = answered(made(errors.GenerationOptionError, field=field), is_ordered=True)
    assert error.body.error.param == param


def test_a_rule_is_told_with_the_field() -> None:
    error = answered(errors.DataValidationError("references[2]", "is no picture"), is_ordered=False)
    assert (error.body.error.param, error.body.error.message) == ("image", "image is no picture")


def test_an_image_that_was_begun_is_named() -> None:
    delayed = errors.ImageDelayedError("Not yet.", guid=GUID, retry_after=1.0)
    assert answered(delayed, is_ordered=True).body.error.guid == GUID


def test_an_error_of_http_keeps_its_status_and_its_headers() -> None:
    error = answered(MethodNotAllowedException(headers={"Allow": "GET"}), is_ordered=False, creates=False)
    assert (error.status, error.body.error.code) == (405, "method_not_allowed")
    assert error.headers["Allow"] == "GET"
    too_large = answered(HTTPException(status_code=413, detail="Too much."), is_ordered=False)
    assert (too_large.body.error.code, too_large.headers["Connection"]) == ("request_entity_too_large", "close")


def test_a_picture_that_is_too_large_is_blamed_by_its_name() -> None:
    exc = errors.UploadTooLargeError("image has more than 3 bytes.", field="image")
    detail = answered(exc, is_ordered=False).body.error
    assert (detail.param, detail.message) == ("image", "image has more than 3 bytes.")
