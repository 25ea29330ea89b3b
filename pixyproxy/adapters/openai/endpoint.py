"""OpenAI's images endpoint; importing this module imports the `openai` package, which takes 0.8 s of CPU."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx2
import openai

from pixyproxy.adapters.openai.errors import has_never_connected, is_rate_limit, retry_after, translated_errors
from pixyproxy.adapters.openai.retry_policy import RetryPolicy
from pixyproxy.domain.errors import GenerationFailedError

# A connection that was kept can be closed by the other side just when it is used again, which looks like an answer
# that broke off and must not be retried. Beside the time of a generation a new connection costs nothing.
_LIMITS: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=0)

MAX_ERROR_SIZE: Final = 1 << 20


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
                event_hooks={"response": [self._bound]},
            ),
        )

    async def buy(self, parameters: dict[str, Any]) -> bytes:
        """Send the parameters of one generation and return the answer's body; raise a `GenerationError`."""
        clock = asyncio.get_running_loop().time
        ends_at = clock() + self._timeout
        with translated_errors():
            async with asyncio.timeout_at(ends_at):
                attempt = 0
                while True:
                    try:
                        return await self._buy_once(parameters)
                    except openai.OpenAIError as exc:
                        pause = self._pause_before_retry(exc, attempt)
                        if pause is None or clock() + pause >= ends_at:
                            raise
                    await self._retry.sleep(pause)
                    attempt += 1

    async def close(self) -> None:
        """Close the connections; the endpoint can't be used any more."""
        await self._client.close()

    async def _buy_once(self, parameters: dict[str, Any]) -> bytes:
        # The raw answer: the client's own parsing checks nothing and holds up the event loop.
        answer = await self._client.images.with_raw_response.generate(**parameters)
        return bytes(answer.content)

    def _pause_before_retry(self, exc: openai.OpenAIError, attempt: int) -> float | None:
        """Return the pause before another attempt, or None if there must not be one."""
        if has_never_connected(exc):
            return self._retry.pause_before_retry(attempt, asked=None)
        asked = retry_after(exc) if is_rate_limit(exc) else None
        return None if asked is None else self._retry.pause_before_retry(attempt, asked=asked)

    async def _bound(self, answer: httpx2.Response) -> None:
        """Let the client read no more of an answer than an image can take up."""
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise GenerationFailedError("OpenAI's answer is compressed, which was not asked for.", maybe_billed=True)
        if isinstance(answer.stream, httpx2.AsyncByteStream):
            limit = self._max_answer_size if answer.is_success else MAX_ERROR_SIZE
            answer.stream = _BoundedStream(answer.stream, limit)


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
