"""Plain answers: all images of an order in one JSON document."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar, Final, Self

import msgspec
from litestar.types import Receive, Scope, Send

from pixyproxy.domain.errors import PixyProxyException
from pixyproxy.domain.image import Image
from pixyproxy.domain.ports import StoredContent
from pixyproxy.entrypoints.http.headers import Header
from pixyproxy.entrypoints.http.openai.answer_schemas import FailedImage, ImageItem, ImagesAnswer, revised_prompt_of
from pixyproxy.entrypoints.http.openai.answering import (
    LAST_WORD_SECONDS,
    PAUSE,
    Answered,
    Answering,
    breaking_off,
    encoded_headers,
    first_error,
    is_outcome,
    maybe_billed,
    replay_headers,
    stopped,
)
from pixyproxy.entrypoints.http.openai.body import Body
from pixyproxy.entrypoints.http.problems.openai_errors import openai_error
from pixyproxy.entrypoints.http.recipient import ClientLeftError, Recipient, with_pauses

JSON_HEADERS: Final[Sequence[Header]] = ((b"content-type", b"application/json"),)
# nginx would keep the white space, and even the head, until the end.
PADDED_HEADERS: Final[Sequence[Header]] = (*JSON_HEADERS, (b"x-accel-buffering", b"no"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    """A whole answer, the beginning of which has been read; `is_final` if the order has no other."""

    status: int
    headers: Sequence[Header]
    byte_size: int
    first: bytes
    rest: AsyncIterator[bytes]
    is_final: bool

    @classmethod
    async def of(cls, status: int, headers: Sequence[Header], body: Body, *, is_final: bool) -> Self:
        """Return the reply with a body; raise `ContentStoreError` if its beginning can't be read."""
        chunks = body.chunks()
        first = await anext(chunks)
        return cls(
            status=status, headers=headers, byte_size=body.byte_size, first=first, rest=chunks, is_final=is_final
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainAnswer:
    """Answers with the images of an order when all have ended, as an ASGI application.

    The status is that of the outcome, if that is there within `patience` seconds. After that the head of a success is
    sent, and white space every `pause` seconds, so that clients and proxies wait; an error then follows all the same.
    """

    patience: ClassVar[float] = 45.0
    pause: ClassVar[float] = PAUSE

    answering: Answering
    answered: Answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, and note it if the client got all of it."""
        request_id: str = scope["state"]["request_id"]
        async with Recipient(receive, send, send_timeout=self.answering.send_timeout) as recipient:
            with breaking_off(request_id):
                reply, is_begun = await self._awaited(recipient, request_id)
                await _send(recipient, reply, is_begun=is_begun)
                if reply.is_final:
                    await self.answering.confirm(self.answered)

    async def _awaited(self, recipient: Recipient, request_id: str) -> tuple[_Reply, bool]:
        """Return the reply, and whether a head has been sent before it was there."""
        images: list[Image] = []
        is_begun = False
        try:
            async with (
                aclosing(self.answering.follow(self.answered)) as news,
                with_pauses(news, recipient, self.patience, self.pause) as following,
            ):
                async for each in following:
                    if isinstance(each, Image):
                        images.append(each)
                    elif each is None:
                        if not is_begun:
                            await recipient.start(HTTPStatus.OK, [*PADDED_HEADERS, *replay_headers(self.answered)])
                            is_begun = True
                        await recipient.write(b" ")
            return await self._reply(images, request_id), is_begun
        except ClientLeftError:
            raise
        except asyncio.CancelledError:
            if is_begun:
                # The time that the service takes to stop is over; the request log answers what has not begun.
                with suppress(ClientLeftError):
                    async with asyncio.timeout(LAST_WORD_SECONDS):
                        await _send(recipient, await self._failure([stopped(self.answered)], request_id), is_begun=True)
            raise
        except Exception as exc:  # noqa: BLE001 -- no status that a client sends again may follow a purchase
            return await self._failure([exc], request_id), is_begun

    async def _reply(self, images: Sequence[Image], request_id: str) -> _Reply:
        ready: list[Image] = []
        items: list[bytes | StoredContent] = []
        failed: dict[int, Exception] = {}
        for index, image in enumerate(images):
            try:
                item = await self._item(image)
            except PixyProxyException as exc:
                failed[index] = exc
            else:
                items.extend([*([b","] if ready else []), *item])
                ready.append(image)
        errors = list(failed.values())
        if not ready:
            return await self._failure(errors, request_id)
        described = [
            FailedImage(
                index=index,
                guid=images[index].guid,
                code=openai_error(exc, request_id, is_ordered=True).body.error.code,
                maybe_billed=maybe_billed(exc),
            )
            for index, exc in failed.items()
        ]
        answer = ImagesAnswer.of(ready, described, self.answered.asked.model)
        # The list of images comes last: the pictures are put into it on their way.
        head = msgspec.json.encode(answer).removesuffix(b"]}")
        return await _Reply.of(
            HTTPStatus.OK,
            [*JSON_HEADERS, *replay_headers(self.answered)],
            Body([head, *items, b"]}"]),
            is_final=is_outcome(errors),
        )

    async def _item(self, image: Image) -> Sequence[bytes | StoredContent]:
        """Return an image of the list; raise the error for which it is not there."""
        if error := image.generation_error:
            raise error
        revised_prompt = revised_prompt_of(image)
        if self.answered.asked.answers_url:
            url = await self.answering.url_of(self.answered, image)
            return [msgspec.json.encode(ImageItem(guid=image.guid, revised_prompt=revised_prompt, url=url))]
        content = await self.answering.open(self.answered, image)
        item = msgspec.json.encode(ImageItem(guid=image.guid, revised_prompt=revised_prompt, b64_json=""))
        return [item.removesuffix(b'"}'), content, b'"}']

    async def _failure(self, errors: Sequence[Exception], request_id: str) -> _Reply:
        error = first_error(errors, request_id)
        return await _Reply.of(
            error.status,
            [*JSON_HEADERS, *encoded_headers(error.headers), *replay_headers(self.answered)],
            Body([msgspec.json.encode(error.body)]),
            is_final=is_outcome(errors),
        )


async def _send(recipient: Recipient, reply: _Reply, *, is_begun: bool) -> None:
    if not is_begun:
        length = (b"content-length", str(reply.byte_size).encode())
        await recipient.start(reply.status, [*reply.headers, length])
    await recipient.write(reply.first)
    async for chunk in reply.rest:
        await recipient.write(chunk)
    await recipient.end()
