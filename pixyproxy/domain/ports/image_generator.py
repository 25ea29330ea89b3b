"""Image generators."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from pixyproxy.domain.content import MediaType
from pixyproxy.domain.generation_request import GenerationRequest


class GeneratedImage(msgspec.Struct, frozen=True, kw_only=True):
    """A picture from a generator: a bitmap that can be drawn, or a well-formed SVG.

    `width` and `height` are its size in pixels as it is shown; for an SVG, the intended one. `usage` is what the
    generator says it has spent, as JSON values, and `request_id` its name for the attempt.
    """

    data: bytes
    media_type: MediaType
    width: int
    height: int
    usage: Mapping[str, Any] | None = None
    request_id: str | None = None


class ImageGenerator(Protocol):
    """Draws what a request asks for."""

    @property
    @abstractmethod
    def model(self) -> str:
        """The name of the model that draws, at most 255 characters."""

    @abstractmethod
    async def generate(self, request: GenerationRequest) -> GeneratedImage:
        """Draw one image without blocking the event loop; raise a `GenerationError` when there is none."""

    async def open(self) -> None:
        """Get ready to draw; called once before the service starts.

        Raises `GeneratorSetupError` when these settings can never draw anything.
        """
        return

    async def close(self) -> None:
        """Release connections and threads; called once at the end."""
        return
