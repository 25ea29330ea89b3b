"""OpenAI's errors, in the words of the domain.

The codes are those that OpenAI's reference and the types of the `openai` package name, and those of servers that speak
the same API; the exceptions and what they mean for the bill were tried out on the package (version 3.54) and a server
that misbehaves.
"""

import logging
import math
import os
import re
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import httpx2
import openai

from pixyproxy.adapters.openai.redaction import Redaction
from pixyproxy.adapters.openai.upstream_error import UpstreamError
from pixyproxy.domain.errors import (
    RETRY_AFTER_MAX,
    GenerationBrokenOffError,
    GenerationError,
    GenerationFailedError,
    GenerationRateLimitedError,
    GenerationRefusedError,
    GenerationTimedOutError,
    GeneratorCredentialsError,
    GeneratorSetupError,
    GeneratorUnavailableError,
)

NEVER_CONNECTED: Final = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
)
PARAMETERS: Final = frozenset({"model", "prompt", "n", "size", "quality", "output_format", "background"})
TIMEOUT_STATUSES: Final = frozenset({408, 504, 524})
GATEWAY_STATUSES: Final = frozenset({502, 520})
OVERLOAD_STATUSES: Final = frozenset({503, 529})
# Of the 4xx, these may be gone another time (RFC 9110, 15.5; RFC 8470, 5.2; WebDAV's of RFC 4918).
PASSING_STATUSES: Final = frozenset({409, 423, 424, 425})

# What the HTTP client takes from the environment.
_PROXIES: Final = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
_CERTIFICATES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")

_log = logging.getLogger("pixyproxy.openai")


class NotSentError(openai.OpenAIError):
    """The attempt ended before the first byte of the request was sent, so that OpenAI surely knows nothing of it."""


@contextmanager
def translated_errors(redact: Redaction = Redaction()) -> Iterator[None]:  # noqa: B008 -- it is frozen
    """Raise what OpenAI's client raises as the `GenerationError` it means, and log what OpenAI or the network said."""
    try:
        yield
    except openai.APIStatusError as exc:
        upstream = UpstreamError.read(exc.status_code, exc.body, redact)
        error = meaning_of(upstream, retry_after(exc))
        log_upstream_error(upstream, error, redact, request_id=exc.response.headers.get("x-request-id"))
        raise error from exc
    except (openai.OpenAIError, httpx2.TransportError, TimeoutError) as exc:
        for is_meant, translate in _CONNECTION_ERRORS:
            if is_meant(exc):
                error = translate()
                facts = {"host": _host(exc), "cause": redact(_innermost(exc)), "meaning": type(error).__name__}
                _log.warning("the connection to the generator failed", extra=facts)
                raise error from exc
        raise


@contextmanager
def setup_errors() -> Iterator[None]:
    """Raise `GeneratorSetupError` for whatever goes wrong while the client is made: nothing was sent.

    The environment may name a proxy or certificates that can't be used. The error's notes, for the operator, say which
    variables there are, and never a proxy's value, which may hold a password.
    """
    try:
        yield
    except Exception as exc:
        error = GeneratorSetupError("The client for OpenAI can't be set up.", maybe_billed=False)
        reason = re.sub(r"//[^/\s]*@", "//…@", str(getattr(exc, "strerror", None) or exc))
        error.add_note(f"{type(exc).__name__}: {reason.removesuffix('.')}.")
        names = [name for name in _PROXIES if os.environ.get(name) or os.environ.get(name.lower())]
        names += [f"{name}={os.environ[name]}" for name in _CERTIFICATES if os.environ.get(name)]
        if names:
            error.add_note(f"The environment has {', '.join(names)}.")
        raise error from exc


def log_upstream_error(
    upstream: UpstreamError, error: GenerationError, redact: Redaction, *, request_id: str | None
) -> None:
    """Log what the upstream said, as an error if only the operator can mend it."""
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


def has_never_connected(exc: BaseException) -> bool:
    """Whether no connection could be made, so that OpenAI surely knows nothing of the request.

    The client raises the same `APIConnectionError` for an answer that broke off; only the cause tells them apart.
    """
    return isinstance(exc, NotSentError) or (
        isinstance(exc, openai.APIConnectionError) and isinstance(exc.__cause__, NEVER_CONNECTED)
    )


def is_rate_limit(exc: BaseException) -> bool:
    """Whether the request was turned away before anything was done, and may be welcome a little later."""
    if not isinstance(exc, openai.RateLimitError):
        return False
    upstream = UpstreamError.read(exc.status_code, exc.body, Redaction())
    return not upstream.is_refusal and not upstream.is_out_of_quota


