"""Streams: the pictures of an order as server-sent events, as soon as they are there."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import ClassVar, Final

import msgspec
from litestar.types import Receive, Scope, Send

from pixyproxy.application.follow_order import OrderPartial
from pixyproxy.domain.errors import ContentStoreError, PixyProxyException
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import StoredContent
from pixyproxy.entrypoints.http.headers import Header
from pixyproxy.entrypoints.http.openai.answer_schemas import CompletedPicture, PartialPicture
from pixyproxy.entrypoints.http.openai.answering import (
    LAST_WORD_SECONDS,
    PAUSE,
    Answered,
    Answering,
    breaking_off,
    first_error,
    is_outcome,
    replay_headers,
    stopped,
)
from pixyproxy.entrypoints.http.openai.body import Body
from pixyproxy.entrypoints.http.problems.openai_errors import OpenAIError
from pixyproxy.entrypoints.http.recipient import ClientLeftError, Recipient, with_pauses

# The last is for nginx, which would collect events.
STREAM_HEADERS: Final[Sequence[Header]] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)
KEEP_ALIVE: Final = b": keep-alive\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamAnswer:
    """Answers with an event for each picture of an order, final or on the way, as an ASGI application.

    Sends a comment after each `pause` seconds without events. An image that has failed is left out, unless all have:
    then the last event is the error of the first. It is also an error if the service stops before the last picture.
    """

    pause: ClassVar[float] = PAUSE

    answering: Answering
    answered: Answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream, and note it if the client got all of it."""
        request_id: str = scope["state"]["request_id"]
        async with Recipient(receive, send, send_timeout=self.answering.send_timeout) as recipient:
            with breaking_off(request_id):
                events = _Events(
                    recipient=recipient, prefix="image_edit" if self.answered.asked.is_edit else "image_generation"
                )
                await recipient.start(HTTPStatus.OK, [*STREAM_HEADERS, *replay_headers(self.answered)])
                await recipient.write(b"")
                errors = await self._sent(events, request_id)
                await recipient.end()
                if is_outcome(errors):
                    await self.answering.confirm(self.answered)

    async def _sent(self, events: "_Events", request_id: str) -> Sequence[Exception]:
        """Send all events, and return the errors of the images that are not among them."""
        errors: list[Exception] = []
        try:
            await self._follow(events, errors)
            if len(errors) == len(self.answered.order.images):
                await events.error(first_error(errors, request_id))
        except ClientLeftError:
            raise
        except asyncio.CancelledError:
            # The time that the service takes to stop is over.
            if not events.is_under_way:
                with suppress(ClientLeftError, TimeoutError):
                    async with asyncio.timeout(LAST_WORD_SECONDS):
                        await events.error(first_error([stopped(self.answered)], request_id))
                        await events.recipient.end()
            raise
        except Exception as exc:  # noqa: BLE001 -- too late for a status
            events.ensure_whole(exc)
            errors.append(exc)
            await events.error(first_error([exc], request_id))
        return errors

    async def _follow(self, events: "_Events", errors: list[Exception]) -> None:
        async with (
            aclosing(self.answering.follow(self.answered)) as news,
            with_pauses(news, events.recipient, self.pause, self.pause) as following,
        ):
            async for each in following:
                match each:
                    case None:
                        await events.recipient.write(KEEP_ALIVE)
                    case OrderPartial():
                        await events.partial(each)
                    case Image():
                        try:
                            await self._completed(events, each)
                        except PixyProxyException as exc:
                            events.ensure_whole(exc)
                            errors.append(exc)

    async def _completed(self, events: "_Events", image: Image) -> None:
        if error := image.generation_error:
            raise error
        await events.completed(image, await self.answering.open(self.answered, image))


@dataclass(slots=True, kw_only=True)
class _Events:
    """Writes events, each with its picture, which is read while it is sent."""

    recipient: Recipient
    prefix: str
    is_under_way: bool = field(default=False, init=False)

    def ensure_whole(self, exc: Exception) -> None:
        """Raise `exc` if it has broken off an event: no other can follow."""
        if self.is_under_way:
            raise exc

    async def partial(self, partial: OrderPartial) -> None:
        """Send a picture on the way, unless it is gone."""
        told = PartialPicture.of(partial.image, partial.position, partial.media_type)
        try:
            await self._picture("partial_image", partial.content, told)
        except ContentStoreError as exc:
            self.ensure_whole(exc)

    async def completed(self, image: Image, content: StoredContent) -> None:
        """Send a final picture; raise `ContentStoreError` if it can't be read."""
        await self._picture("completed", content, CompletedPicture.of(image))

    async def error(self, error: OpenAIError) -> None:
        """Send the event that ends a stream before its last picture."""
        data = msgspec.json.encode({"type": "error", "error": error.body.error})
        await self.recipient.write(b"event: error\ndata: %b\n\n" % data)

    async def _picture(self, kind: str, content: StoredContent, told: PartialPicture | CompletedPicture) -> None:
        name = f"{self.prefix}.{kind}".encode()
        head = b'event: %b\ndata: {"type":"%b","b64_json":"' % (name, name)
        rest = b'",%b\n\n' % msgspec.json.encode(told).removeprefix(b"{")
        async for chunk in Body([head, content, rest]).chunks():
            self.is_under_way = True
            await self.recipient.write(chunk)
        self.is_under_way = False
