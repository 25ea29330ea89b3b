"""Image generators."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from pixyproxy.domain.capabilities import Capabilities
from pixyproxy.domain.content import ContentInfo, MediaType
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.generation_result import GenerationResult
from pixyproxy.domain.ports.content_store import StoredContent


class GeneratedImage(msgspec.Struct, frozen=True, kw_only=True):
    """A picture from a generator: a bitmap that can be drawn, or a well-formed SVG.

    `width` and `height` are its size in pixels as it is shown; for an SVG, the intended one. `usage` is what the
    generator says it has spent, as JSON values, `request_id` its name for the attempt, and `result` what it says it has
    drawn.
    """

    data: bytes
    media_type: MediaType
    width: int
    height: int
    usage: Mapping[str, Any] | None = None
    request_id: str | None = None
    result: GenerationResult | None = None


class PartialImage(msgspec.Struct, frozen=True, kw_only=True):
    """A picture on the way to the final one: a bitmap that can be drawn, of at most 64 MiB."""

    data: bytes
    media_type: MediaType


class InputPicture(msgspec.Struct, frozen=True, kw_only=True):
    """A reference or mask on its way to the generator.

    `open` opens its bytes, as often as it is called; it raises `ContentStoreError`. `filename` has the extension of the
    media type.
    """

    filename: str
    content: ContentInfo
    open: Callable[[], Awaitable[StoredContent]]


class InputPictures(msgspec.Struct, frozen=True, kw_only=True):
    """The pictures of a request, in its order."""

    references: Sequence[InputPicture] = ()
    mask: InputPicture | None = None


NO_PICTURES: Final = InputPictures()

OnPartial = Callable[[PartialImage], Awaitable[None]]


async def ignore_partial(partial: PartialImage) -> None:
    """Do nothing with a partial image."""


class ImageGenerator(Protocol):
    """Draws what a request asks for."""

    @abstractmethod
    def capabilities(self) -> Capabilities:
        """Return what the models take; a request with anything else never reaches `generate`."""

    @abstractmethod
    async def generate(
        self,
        request: GenerationRequest,
        *,
        pictures: InputPictures = NO_PICTURES,
        on_partial: OnPartial = ignore_partial,
    ) -> GeneratedImage:
        """Draw one image without blocking the event loop; raise a `GenerationError` when there is none.

        `pictures` are those that the request names. Hands up to `request.partial_images` pictures to `on_partial`, one
        after the other, on the way.
        """

    @property
    def is_repeatable(self) -> bool:
        """Whether a request may be drawn again at no cost, because its process died before the image was kept."""
        return False

    async def open(self) -> None:
        """Get ready to draw; called once before the service starts.

        Raises `GeneratorSetupError` when these settings can never draw anything.
        """
        return

    async def close(self) -> None:
        """Release connections and threads; called once at the end."""
        return
