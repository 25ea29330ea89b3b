"""The client that an answer is for."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

from litestar.types import Receive, Send

from pixyproxy.entrypoints.http.headers import Header

T = TypeVar("T")


class ClientLeftError(Exception):
    """The client has left before it had the whole answer."""


class ClientStalledError(ClientLeftError):
    """The client reads nothing."""


class Recipient:
    """Hands one answer over to its client, and notices when the client leaves; a context manager.

    The methods raise `ClientLeftError` for a client that has left, and `ClientStalledError` for one that reads nothing
    for `send_timeout` seconds; None waits for it.
    """

    def __init__(self, receive: Receive, send: Send, *, send_timeout: float | None) -> None:
        self._receive = receive
        self._send = send
        self._send_timeout = send_timeout

    async def __aenter__(self) -> Self:
        self._leaving = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leaving.cancel()
        await asyncio.gather(self._leaving, return_exceptions=True)

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def start(self, status: int, headers: Sequence[Header]) -> None:
        """Send the head, which servers keep back until the first part of the body."""
        await self._hand_over({"type": "http.response.start", "status": int(status), "headers": headers})

    async def write(self, data: bytes) -> None:
        """Send a part of the body; an empty one sends the head alone."""
        await self._hand_over({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """End the answer; the client was still there when all of it had been handed over."""
        # Let the watch see what has happened.
        await asyncio.sleep(0)
        self._ensure_there()
        # The server reports a client as gone once the answer has ended, so this is the last look.
        await self._hand_over({"type": "http.response.body", "body": b"", "more_body": False}, is_last=True)

    async def _hand_over(self, message: Any, *, is_last: bool = False) -> None:
        try:
            async with asyncio.timeout(self._send_timeout):
                await self._send(message)
        except TimeoutError as exc:
            raise ClientStalledError from exc
        if not is_last:
            self._ensure_there()

    def _ensure_there(self) -> None:
        if self._leaving.done():
            raise ClientLeftError

    async def wait(self, task: "asyncio.Future[Any]", seconds: float) -> bool:
        """Wait at most `seconds` for the task, and return whether it has ended."""
        await asyncio.wait([task, self._leaving], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        self._ensure_there()
        return task.done()


@asynccontextmanager
async def with_pauses(
    found: AsyncIterator[T], recipient: Recipient, first: float, every: float
) -> AsyncIterator[AsyncIterator[T | None]]:
    """Give an iterator over `found` that yields None after `first` seconds without anything, and then after `every`.

    Each raises `ClientLeftError` as soon as the client has left.
    """
    upcoming = asyncio.ensure_future(anext(found, _END))

    async def iterate() -> AsyncIterator[T | None]:
        nonlocal upcoming
        seconds = first
        while True:
            if not await recipient.wait(upcoming, seconds):
                seconds = every
                yield None
                continue
            each: Any = upcoming.result()
            if each is _END:
                return
            yield each
            upcoming = asyncio.ensure_future(anext(found, _END))

    try:
        yield iterate()
    finally:
        upcoming.cancel()
        await asyncio.gather(upcoming, return_exceptions=True)


_END: Any = object()
