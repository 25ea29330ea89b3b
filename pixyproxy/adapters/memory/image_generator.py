"""A generator with a fixed picture, for tests and for host applications."""

import struct
import zlib
from collections import deque

from pixyproxy.domain.capabilities import Capabilities, ModelCapabilities
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.ports import (
    NO_PICTURES,
    GeneratedImage,
    ImageGenerator,
    InputPictures,
    OnPartial,
    ignore_partial,
)

WIDTH = 8
HEIGHT = 8


class InMemoryImageGenerator(ImageGenerator):
    """Answers each request with the same small PNG, or with the next error from `fail_next`.

    `requests` records all requests in order, failed ones included.
    """

    def __init__(self) -> None:
        self.requests: list[GenerationRequest] = []
        self._failures: deque[Exception] = deque()

    def capabilities(self) -> Capabilities:
        """Return those of one model that takes anything."""
        return Capabilities.of(ModelCapabilities.unknown("in-memory"))

    def fail_next(self, *errors: Exception) -> None:
        """Raise these errors from the next calls of `generate`, one each."""
        self._failures.extend(errors)

    async def generate(
        self,
        request: GenerationRequest,
        *,
        pictures: InputPictures = NO_PICTURES,  # noqa: ARG002 -- the port's
        on_partial: OnPartial = ignore_partial,  # noqa: ARG002 -- the port's
    ) -> GeneratedImage:
        """Return the picture, or raise the next error from `fail_next`."""
        self.requests.append(request)
        if self._failures:
            raise self._failures.popleft()
        return GeneratedImage(data=_PNG, media_type=MediaType.PNG, width=WIDTH, height=HEIGHT)

    async def close(self) -> None:
        """Do nothing."""


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


# One bit per pixel, eight pixels per byte; each row begins with its filter type.
_ROWS = b"".join(b"\0" + (b"\xaa" if row % 2 else b"\x55") for row in range(HEIGHT))
_PNG = b"".join(
    [
        b"\x89PNG\r\n\x1a\n",
        _chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 1, 0, 0, 0, 0)),
        _chunk(b"IDAT", zlib.compress(_ROWS)),
        _chunk(b"IEND", b""),
    ]
)
