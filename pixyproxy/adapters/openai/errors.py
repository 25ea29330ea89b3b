"""OpenAI's errors, in the words of the domain.

The codes are those that OpenAI's reference and the types of the `openai` package name; the exceptions and what they
mean for the bill were tried out on the package (version 3.54) and a server that misbehaves.
"""

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx2
import openai

from pixyproxy.domain.errors import (
    GenerationBrokenOffError,
    GenerationError,
    GenerationFailedError,
    GenerationRateLimitedError,
    GenerationRefusedError,
    GenerationTimedOutError,
    GeneratorCredentialsError,
    GeneratorUnavailableError,
)

NEVER_CONNECTED: Final = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
)
REFUSAL_CODES: Final = frozenset({"moderation_blocked", "content_policy_violation"})
QUOTA_CODES: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
PARAMETERS: Final = frozenset({"model", "prompt", "n", "size", "quality", "output_format", "background"})
TIMEOUT_STATUSES: Final = frozenset({408, 504, 524})
GATEWAY_STATUSES: Final = frozenset({502, 520})
OVERLOAD_STATUSES: Final = frozenset({503, 529})


class NotSentError(openai.OpenAIError):
    """The attempt ended before the first byte of the request was sent, so that OpenAI surely knows nothing of it."""


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise what OpenAI's client raises as the `GenerationError` it means."""
    try:
        yield
    except (openai.OpenAIError, TimeoutError) as exc:
        for is_meant, translate in _TABLE:
            if is_meant(exc):
                raise translate(exc) from exc
        raise


def has_never_connected(exc: BaseException) -> bool:
    """Whether no connection could be made, so that OpenAI surely knows nothing of the request.

    The client raises the same `APIConnectionError` for an answer that broke off; only the cause tells them apart.
    """
    return isinstance(exc, NotSentError) or (
        isinstance(exc, openai.APIConnectionError) and isinstance(exc.__cause__, NEVER_CONNECTED)
    )


def is_rate_limit(exc: BaseException) -> bool:
    """Whether the request was turned away before anything was done, and may be welcome a little later."""
    return isinstance(exc, openai.RateLimitError) and not _names(QUOTA_CODES)(exc)


def retry_after(exc: BaseException) -> float | None:
    """Return the seconds that OpenAI asks to wait, from `retry-after-ms` or `Retry-After` (RFC 9110, 10.2.3)."""
    if not isinstance(exc, openai.APIStatusError):
        return None
    headers = exc.response.headers
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        else:
            seconds = _seconds(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        at = parsedate_to_datetime(text)
    return (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()


def _names(codes: frozenset[str]) -> Callable[[BaseException], bool]:
    """Return whether an error has one of these codes, whichever of its two fields OpenAI has put it in."""
    # An endpoint can put anything there, also what has no hash; the client does not check it.
    return lambda exc: (
        isinstance(exc, openai.APIStatusError)
        and any(isinstance(value, str) and value in codes for value in (exc.code, exc.type))
    )


def _has_status(statuses: frozenset[int]) -> Callable[[BaseException], bool]:
    return lambda exc: isinstance(exc, openai.APIStatusError) and exc.status_code in statuses


def _is(*kinds: type[BaseException]) -> Callable[[BaseException], bool]:
    return lambda exc: isinstance(exc, kinds)


def _named(exc: Any) -> str:
    """Return the status of an error, and its code and parameter if they look like OpenAI's own.

    What else an endpoint writes into an error, its message above all, may repeat the prompt or the key.
    """
    words = [f"status {exc.status_code}"]
    if isinstance(exc.code, str) and re.fullmatch(r"[a-z]{1,20}(_[a-z]{1,20}){1,5}", exc.code):
        words.append(f"code {exc.code}")
    if isinstance(exc.param, str) and exc.param in PARAMETERS:
        words.append(f"parameter {exc.param}")
    return ", ".join(words)


def _refused(exc: Any) -> GenerationError:
    details = exc.body.get("moderation_details") if isinstance(exc.body, dict) else None
    details = details if isinstance(details, dict) else {}
    named = details.get("categories")
    categories = [
        category
        for category in (named if isinstance(named, list) else [])
        if isinstance(category, str) and re.fullmatch(r"[a-z][a-z_/-]{1,60}", category)
    ]
    reason = f" ({', '.join(categories[:10])})" if categories else ""
    return GenerationRefusedError(
        f"OpenAI's safety system refuses to draw this prompt{reason}.",
        # Only a prompt that was stopped on its way in has surely cost nothing; the picture may have been drawn.
        maybe_billed=details.get("moderation_stage") != "input",
    )


def _unreachable(_exc: Any) -> GenerationError:
    return GeneratorUnavailableError("OpenAI can't be reached.", maybe_billed=False)


def _timed_out(_exc: Any) -> GenerationError:
    return GenerationTimedOutError("OpenAI did not answer in time.", maybe_billed=True)


def _broken_off(_exc: Any) -> GenerationError:
    return GenerationBrokenOffError(
        "The connection to OpenAI broke off before the answer was there.", maybe_billed=True
    )


def _lost_by_gateway(exc: Any) -> GenerationError:
    # What stands behind the gateway may go on drawing, as it may behind one that has waited for too long.
    return GenerationBrokenOffError(f"A gateway lost OpenAI's answer ({_named(exc)}).", maybe_billed=True)


def _out_of_quota(_exc: Any) -> GenerationError:
    return GeneratorUnavailableError("The OpenAI account has no quota left.", maybe_billed=False)


def _rate_limited(exc: Any) -> GenerationError:
    return GenerationRateLimitedError("OpenAI wants fewer requests.", maybe_billed=False, retry_after=retry_after(exc))


def _bad_credentials(exc: Any) -> GenerationError:
    return GeneratorCredentialsError(f"OpenAI does not accept PixyProxy's API key ({_named(exc)}).", maybe_billed=False)


def _overloaded(exc: Any) -> GenerationError:
    return GeneratorUnavailableError(
        f"OpenAI has no capacity at the moment ({_named(exc)}).", maybe_billed=True, retry_after=retry_after(exc)
    )


def _broken_down(exc: Any) -> GenerationError:
    return GenerationFailedError(f"OpenAI failed to draw the image ({_named(exc)}).", maybe_billed=True)


def _rejected(exc: Any) -> GenerationError:
    return GenerationFailedError(f"OpenAI does not accept the request ({_named(exc)}).", maybe_billed=False)


_TABLE: Final[tuple[tuple[Callable[[BaseException], bool], Callable[[Any], GenerationError]], ...]] = (
    (has_never_connected, _unreachable),
    (_is(openai.APITimeoutError, TimeoutError), _timed_out),
    (_is(openai.APIConnectionError), _broken_off),
    (_names(REFUSAL_CODES), _refused),
    (_names(QUOTA_CODES), _out_of_quota),
    (_is(openai.RateLimitError), _rate_limited),
    (_is(openai.AuthenticationError, openai.PermissionDeniedError), _bad_credentials),
    (_has_status(TIMEOUT_STATUSES), _timed_out),
    (_has_status(GATEWAY_STATUSES), _lost_by_gateway),
    (_has_status(OVERLOAD_STATUSES), _overloaded),
    (_is(openai.InternalServerError), _broken_down),
    (_is(openai.APIStatusError), _rejected),
)
