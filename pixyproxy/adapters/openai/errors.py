"""OpenAI's errors, translated to the domain's.

The codes are those of OpenAI's reference, of the types in the `openai` package and of compatible servers; the
exceptions and whether they are billed were tested with the package (version 3.54) and a misbehaving server.
"""

import logging
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx2
import openai

from pixyproxy.adapters.openai.redaction import Redaction
from pixyproxy.adapters.openai.upstream_error import NOTHING_GIVEN, UpstreamError
from pixyproxy.adapters.openai.upstream_meaning import domain_error_for, log_upstream_error, timed_out
from pixyproxy.domain.errors import (
    RETRY_AFTER_MAX,
    GenerationBrokenOffError,
    GenerationError,
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

# The HTTP client's environment variables.
_PROXIES: Final = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
_CERTIFICATES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")

_log = logging.getLogger("pixyproxy.openai")


class NotSentError(openai.OpenAIError):
    """The attempt ended before the first byte of the request was sent: OpenAI surely did not receive it."""


@contextmanager
def translated_errors(
    redact: Redaction = Redaction(),  # noqa: B008 -- it is frozen
    given: Mapping[str, str] = NOTHING_GIVEN,
) -> Iterator[None]:
    """Raise the client's exceptions as `GenerationError`s, and log the message of OpenAI or the network.

    `given` are the parameters that the client chose, with their fields in the client's request.
    """
    try:
        yield
    except openai.APIStatusError as exc:
        upstream = UpstreamError.read(exc.status_code, exc.body, redact, given=given)
        error = domain_error_for(upstream, retry_after(exc))
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
    """Raise `GeneratorSetupError` for any failure to build the client: nothing was sent.

    The environment may name an unusable proxy or certificates. The error's notes, for the operator, list the variables
    that are set, and never a proxy's value, which may hold a password.
    """
    try:
        yield
    except Exception as exc:
        error = GeneratorSetupError("The client for OpenAI can't be set up.", maybe_billed=False)
        reason = re.sub(r"//[^/\s]*@", "//…@", str(getattr(exc, "strerror", None) or exc))
        if isinstance(exc, httpx2.InvalidURL):
            # It quotes the supposed port, which may begin a password with a slash.
            reason = re.sub("'.*'", "'…'", reason)
        error.add_note(f"{type(exc).__name__}: {reason.removesuffix('.')}.")
        names = [name for name in _PROXIES if os.environ.get(name) or os.environ.get(name.lower())]
        names += [f"{name}={os.environ[name]}" for name in _CERTIFICATES if os.environ.get(name)]
        if names:
            error.add_note(f"The environment has {', '.join(names)}.")
        raise error from exc


def has_never_connected(exc: BaseException) -> bool:
    """Whether no connection could be made: OpenAI surely did not receive the request.

    The client raises the same `APIConnectionError` for a broken answer; only the cause tells them apart.
    """
    return isinstance(exc, NotSentError) or (
        isinstance(exc, openai.APIConnectionError) and isinstance(exc.__cause__, NEVER_CONNECTED)
    )


def is_rate_limit(exc: BaseException) -> bool:
    """Whether the request was rejected before any work, and may succeed a little later."""
    if not isinstance(exc, openai.RateLimitError):
        return False
    upstream = UpstreamError.read(exc.status_code, exc.body, Redaction())
    return not upstream.is_refusal and not upstream.is_out_of_quota


def retry_after(exc: BaseException) -> float | None:
    """Return the seconds in `retry-after-ms` or `Retry-After` (RFC 9110, 10.2.3), an hour at most."""
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


def without_tracebacks(error: GenerationError) -> GenerationError:
    """Return the error without its frames and those of its causes, which hold the received answer.

    They also hold the error, so that only the garbage collector would free them.
    """
    for cause in _chain(error):
        cause.__traceback__ = None
    return error


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        at = parsedate_to_datetime(text)
    return (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()


def _unreachable() -> GenerationError:
    return GeneratorUnavailableError("OpenAI can't be reached.", maybe_billed=False)


def _broken_off() -> GenerationError:
    return GenerationBrokenOffError(
        "The connection to OpenAI broke off before the answer was there.", maybe_billed=True
    )


def _is(*kinds: type[BaseException]) -> Callable[[BaseException], bool]:
    return lambda exc: isinstance(exc, kinds)


_CONNECTION_ERRORS: Final[tuple[tuple[Callable[[BaseException], bool], Callable[[], GenerationError]], ...]] = (
    (has_never_connected, _unreachable),
    (_is(openai.APITimeoutError, httpx2.TimeoutException, TimeoutError), timed_out),
    (_is(openai.APIConnectionError, httpx2.TransportError), _broken_off),
)


def _host(exc: BaseException) -> str | None:
    """Return the host and port of a network error."""
    for error in _chain(exc):
        try:
            url = getattr(error, "request").url  # noqa: B009 -- httpx2 raises RuntimeError where there is none
        except (AttributeError, RuntimeError):
            continue
        return f"{url.host}:{url.port or (443 if url.scheme == 'https' else 80)}"
    return None


def _innermost(exc: BaseException) -> str:
    """Return the root cause of an error: the message of DNS, the other host or TLS."""
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
