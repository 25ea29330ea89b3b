"""A generator with a fixed picture, for tests and for host applications."""

import asyncio
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from pixyproxy.domain.capabilities import Capabilities, ModelCapabilities
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.ports import (
    NO_PICTURES,
    GeneratedImage,
    ImageGenerator,
    InputPictures,
    OnPartial,
    PartialImage,
    ignore_partial,
)

WIDTH = 8
HEIGHT = 8


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """What the in-memory generator does with one request.

    It waits `delay` seconds before each picture, hands over `partials`, which may be any bytes and any number, and
    raises `error` in place of the final picture, if there is one. Without `partials` it hands over as many pictures as
    the request asks for.
    """

    partials: Sequence[bytes] | None = None
    delay: float = 0.0
    error: Exception | None = None


def any_request(request: GenerationRequest) -> bool:  # noqa: ARG001 -- it is a match for all
    """Return true."""
    return True


class InMemoryImageGenerator(ImageGenerator):
    """Answers each request with the same small PNG, or as `script` or `fail_next` say.

    `requests` records all requests in order, failed ones included, and `pictures` their references.
    """

    def __init__(self) -> None:
        self.requests: list[GenerationRequest] = []
        self.pictures: list[InputPictures] = []
        self._scripts: list[tuple[Callable[[GenerationRequest], bool], Script]] = []

    def capabilities(self) -> Capabilities:
        """Return those of one model that takes anything."""
        return Capabilities.of(ModelCapabilities.unknown("in-memory"))

    def script(self, *scripts: Script, match: Callable[[GenerationRequest], bool] = any_request) -> None:
        """Follow these scripts in the next calls of `generate` whose requests `match`, one each.

        A call takes the first script that is left and matches.
        """
        self._scripts.extend((match, script) for script in scripts)

    def fail_next(self, *errors: Exception) -> None:
        """Raise these errors from the next calls of `generate`, one each."""
        self.script(*(Script(error=error, partials=()) for error in errors))

    async def generate(
        self,
        request: GenerationRequest,
        *,
        pictures: InputPictures = NO_PICTURES,
        on_partial: OnPartial = ignore_partial,
    ) -> GeneratedImage:
        """Return the picture, or do what the next script says."""
        self.requests.append(request)
        self.pictures.append(pictures)
        script = self._take_script(request)
        partials = [PICTURE] * request.partial_images if script.partials is None else script.partials
        for data in partials:
            await _wait(script.delay)
            await on_partial(PartialImage(data=data, media_type=MediaType.PNG))
        await _wait(script.delay)
        if script.error is not None:
            raise script.error
        return GeneratedImage(data=PICTURE, media_type=MediaType.PNG, width=WIDTH, height=HEIGHT)

    async def close(self) -> None:
        """Do nothing."""

    def _take_script(self, request: GenerationRequest) -> Script:
        for number, (match, script) in enumerate(self._scripts):
            if match(request):
                del self._scripts[number]
                return script
        return Script()


async def _wait(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


# One bit per pixel, eight pixels per byte; each row begins with its filter type.
_ROWS: Final = b"".join(b"\0" + (b"\xaa" if row % 2 else b"\x55") for row in range(HEIGHT))

PICTURE: Final = b"".join(
    [
        b"\x89PNG\r\n\x1a\n",
        _chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 1, 0, 0, 0, 0)),
        _chunk(b"IDAT", zlib.compress(_ROWS)),
        _chunk(b"IEND", b""),
    ]
)
"""The PNG that each request is answered with."""
