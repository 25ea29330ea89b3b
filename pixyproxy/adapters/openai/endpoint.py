"""OpenAI's images endpoint; importing this module imports `openai`, which takes 0.8 s of CPU."""

import asyncio
import re
from collections.abc import Collection, Mapping
from contextvars import ContextVar
from typing import Any, Final

import httpx2
import openai

from pixyproxy.adapters.openai.answer import Answer
from pixyproxy.adapters.openai.compression import inflated
from pixyproxy.adapters.openai.errors import (
    NotSentError,
    has_never_connected,
    is_rate_limit,
    retry_after,
    translated_errors,
    without_tracebacks,
)
from pixyproxy.adapters.openai.picture_download import PictureDownload
from pixyproxy.adapters.openai.redaction import Redaction
from pixyproxy.adapters.openai.retry_policy import RetryPolicy
from pixyproxy.adapters.openai.upstream_error import NOTHING_GIVEN
from pixyproxy.domain.errors import GenerationError, GenerationFailedError, GenerationFaultError

# The server can close a kept connection just as it is used again, which looks like a broken answer that must not be
# retried. Beside a generation, a new connection costs nothing.
_LIMITS: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=0)

# The client reads errors on the event loop.
MAX_ERROR_SIZE: Final = 1 << 16


_PURCHASE: Final = "POST"
# Linked pictures exist already.
_DOWNLOAD_TIMEOUT: Final = 60.0


class _Attempt:
    """The outcome of one attempt so far: whether it was surely not sent, and the answer."""

    def __init__(self) -> None:
        self.is_surely_unsent = True
        self.request_id: str | None = None
        self.content_encoding = ""
        self.received = bytearray()

    async def trace(self, event: str, _info: object) -> None:
        """Record the next event of the HTTP client."""
        # Any event except connecting may be the sending, also one of an unknown name.
        self.is_surely_unsent = event.startswith("connection.")


# The client passes nothing to the hooks of its HTTP client, which all attempts share.
_ATTEMPT: Final[ContextVar[_Attempt]] = ContextVar("attempt")


