"""A generator that draws nothing, for tests and for applications that embed PixyProxy."""

import struct
import zlib
from collections import deque

from pixyproxy.domain.content import MediaType
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.ports import GeneratedImage, ImageGenerator

WIDTH = 8
HEIGHT = 8


class InMemoryImageGenerator(ImageGenerator):
    """Answers every request at once with the same small PNG, or with an error that it was told to raise.

    `requests` records all requests in their order, failed ones included.
    """

    def __init__(self) -> None:
        self.requests: list[GenerationRequest] = []
        self._failures: deque[Exception] = deque()

    @property
    def model(self) -> str:
        """The name under which these images are recorded."""
        return "in-memory"

    def fail_next(self, *errors: Exception) -> None:
        """Raise these errors from the next calls of `generate`, one each."""
        self._failures.extend(errors)

    async def generate(self, request: GenerationRequest) -> GeneratedImage:
        """Return the picture, or raise the next of the errors that `fail_next` was given."""
        self.requests.append(request)
        if self._failures:
            raise self._failures.popleft()
        return GeneratedImage(data=_PNG, media_type=MediaType.PNG, width=WIDTH, height=HEIGHT)

    async def close(self) -> None:
        """Do nothing: there is nothing to let go of."""


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


# One bit a pixel: eight pixels make a byte, and each row begins with the number of its filter.
_ROWS = b"".join(b"\0" + (b"\xaa" if row % 2 else b"\x55") for row in range(HEIGHT))
_PNG = b"".join(
    [
        b"\x89PNG\r\n\x1a\n",
        _chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 1, 0, 0, 0, 0)),
        _chunk(b"IDAT", zlib.compress(_ROWS)),
        _chunk(b"IEND", b""),
    ]
)
