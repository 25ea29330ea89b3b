"""What tests of answers below `/v1` share."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import msgspec
import pytest
from httpx import BasicAuth, Response

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_generator import PICTURE, InMemoryImageGenerator
from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.errors import ContentStoreError
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.generation_result import GenerationResult
from pixyproxy.domain.ports import GeneratedImage, StoredContent
from pixyproxy.entrypoints.http.recipient import Recipient
from tests.unit.entrypoints.http.conftest import ANN
from tests.unit.entrypoints.http.serving import SOON, Served

GENERATIONS: Final = "/v1/images/generations"
B64: Final = b64encode(PICTURE).decode()
FOX: Final = {"prompt": "a red fox"}

USAGE: Final = {
    "total_tokens": 281,
    "input_tokens": 9,
    "output_tokens": 272,
    "input_tokens_details": {"text_tokens": 9, "image_tokens": 0},
}


async def generate(served: Served, body: Mapping[str, Any] = FOX, **headers: str) -> Response:
    """Ask for images as Ann; `x_stainless_retry_count="1"` is the header of that name."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await served.client.post(GENERATIONS, json=body, auth=BasicAuth(*ANN), headers=named)


def guids(response: Response) -> list[str]:
    """Return the guids of an answer's images."""
    return [item["guid"] for item in response.json()["data"]]


class Sent:
    """The parts that answers have sent of their bodies, from when it is made on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.parts: list[bytes] = []
        self._news = asyncio.Event()
        write = Recipient.write

        async def noted(recipient: Recipient, data: bytes) -> None:
            await write(recipient, data)
            self.parts.append(data)
            self._news.set()

        monkeypatch.setattr(Recipient, "write", noted)

    async def reach(self, count: int, part: bytes) -> None:
        """Return when as many parts have this in them."""
        async with asyncio.timeout(SOON):
            while sum(part in each for each in self.parts) < count:
                self._news.clear()
                await self._news.wait()


class TellingGenerator(InMemoryImageGenerator):
    """Says what it has drawn, and what the next pictures have cost, one after the other."""

    def __init__(self, *usages: Any, **result: Any) -> None:
        super().__init__()
        self._usages = list(usages)
        self._result = GenerationResult(**result)

    async def generate(self, request: GenerationRequest, **options: Any) -> GeneratedImage:
        drawn = await super().generate(request, **options)
        usage = self._usages.pop(0) if self._usages else None
        return msgspec.structs.replace(drawn, usage=usage, result=self._result)


class BreakingContentStore(InMemoryContentStore):
    """Breaks each content off after `whole` bytes, once it `is_breaking`."""

    def __init__(self, whole: int) -> None:
        super().__init__()
        self.is_breaking = True
        self._whole = whole

    async def open(self, key: ContentKey, *, start: int = 0, end: int | None = None) -> StoredContent:
        content = await super().open(key, start=start, end=end)
        if not self.is_breaking:
            return content
        return msgspec.structs.replace(content, chunks=self._broken(content))

    async def _broken(self, content: StoredContent) -> AsyncIterator[bytes]:
        async for chunk in content.chunks:
            if self._whole:
                yield chunk[: self._whole]
            raise ContentStoreError("The disk does not answer.")
