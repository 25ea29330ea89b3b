"""Upstream errors, translated to the domain and to the log."""

import logging
import re
from collections.abc import Callable, Container
from http import HTTPStatus
from typing import Final

from pixyproxy.adapters.openai.redaction import Redaction
from pixyproxy.adapters.openai.upstream_error import UpstreamError
from pixyproxy.domain.errors import (
    GenerationBrokenOffError,
    GenerationError,
    GenerationFailedError,
    GenerationOptionError,
    GenerationRateLimitedError,
    GenerationRefusedError,
    GenerationTimedOutError,
    GeneratorCredentialsError,
    GeneratorQuotaError,
    GeneratorSetupError,
    GeneratorUnavailableError,
)

PARAMETERS: Final = frozenset(
    {
        "model",
        "prompt",
        "n",
        "size",
        "quality",
        "output_format",
        "output_compression",
        "background",
        "moderation",
        "image",
        "mask",
        "input_fidelity",
        "partial_images",
    }
)
TIMEOUT_STATUSES: Final = frozenset({408, 504, 524})
GATEWAY_STATUSES: Final = frozenset({502, 520})
OVERLOAD_STATUSES: Final = frozenset({503, 529})
# Of the 4xx, these may be gone later (RFC 9110, 15.5; RFC 8470, 5.2; WebDAV's of RFC 4918).
PASSING_STATUSES: Final = frozenset({409, 423, 424, 425})

_log = logging.getLogger("pixyproxy.openai")


def log_upstream_error(
    upstream: UpstreamError, error: GenerationError, redact: Redaction, *, request_id: str | None
) -> None:
    """Log the upstream's message, as an error if only the operator can fix it."""
    is_operators = isinstance(error, GeneratorSetupError | GeneratorCredentialsError)
    facts = {
        "upstream_status": upstream.status,
        "upstream_code": redact(upstream.code, 100) or None,
        "upstream_type": redact(upstream.kind, 100) or None,
        "upstream_param": redact(upstream.param, 100) or None,
        "upstream_message": upstream.message or None,
        "upstream_request_id": redact(request_id, 255) or None,
        "meaning": type(error).__name__,
    }
    _log.log(logging.ERROR if is_operators else logging.WARNING, "the generator answered with an error", extra=facts)


def timed_out() -> GenerationError:
    """Return the error for an answer that was too late."""
    return GenerationTimedOutError("OpenAI did not answer in time.", maybe_billed=True)


def domain_error_for(upstream: UpstreamError, retry_after: float | None = None) -> GenerationError:
    """Return the `GenerationError` for an upstream error.

    An error in an answer with status 200 is not billed, unless the finished picture was blocked.
    """
    error = next(translate for is_meant, translate in _UPSTREAM_ERRORS if is_meant(upstream))(upstream)
    if isinstance(error, GenerationRateLimitedError | GeneratorUnavailableError):
        error.retry_after = retry_after
    return error


def _rejected(upstream: UpstreamError) -> GenerationError:
    """Return the error for a request that the upstream rejects."""
    named = _named(upstream)
    if upstream.status == HTTPStatus.OK:
        return GenerationFailedError(
            f"OpenAI answered with an error instead of an image ({named}).", maybe_billed=False
        )
    if upstream.is_about_prompt:
        return GenerationRefusedError(f"OpenAI does not accept this prompt ({named}).", maybe_billed=False)
    if field := upstream.rejected_option:
        detail = f"OpenAI does not accept the request's {field} ({named})."
        return GenerationOptionError(detail, maybe_billed=False, field=field)
    if upstream.status in PASSING_STATUSES:
        return GenerationFailedError(f"OpenAI does not accept the request ({named}).", maybe_billed=False)
    if upstream.status == HTTPStatus.FORBIDDEN and upstream.is_web_page:
        detail = f"A proxy or CDN in front of OpenAI turned the request away with a web page ({named})."
    elif upstream.status == HTTPStatus.FORBIDDEN and re.search(r"organi[sz]ation must be verified", upstream.message):
        detail = f"OpenAI wants PixyProxy's organization to be verified first ({named})."
    elif upstream.status == HTTPStatus.FORBIDDEN:
        detail = f"OpenAI does not permit PixyProxy's account to do this ({named})."
    elif upstream.status < HTTPStatus.BAD_REQUEST:
        detail = f"OpenAI's address redirects elsewhere ({named})."
    else:
        detail = f"OpenAI does not accept the request as PixyProxy is set up ({named})."
    return GeneratorSetupError(detail, maybe_billed=False)