def retry_after(exc: BaseException) -> float | None:
    """Return the seconds that OpenAI asks to wait, from `retry-after-ms` or `Retry-After` (RFC 9110, 10.2.3).

    They are an hour at most.
    """
    if not isinstance(exc, openai.APIStatusError):
        return None
    headers = exc.response.headers
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        else:
            seconds = _seconds(headers.get("retry-after", ""))
    except (ValueError, OverflowError):
        return None
    # Some servers name a time in a year, or in ten thousand.
    return min(max(0.0, seconds), RETRY_AFTER_MAX) if math.isfinite(seconds) else None


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        at = parsedate_to_datetime(text)
    return (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()


def meaning_of(upstream: UpstreamError, retry_after: float | None = None) -> GenerationError:
    """Return the `GenerationError` that an error of the upstream means.

    What came in an answer with status 200 is not billed, unless it was stopped when the picture was there.
    """
    error = next(translate for is_meant, translate in _UPSTREAM_ERRORS if is_meant(upstream))(upstream)
    if isinstance(error, GenerationRateLimitedError | GeneratorUnavailableError):
        error.retry_after = retry_after
    return error


def _rejected(upstream: UpstreamError) -> GenerationError:
    """Return the error for a request that the upstream does not accept as it is."""
    named = _named(upstream)
    if upstream.status == HTTPStatus.OK:
        return GenerationFailedError(
            f"OpenAI answered with an error instead of an image ({named}).", maybe_billed=False
        )
    if upstream.is_about_prompt:
        return GenerationRefusedError(f"OpenAI does not accept this prompt ({named}).", maybe_billed=False)
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

    What else an endpoint writes into an error, its message above all, may repeat the prompt or the key.
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
        # Only a prompt that was stopped on its way in has surely cost nothing; the picture may have been drawn.
        maybe_billed=stage == "output" if upstream.is_in_good_answer else stage != "input",
    )


def _out_of_quota(upstream: UpstreamError) -> GenerationError:
    return GeneratorSetupError(f"The OpenAI account has no quota left ({_named(upstream)}).", maybe_billed=False)


def _rate_limited(_upstream: UpstreamError) -> GenerationError:
    return GenerationRateLimitedError("OpenAI wants fewer requests.", maybe_billed=False)


def _bad_credentials(upstream: UpstreamError) -> GenerationError:
    detail = f"OpenAI does not accept PixyProxy's API key ({_named(upstream)})."
    return GeneratorCredentialsError(detail, maybe_billed=False)


def _lost_by_gateway(upstream: UpstreamError) -> GenerationError:
    # What stands behind the gateway may go on drawing, as it may behind one that has waited for too long.
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
    """Whether the answer did not come, as the status of HTTP says; an answer with another status has come."""
    return lambda upstream: upstream.status in statuses and not upstream.is_in_good_answer


_UPSTREAM_ERRORS: Final[
    tuple[tuple[Callable[[UpstreamError], bool], Callable[[UpstreamError], GenerationError]], ...]
] = (
    (lambda upstream: upstream.is_refusal, _refused),
    (lambda upstream: upstream.is_out_of_quota, _out_of_quota),
    (_has_status({429}), _rate_limited),
    (_has_status({401}), _bad_credentials),
    (_is_late(TIMEOUT_STATUSES), lambda _: _timed_out()),
    (_is_late(GATEWAY_STATUSES), _lost_by_gateway),
    (_has_status(OVERLOAD_STATUSES), _overloaded),
    (_has_status(range(500, 600)), _broken_down),
    (lambda _: True, _rejected),
)


def _unreachable() -> GenerationError:
    return GeneratorUnavailableError("OpenAI can't be reached.", maybe_billed=False)


def _timed_out() -> GenerationError:
    return GenerationTimedOutError("OpenAI did not answer in time.", maybe_billed=True)


def _broken_off() -> GenerationError:
    return GenerationBrokenOffError(
        "The connection to OpenAI broke off before the answer was there.", maybe_billed=True
    )


def _is(*kinds: type[BaseException]) -> Callable[[BaseException], bool]:
    return lambda exc: isinstance(exc, kinds)


_CONNECTION_ERRORS: Final[tuple[tuple[Callable[[BaseException], bool], Callable[[], GenerationError]], ...]] = (
    (has_never_connected, _unreachable),
    (_is(openai.APITimeoutError, httpx2.TimeoutException, TimeoutError), _timed_out),
    (_is(openai.APIConnectionError, httpx2.TransportError), _broken_off),
)


def _host(exc: BaseException) -> str | None:
    """Return the host and port that an error of the network is about."""
    for error in _chain(exc):
        try:
            url = getattr(error, "request").url  # noqa: B009 -- httpx2 raises RuntimeError where there is none
        except (AttributeError, RuntimeError):
            continue
        return f"{url.host}:{url.port or (443 if url.scheme == 'https' else 80)}"
    return None


def _innermost(exc: BaseException) -> str:
    """Return the first cause of an error: what DNS, the other host or TLS said."""
    *_, first = _chain(exc)
    return f"{type(first).__name__}: {first}" if str(first) else type(first).__name__


def _chain(exc: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    error: BaseException | None = exc
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        group = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
        error = group[0] if group else error.__cause__ or error.__context__
