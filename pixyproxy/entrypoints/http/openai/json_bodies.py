"""JSON bodies below `/v1`, which may hold pictures as data URLs."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from pixyproxy.domain.errors import BadRequestError, OverloadedError
from pixyproxy.entrypoints.http.auth.authentication import APIRequest
from pixyproxy.entrypoints.http.body_chunks import body_chunks, declared_size, too_slow
from pixyproxy.entrypoints.http.json_request import ensure_media_type, read_json
from pixyproxy.entrypoints.settings import Settings

JSON_MEDIA_TYPE: Final = "application/json"

_SMALL: Final = 1 << 20
_AT_ONCE: Final = 2
# Each value but the first of an array or object, and each text, has one. Millions of small values would take minutes to
# decode, hold all other requests up, and need fifty times the memory of the body; a picture has a few.
_MARKS: Final = (b",", b'"')
_MAX_MARKS: Final = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class JSONBodies:
    """Reads JSON objects of up to `max_size` bytes; of those above 1 MiB, two at a time, and none with many values.

    A body is whole after `seconds`. A large one waits up to `patience` seconds for its turn, before it is read.
    """

    max_size: int
    seconds: float = 300.0
    patience: float = 10.0
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    @classmethod
    def of(cls, settings: Settings) -> "JSONBodies":
        """Return the one of these settings."""
        return cls(max_size=settings.max_json)

    @asynccontextmanager
    async def read(
        self, request: APIRequest, media_types: Sequence[str] = (JSON_MEDIA_TYPE,)
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Read the object in the body of a request; its turn lasts until the context ends.

        Raises `HTTPException` for another media type than `media_types`, and for a body that is too large or takes too
        long, `BadRequestError` for one that is no JSON object or has too many values, and `OverloadedError` if its turn
        does not come.
        """
        ensure_media_type(request, media_types)
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self.seconds):
                    body = await self._body(request, stack)
            except TimeoutError:
                raise too_slow(self.seconds) from None
            if not body:
                raise BadRequestError("The body is empty; it must be a JSON object.")
            if len(body) > _SMALL:
                await asyncio.to_thread(_ensure_few_values, body)
            decoded = await read_json(body)
            del body
            if not isinstance(decoded, dict):
                raise BadRequestError("The body must be a JSON object.")
            yield decoded

    async def _body(self, request: APIRequest, stack: AsyncExitStack) -> bytearray:
        body = bytearray()
        has_turn = False
        if _SMALL < (declared_size(request) or 0) <= self.max_size:
            await self._take_turn(stack)
            has_turn = True
        async for chunk in body_chunks(request, self.max_size):
            if len(body) + len(chunk) > _SMALL and not has_turn:
                await self._take_turn(stack)
                has_turn = True
            body += chunk
        return body

    async def _take_turn(self, stack: AsyncExitStack) -> None:
        try:
            async with asyncio.timeout(self.patience):
                await self.turns.acquire()
        except TimeoutError:
            raise OverloadedError(
                f"{_AT_ONCE} other requests with bodies above {_SMALL:,} bytes are being read. Try again.",
                retry_after=self.patience,
            ) from None
        stack.callback(self.turns.release)


def _ensure_few_values(body: bytearray) -> None:
    """Raise `BadRequestError` for a body that holds more commas or quotation marks than a large one may."""
    counts = dict.fromkeys(_MARKS, 0)
    # In pieces: counting holds other threads up.
    for start in range(0, len(body), _SMALL):
        for mark in _MARKS:
            counts[mark] += body.count(mark, start, start + _SMALL)
            if counts[mark] > _MAX_MARKS:
                raise BadRequestError(
                    f"The body is above {_SMALL:,} bytes and has more than {_MAX_MARKS:,} commas or quotation marks."
                )