class ImagesEndpoint:
    """The endpoint that images are bought from; safe for concurrent use.

    Takes the `api_key`, the `base_url` (None: `OPENAI_BASE_URL` or the client's default), the seconds that a purchase
    (`timeout`) and a connection (`connect_timeout`) may take, the most bytes of an answer, the `retry` policy, and the
    `answer_origins` of linked pictures. The constructor takes 40 ms and reads a file.
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str | None,
        timeout: float,
        connect_timeout: float,
        max_answer_size: int,
        retry: RetryPolicy,
        answer_origins: Collection[str] = (),
    ) -> None:
        self._api_key = api_key
        self._timeout = timeout
        self._max_answer_size = max_answer_size
        self._retry = retry
        tls = httpx2.create_ssl_context()
        http = httpx2.AsyncClient(
            verify=tls,
            timeout=httpx2.Timeout(timeout, connect=connect_timeout),
            limits=_LIMITS,
            # A redirect would send the prompt to a host that the settings don't name.
            follow_redirects=False,
            event_hooks={"request": [_watch], "response": [_note]},
        )
        self._client = openai.AsyncOpenAI(
            api_key=api_key,
            base_url=base_url,
            # The client retries all failures, also those that were billed.
            max_retries=0,
            default_headers={"Accept-Encoding": "identity"},
            http_client=http,
        )
        self._download = PictureDownload(
            http,
            base_url=self._client.base_url,
            api_key=api_key,
            origins=answer_origins,
            timeout=min(timeout, _DOWNLOAD_TIMEOUT),
            connect_timeout=connect_timeout,
            max_size=max_answer_size,
            tls=tls,
        )

    async def buy(self, parameters: dict[str, Any], given: Mapping[str, str] = NOTHING_GIVEN) -> Answer:
        """Send the parameters of one generation and return the answer; raise a `GenerationError`.

        `given` are the parameters that the client chose, with their fields in the client's request. Either has OpenAI's
        request id of the last attempt, if its answer began.
        """
        clock = asyncio.get_running_loop().time
        ends_at = clock() + self._timeout
        attempts = 0
        while True:
            try:
                return await self._buy_once(parameters, given, ends_at)
            except GenerationError as exc:
                pause = self._pause_before_retry(exc.__cause__ or exc, attempts)
                if pause is None or clock() + pause >= ends_at:
                    raise
            await self._retry.sleep(pause)
            attempts += 1

    async def fetch(self, address: str) -> bytes:
        """Return the content of an address in an answer; raise a `PictureDownloadError`."""
        return await self._download(address)

    async def close(self) -> None:
        """Close the connections; the endpoint can't be used any more."""
        await self._download.close()
        await self._client.close()

    async def _buy_once(self, parameters: dict[str, Any], given: Mapping[str, str], ends_at: float) -> Answer:
        attempt = _Attempt()
        token = _ATTEMPT.set(attempt)
        broken: GenerationError | None = None
        try:
            with translated_errors(Redaction(api_key=self._api_key, prompt=parameters["prompt"]), given):
                await self._send(parameters, attempt, ends_at)
        except GenerationError as exc:
            exc.request_id = attempt.request_id
            if not attempt.received:
                raise
            # The received part may hold the whole picture.
            broken = without_tracebacks(exc)
        except Exception as exc:
            if not attempt.is_surely_unsent:
                raise
            reason = "Something unexpected went wrong before the request was sent."
            raise GenerationFaultError(reason, maybe_billed=False) from exc
        finally:
            # The context lives as long as the task, and the task as long as its error is referenced.
            _ATTEMPT.reset(token)
        return Answer(
            body=attempt.received,
            content_encoding=attempt.content_encoding,
            request_id=attempt.request_id,
            broken=broken,
        )

    async def _send(self, parameters: dict[str, Any], attempt: _Attempt, ends_at: float) -> None:
        try:
            async with asyncio.timeout_at(ends_at):
                # The raw answer: the client's own parsing checks nothing and blocks the event loop.
                async with self._client.images.with_streaming_response.generate(**parameters) as answer:
                    async for piece in answer.http_response.aiter_raw():
                        attempt.received += piece[: self._max_answer_size - len(attempt.received)]
                        if len(attempt.received) == self._max_answer_size:
                            raise GenerationFailedError(
                                f"OpenAI's answer is larger than {self._max_answer_size:,} bytes.", maybe_billed=True
                            )
        except (openai.APIConnectionError, TimeoutError) as exc:
            if attempt.is_surely_unsent:
                raise NotSentError from exc
            raise

    def _pause_before_retry(self, exc: BaseException, attempts: int) -> float | None:
        """Return the pause before another attempt, or None if there must not be one."""
        if has_never_connected(exc):
            return self._retry.pause_before_retry(attempts, asked=None)
        asked = retry_after(exc) if is_rate_limit(exc) else None
        return None if asked is None else self._retry.pause_before_retry(attempts, asked=asked)


async def _watch(request: httpx2.Request) -> None:
    """Trace the request in the HTTP client, if it is one for an image."""
    if request.method != _PURCHASE:
        return
    attempt = _ATTEMPT.get()
    attempt.is_surely_unsent = False
    request.extensions = {**request.extensions, "trace": attempt.trace}


async def _note(answer: httpx2.Response) -> None:
    """Record the headers before the body can fail, and bound the body of an error."""
    if answer.request.method != _PURCHASE:
        return
    attempt = _ATTEMPT.get()
    text = answer.headers.get("x-request-id", "")
    attempt.request_id = text if re.fullmatch(r"[ -~]{1,255}", text) else None
    attempt.content_encoding = answer.headers.pop("content-encoding", "")
    if not answer.is_success and isinstance(answer.stream, httpx2.AsyncByteStream):
        body = await _error_body(answer.stream)
        if attempt.content_encoding:
            body, _ = await asyncio.to_thread(inflated, body, attempt.content_encoding, MAX_ERROR_SIZE)
        answer.stream = httpx2.ByteStream(bytes(body))


async def _error_body(stream: httpx2.AsyncByteStream) -> bytes | bytearray:
    body = bytearray()
    try:
        async for piece in stream:
            body += piece[: MAX_ERROR_SIZE - len(body)]
            if len(body) == MAX_ERROR_SIZE:
                break
    except httpx2.TransportError:
        # The status says more than the failure of its body.
        pass
    finally:
        await stream.aclose()
    return body
