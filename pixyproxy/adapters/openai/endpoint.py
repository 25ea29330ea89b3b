"""OpenAI's images endpoint; importing this module imports the `openai` package, which takes 0.8 s of CPU."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any, Final

import httpx2
import openai

from pixyproxy.adapters.openai.answer import Answer
from pixyproxy.adapters.openai.errors import (
    NotSentError,
    has_never_connected,
    is_rate_limit,
    retry_after,
    translated_errors,
)
from pixyproxy.adapters.openai.retry_policy import RetryPolicy
from pixyproxy.domain.errors import GenerationError, GenerationFailedError

# A connection that was kept can be closed by the other side just when it is used again, which looks like an answer
# that broke off and must not be retried. Beside the time of a generation a new connection costs nothing.
_LIMITS: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=0)

MAX_ERROR_SIZE: Final = 1 << 20


class _Attempt:
    """What is known of one attempt, however it ends: whether it was surely not sent, and OpenAI's name for it."""

    def __init__(self) -> None:
        self.is_surely_unsent = True
        self.request_id: str | None = None

    async def trace(self, event: str, _info: object) -> None:
        """Take the next of the events that the HTTP client tells."""
        # Whatever it tells but that it connects may be the sending, also under a name that is new.
        self.is_surely_unsent = event.startswith("connection.")


# The client hands nothing through to the hooks of its HTTP client, which all attempts share.
_ATTEMPT: Final[ContextVar[_Attempt]] = ContextVar("attempt")


class ImagesEndpoint:
    """The endpoint that images are bought from, one at a time or several at once.

    Takes the `api_key`, the `base_url` (None: as the client finds it, in `OPENAI_BASE_URL` or built in), the seconds
    that a purchase (`timeout`) and the making of a connection (`connect_timeout`) may take, the most bytes that an
    answer may have, and what to `retry`. Making one takes 40 ms and reads a file.
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
    ) -> None:
        self._timeout = timeout
        self._max_answer_size = max_answer_size
        self._retry = retry
        self._client = openai.AsyncOpenAI(
            api_key=api_key,
            base_url=base_url,
            # The client retries whatever fails, also what was billed.
            max_retries=0,
            # Unpacking a compressed answer would hold up the event loop, and a small one can become very large.
            default_headers={"Accept-Encoding": "identity"},
            http_client=httpx2.AsyncClient(
                timeout=httpx2.Timeout(timeout, connect=connect_timeout),
                limits=_LIMITS,
                # A redirection would hand the prompt to somebody who is not in the settings.
                follow_redirects=False,
                event_hooks={"request": [_watch], "response": [_note_request_id, self._bound]},
            ),
        )

    async def buy(self, parameters: dict[str, Any]) -> Answer:
        """Send the parameters of one generation and return the answer; raise a `GenerationError`.

        Either names the last attempt by OpenAI's id, if an answer to it has begun.
        """
        clock = asyncio.get_running_loop().time
        ends_at = clock() + self._timeout
        attempts = 0
        while True:
            try:
                return await self._buy_once(parameters, ends_at)
            except GenerationError as exc:
                pause = self._pause_before_retry(exc.__cause__ or exc, attempts)
                if pause is None or clock() + pause >= ends_at:
                    raise
            await self._retry.sleep(pause)
            attempts += 1

    async def close(self) -> None:
        """Close the connections; the endpoint can't be used any more."""
        await self._client.close()

    async def _buy_once(self, parameters: dict[str, Any], ends_at: float) -> Answer:
        attempt = _Attempt()
        _ATTEMPT.set(attempt)
        try:
            with translated_errors():
                return Answer(body=await self._send(parameters, attempt, ends_at), request_id=attempt.request_id)
        except GenerationError as exc:
            exc.request_id = attempt.request_id
            raise

    async def _send(self, parameters: dict[str, Any], attempt: _Attempt, ends_at: float) -> bytes:
        try:
            async with asyncio.timeout_at(ends_at):
                # The raw answer: the client's own parsing checks nothing and holds up the event loop.
                answer = await self._client.images.with_raw_response.generate(**parameters)
        except (openai.APIConnectionError, TimeoutError) as exc:
            if attempt.is_surely_unsent:
                raise NotSentError from exc
            raise
        return bytes(answer.content)

    def _pause_before_retry(self, exc: BaseException, attempts: int) -> float | None:
        """Return the pause before another attempt, or None if there must not be one."""
        if has_never_connected(exc):
            return self._retry.pause_before_retry(attempts, asked=None)
        asked = retry_after(exc) if is_rate_limit(exc) else None
        return None if asked is None else self._retry.pause_before_retry(attempts, asked=asked)

    async def _bound(self, answer: httpx2.Response) -> None:
        """Let the client read no more of an answer than an image can take up."""
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise GenerationFailedError("OpenAI's answer is compressed, which was not asked for.", maybe_billed=True)
        if isinstance(answer.stream, httpx2.AsyncByteStream):
            limit = self._max_answer_size if answer.is_success else MAX_ERROR_SIZE
            answer.stream = _BoundedStream(answer.stream, limit)


async def _watch(request: httpx2.Request) -> None:
    """Let the HTTP client tell what it does with the request."""
    attempt = _ATTEMPT.get()
    attempt.is_surely_unsent = False
    request.extensions = {**request.extensions, "trace": attempt.trace}


async def _note_request_id(answer: httpx2.Response) -> None:
    """Keep OpenAI's name for the attempt before anything can happen to the rest of the answer."""
    text = answer.headers.get("x-request-id", "")
    _ATTEMPT.get().request_id = text if re.fullmatch(r"[ -~]{1,255}", text) else None


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, limit: int) -> None:
        self._stream = stream
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > self._limit:
                raise GenerationFailedError(f"OpenAI's answer is larger than {self._limit:,} bytes.", maybe_billed=True)
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
