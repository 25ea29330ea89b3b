"""OpenAI's images endpoint; importing this module imports `openai`, which takes 0.8 s of CPU."""

import asyncio
import re
from collections.abc import Collection
from contextlib import aclosing, suppress
from contextvars import ContextVar
from typing import Any, Final, cast

import httpx2
import openai

from pixyproxy.adapters.openai.answer import Answer
from pixyproxy.adapters.openai.compression import inflated
from pixyproxy.adapters.openai.edit_body import EditBody
from pixyproxy.adapters.openai.errors import (
    NotSentError,
    has_never_connected,
    is_rate_limit,
    retry_after,
    translated_errors,
    without_tracebacks,
)
from pixyproxy.adapters.openai.events import EventSplitter
from pixyproxy.adapters.openai.picture_download import PictureDownload
from pixyproxy.adapters.openai.purchase import OnEvent, Purchase
from pixyproxy.adapters.openai.redaction import Redaction
from pixyproxy.adapters.openai.retry_policy import OnRateLimit, RetryPolicy, ignore_rate_limit
from pixyproxy.domain.errors import GenerationError, GenerationFailedError, GenerationFaultError, PixyProxyException

# The server can close a kept connection just as it is used again, which looks like a broken answer that must not be
# retried. Beside a generation, a new connection costs nothing.
_LIMITS: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=0)

# The client reads errors on the event loop.
MAX_ERROR_SIZE: Final = 1 << 16


_PURCHASE: Final = "POST"
# Linked pictures exist already.
_DOWNLOAD_TIMEOUT: Final = 60.0


class _Attempt:
    """The outcome of one attempt so far: whether it was surely not sent, and the answer.

    Takes the `edit`'s body, if it is one.
    """

    def __init__(self, edit: EditBody | None = None) -> None:
        self.edit = edit
        self.may_be_sending = False
        self.request_id: str | None = None
        self.content_encoding = ""
        self.received = bytearray()
        self.has_begun = False

    @property
    def is_surely_unsent(self) -> bool:
        """Whether OpenAI surely does not have the whole request."""
        return not self.may_be_sending or (self.edit is not None and not self.edit.is_sent)

    async def trace(self, event: str, _info: object) -> None:
        """Record the next event of the HTTP client."""
        # Any event except connecting may be the sending, also one of an unknown name.
        self.may_be_sending = not event.startswith("connection.")


# The client passes nothing to the hooks of its HTTP client, which all attempts share.
_ATTEMPT: Final[ContextVar[_Attempt]] = ContextVar("attempt")


class ImagesEndpoint:
    """The endpoint that images are bought from; safe for concurrent use.

    Takes the `api_key`, the `base_url` (None: `OPENAI_BASE_URL` or the client's default), the seconds that a purchase
    (`timeout`) and a connection (`connect_timeout`) may take, the most bytes of an answer, the `retry` policy, the
    `answer_origins` of linked pictures, and `on_rate_limit`, whose failures count for nothing. The constructor takes 40
    ms and reads a file.
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
        on_rate_limit: OnRateLimit = ignore_rate_limit,
    ) -> None:
        self._api_key = api_key
        self._timeout = timeout
        self._max_answer_size = max_answer_size
        self._retry = retry
        self._on_rate_limit = on_rate_limit
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

    async def buy(self, purchase: Purchase) -> Answer:
        """Send the request and return the answer without the events up to the last one; raise a `GenerationError`.

        Either has OpenAI's request id of the last attempt, if its answer began.
        """
        clock = asyncio.get_running_loop().time
        ends_at = clock() + self._timeout
        attempts = 0
        while True:
            try:
                return await self._buy_once(purchase, ends_at)
            except GenerationError as exc:
                cause = exc.__cause__ or exc
                asked = retry_after(cause) if is_rate_limit(cause) else None
                if asked is not None:
                    with suppress(PixyProxyException):
                        await self._on_rate_limit(asked)
                pause = self._pause_before_retry(cause, asked, attempts)
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

    async def _buy_once(self, purchase: Purchase, ends_at: float) -> Answer:
        attempt = _Attempt(EditBody(purchase.parameters, purchase.pictures) if purchase.pictures.references else None)
        token = _ATTEMPT.set(attempt)
        broken: GenerationError | None = None
        redact = Redaction(api_key=self._api_key, prompt=purchase.parameters["prompt"])
        try:
            with translated_errors(redact, purchase.given):
                await self._send(purchase, attempt, ends_at)
        except GenerationError as exc:
            exc.request_id = attempt.request_id
            if not attempt.has_begun:
                raise
            # What was received may hold the whole picture.
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

    async def _send(self, purchase: Purchase, attempt: _Attempt, ends_at: float) -> None:
        try:
            async with asyncio.timeout_at(ends_at):
                async with aclosing(await self._answer(purchase, attempt.edit)) as answer:
                    await self._receive(answer, attempt, purchase.on_event)
        except (openai.APIConnectionError, TimeoutError) as exc:
            if attempt.is_surely_unsent:
                raise NotSentError from exc
            raise

    async def _answer(self, purchase: Purchase, edit: EditBody | None) -> httpx2.Response:
        """Send the request and return the raw answer when it begins.

        The client's `images.generate` parses answers on the event loop and checks nothing; its `images.edit` takes only
        files that are in memory, or that it reads on the event loop.
        """
        answer = await self._client.post(
            "/images/generations" if edit is None else "/images/edits",
            cast_to=httpx2.Response,
            body=purchase.parameters if edit is None else None,
            content=edit,
            options={} if edit is None else {"headers": {"Content-Length": str(edit.content_length)}},
            stream=True,
            stream_cls=openai.AsyncStream[Any],
        )
        return cast("httpx2.Response", answer)

    async def _receive(self, answer: httpx2.Response, attempt: _Attempt, on_event: OnEvent | None) -> None:
        events = EventSplitter(attempt.received)
        async for piece in answer.aiter_raw():
            room = self._max_answer_size - len(attempt.received)
            attempt.received += piece[:room]
            attempt.has_begun = True
            while on_event is not None and (event := events.next()) is not None:
                if await on_event(event):
                    return
            if len(piece) >= room:
                raise GenerationFailedError(
                    f"OpenAI's answer is larger than {self._max_answer_size:,} bytes.", maybe_billed=True
                )

    def _pause_before_retry(self, exc: BaseException, asked: float | None, attempts: int) -> float | None:
        """Return the pause before another attempt, or None if there must not be one."""
        if has_never_connected(exc):
            return self._retry.pause_before_retry(attempts, asked=None)
        return None if asked is None else self._retry.pause_before_retry(attempts, asked=asked)


async def _watch(request: httpx2.Request) -> None:
    """Trace the request in the HTTP client, and set the type of its body, if it is one for an image."""
    if request.method != _PURCHASE:
        return
    attempt = _ATTEMPT.get()
    attempt.may_be_sending = True
    if attempt.edit is not None:
        # The client takes a ready form for a file unless its type is set here.
        request.headers["Content-Type"] = attempt.edit.content_type
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