def _named(upstream: UpstreamError) -> str:
    """Return the status of an error, and its code and parameter if they look like OpenAI's own.

    The rest of an error, its message above all, may repeat the prompt or the key.
    """
    words = [f"status {upstream.status}"]
    if re.fullmatch(r"[a-z]{1,20}(_[a-z]{1,20}){1,5}", upstream.code):
        words.append(f"code {upstream.code}")
    if upstream.param in PARAMETERS:
        words.append(f"parameter {upstream.param}")
    return ", ".join(words)


def _refused(upstream: UpstreamError) -> GenerationError:
    details = upstream.details.get("moderation_details")
    details = details if isinstance(details, dict) else {}
    named = details.get("categories")
    categories = [
        category
        for category in (named if isinstance(named, list) else [])
        if isinstance(category, str) and re.fullmatch(r"[a-z][a-z_/-]{1,60}", category)
    ]
    reason = f" ({', '.join(categories[:10])})" if categories else ""
    stage = details.get("moderation_stage")
    return GenerationRefusedError(
        f"OpenAI's safety system refuses to draw this prompt{reason}.",
        # Only a prompt that was blocked on input surely cost nothing; the picture may have been drawn.
        maybe_billed=stage == "output" if upstream.is_in_good_answer else stage != "input",
    )


def _out_of_quota(upstream: UpstreamError) -> GenerationError:
    return GeneratorQuotaError(f"The OpenAI account has no quota left ({_named(upstream)}).", maybe_billed=False)


def _rate_limited(_upstream: UpstreamError) -> GenerationError:
    return GenerationRateLimitedError("OpenAI wants fewer requests.", maybe_billed=False)


def _bad_credentials(upstream: UpstreamError) -> GenerationError:
    detail = f"OpenAI does not accept PixyProxy's API key ({_named(upstream)})."
    return GeneratorCredentialsError(detail, maybe_billed=False)


def _lost_by_gateway(upstream: UpstreamError) -> GenerationError:
    # The server after the gateway may still be drawing, as may one that timed out.
    return GenerationBrokenOffError(f"A gateway lost OpenAI's answer ({_named(upstream)}).", maybe_billed=True)


def _overloaded(upstream: UpstreamError) -> GenerationError:
    detail = f"OpenAI has no capacity at the moment ({_named(upstream)})."
    return GeneratorUnavailableError(detail, maybe_billed=not upstream.is_in_good_answer)


def _broken_down(upstream: UpstreamError) -> GenerationError:
    detail = f"OpenAI failed to draw the image ({_named(upstream)})."
    return GenerationFailedError(detail, maybe_billed=not upstream.is_in_good_answer)


def _has_status(statuses: Container[int]) -> Callable[[UpstreamError], bool]:
    return lambda upstream: upstream.status in statuses


def _is_late(statuses: Container[int]) -> Callable[[UpstreamError], bool]:
    """Whether the HTTP status says that the answer did not come in time."""
    return lambda upstream: upstream.status in statuses and not upstream.is_in_good_answer


_UPSTREAM_ERRORS: Final[
    tuple[tuple[Callable[[UpstreamError], bool], Callable[[UpstreamError], GenerationError]], ...]
] = (
    (lambda upstream: upstream.is_refusal, _refused),
    (lambda upstream: upstream.is_out_of_quota, _out_of_quota),
    (_has_status({429}), _rate_limited),
    (_has_status({401}), _bad_credentials),
    (_is_late(TIMEOUT_STATUSES), lambda _: timed_out()),
    (_is_late(GATEWAY_STATUSES), _lost_by_gateway),
    (_has_status(OVERLOAD_STATUSES), _overloaded),
    (_has_status(range(500, 600)), _broken_down),
    (lambda _: True, _rejected),
)
