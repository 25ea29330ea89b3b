"""Image generators."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

import msgspec

from pixyproxy.domain.content import MediaType
from pixyproxy.domain.generation_request import GenerationRequest


class GeneratedImage(msgspec.Struct, frozen=True, kw_only=True):
    """A picture as a generator made it: a bitmap that can be drawn, or a well-formed SVG.

    `width` and `height` are its size in pixels as it is shown; that of an SVG is only the one it is meant for.
    `usage` is the generator's own account of what it spent, as JSON values, and `request_id` its name for the attempt.
    """

    data: bytes
    media_type: MediaType
    width: int
    height: int
    usage: Mapping[str, Any] | None = None
    request_id: str | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the content in pieces of at most 1 MiB."""
        for start in range(0, len(self.data), 1 << 20):
            yield self.data[start : start + (1 << 20)]


class ImageGenerator(Protocol):
    """Draws what a request asks for."""

    @property
    @abstractmethod
    def model(self) -> str:
        """The name of the model that draws, at most 255 characters."""

    @abstractmethod
    async def generate(self, request: GenerationRequest) -> GeneratedImage:
        """Draw one image, without holding up the event loop; raise a `GenerationError` when none comes out."""

    async def open(self) -> None:
        """Get ready to draw; called once, before a service begins.

        Raises `GeneratorSetupError` when nothing can ever be drawn with these settings.
        """
        return

    async def close(self) -> None:
        """Let go of connections and threads; called once at the end."""
        return
