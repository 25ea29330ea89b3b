from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.adapters.openai.errors import has_never_connected, is_rate_limit, retry_after, translated_errors
from pixyproxy.domain.errors import (
    GenerationBrokenOffError,
    GenerationError,
    GenerationRateLimitedError,
    GenerationRefusedError,
    GenerationTimedOutError,
    GeneratorQuotaError,
    GeneratorUnavailableError,
)

REQUEST = httpx2.Request("POST", "http://127.0.0.1/v1/images/generations")


@cache
def client() -> openai.OpenAI:
    return openai.OpenAI(api_key="sk-test")


def status_error(status: int, error: Any, headers: Mapping[str, str] | None = None) -> openai.APIStatusError:
    """Make the exception that the client makes of an answer."""
    response = httpx2.Response(status, json={"error": error}, headers=headers, request=REQUEST)
    return client()._make_status_error_from_response(response)


def connection_error(cause: Exception) -> openai.APIConnectionError:
    is_timeout = isinstance(cause, httpx2.TimeoutException)
    error = openai.APITimeoutError(REQUEST) if is_timeout else openai.APIConnectionError(request=REQUEST)
    error.__cause__ = cause
    return error


def translated(error: Exception) -> GenerationError:
    with pytest.raises(GenerationError) as raised, translated_errors():
        raise error
    assert raised.value.__cause__ is error
    return raised.value


@pytest.mark.parametrize(
    "cause",
    [httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError, httpx2.UnsupportedProtocol],
)
def test_a_connection_that_was_never_made_is_surely_not_billed(cause: type[Exception]) -> None:
    error = connection_error(cause("no"))

    assert has_never_connected(error)
    assert type(translated(error)) is GeneratorUnavailableError
    assert not translated(error).maybe_billed


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (httpx2.ReadTimeout, GenerationTimedOutError),
        (httpx2.WriteTimeout, GenerationTimedOutError),
        (httpx2.ReadError, GenerationBrokenOffError),
        (httpx2.WriteError, GenerationBrokenOffError),
        (httpx2.RemoteProtocolError, GenerationBrokenOffError),
    ],
)
def test_a_connection_that_broke_may_be_billed(cause: type[Exception], kind: type[GenerationError]) -> None:
    error = connection_error(cause("no"))

    assert not has_never_connected(error)
    assert type(translated(error)) is kind
    assert translated(error).maybe_billed


def test_an_error_of_something_else_is_passed_on() -> None:
    with pytest.raises(ZeroDivisionError), translated_errors():
        raise ZeroDivisionError


def test_an_unknown_error_of_the_client_is_passed_on() -> None:
    error = openai.OpenAIError("new")
    with pytest.raises(openai.OpenAIError) as raised, translated_errors():
        raise error

    assert raised.value is error


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "9"}, None),
    ],
)
def test_the_wait_is_read_from_either_header(headers: Mapping[str, str], seconds: float | None) -> None:
    error = status_error(429, {"code": "rate_limit_exceeded"}, headers)

    assert retry_after(error) == seconds
    assert translated(error).retry_after == seconds


def test_a_wait_that_ends_at_a_date_is_counted_from_now() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    seconds = retry_after(status_error(429, {}, {"retry-after": date}))

    assert seconds is not None
    assert 90 < seconds <= 100


@pytest.mark.parametrize(
    "error", [{"code": "insufficient_quota"}, {"type": "insufficient_quota"}, {"code": "billing_hard_limit_reached"}]
)
def test_an_account_without_quota_is_no_rate_limit(error: Mapping[str, str]) -> None:
    assert not is_rate_limit(status_error(429, error))
    assert type(translated(status_error(429, error))) is GeneratorQuotaError


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"code": "BadRequest", "InnerError": {"code": "ResponsibleAIPolicyViolation"}}),
        (400, {"code": "BadRequest", "details": [{"code": "content_filter"}]}),
        (400, {"code": "400", "message": '{"error": {"code": "content_policy_violation"}}'}),
        (400, {"message": "litellm.ContentPolicyViolationError: no"}),
        # OpenRouter's own words; no credits are missing.
        (403, {"code": 403, "message": 'Your input was flagged for "violence". No credits were charged.'}),
        (400, [{"code": "moderation_blocked"}]),
        (400, {"param": "prompt[0]", "message": "too long"}),
    ],
)
def test_a_refusal_is_one_wherever_it_is_said(status: int, error: object) -> None:
    assert type(translated(status_error(status, error))) is GenerationRefusedError


@pytest.mark.parametrize(
    "details",
    [None, 7, [], {}, {"categories": None}, {"categories": "hate"}, {"categories": [1, None, "{}", "x" * 99, "Über"]}],
)
def test_a_refusal_with_strange_details_is_a_refusal(details: object) -> None:
    error = translated(status_error(400, {"code": "moderation_blocked", "moderation_details": details}))

    assert type(error) is GenerationRefusedError
    assert error.detail == "OpenAI's safety system refuses to draw this prompt."
    assert error.maybe_billed


@given(
    status=st.integers(400, 599),
    error=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["code", "type", "param", "message", "moderation_details"]), inner)
        ),
        max_leaves=8,
    ),
)
def test_every_status_and_every_body_is_a_generation_error(status: int, error: object) -> None:
    assert translated(status_error(status, error)).detail.endswith(".")


@pytest.mark.parametrize("field", ["code", "param", "type", "message"])
@pytest.mark.parametrize("secret", ["sk-proj-AbC123", "a red fox", "secret", "iVBORw0KGgoAAAANSUhEUg==", "x" * 10_000])
def test_text_that_an_endpoint_echoes_is_left_out(field: str, secret: str) -> None:
    for status in (400, 401, 403, 404, 429, 500, 503):
        error = translated(status_error(status, {field: secret, "moderation_details": {"categories": [secret]}}))

        assert secret not in f"{error!s}{error!r}{error.detail}"


def test_a_rate_limit_is_surely_not_billed() -> None:
    error = translated(status_error(429, {"code": "rate_limit_exceeded"}))

    assert type(error) is GenerationRateLimitedError
    assert not error.maybe_billed
