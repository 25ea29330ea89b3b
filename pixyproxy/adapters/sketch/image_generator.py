"""Sketches, drawn without a network, a key or a model, for trials and tests of whole systems."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from pixyproxy.adapters.sketch import encoding
from pixyproxy.adapters.sketch.drawing import LOW, draw
from pixyproxy.domain.capabilities import Capabilities, ModelCapabilities, SizeRange
from pixyproxy.domain.generation_request import TRANSPARENT, GenerationRequest
from pixyproxy.domain.generation_result import GenerationResult
from pixyproxy.domain.ports import (
    NO_PICTURES,
    GeneratedImage,
    ImageGenerator,
    InputPictures,
    OnPartial,
    ignore_partial,
)

MODEL: Final = "sketch"
MAX_PIXELS: Final = 4_000_000

AUTO: Final = "auto"
MEDIUM: Final = "medium"
OPAQUE: Final = "opaque"

_CAPABILITIES: Final = Capabilities.of(
    ModelCapabilities(
        id=MODEL,
        sizes=(AUTO,),
        size_range=SizeRange(max_pixels=MAX_PIXELS),
        qualities=(AUTO, LOW, MEDIUM, "high"),
        output_formats=tuple(encoding.FORMATS),
        backgrounds=(AUTO, TRANSPARENT, OPAQUE),
        has_compression=True,
    )
)


class SketchImageGenerator(ImageGenerator):
    """Draws sketches that depend only on the request: a 1024x1024 PNG unless it asks for something else.

    Words of the prompt choose the colours (`red`, `sunset`, `ocean`, …) and the scene (`mountains`, `forest`, …); its
    SHA-256 decides the rest. Quality `low` leaves out the grain of the paper; all others are the same. With a
    transparent background, the scene is cut out like a sticker.

    Draws `concurrency` sketches at once and queues others: one takes about 0.3 s of CPU and 25 MB for a million pixels.
    """

    def __init__(self, *, concurrency: int = 2) -> None:
        self._painters = ThreadPoolExecutor(concurrency, thread_name_prefix="sketch-painter")

    def capabilities(self) -> Capabilities:
        """Return what sketches take: any size up to 4 million pixels, in PNG, JPEG and WebP."""
        return _CAPABILITIES

    async def generate(
        self,
        request: GenerationRequest,
        *,
        pictures: InputPictures = NO_PICTURES,  # noqa: ARG002 -- the port's
        on_partial: OnPartial = ignore_partial,  # noqa: ARG002 -- the port's
    ) -> GeneratedImage:
        """Draw the request's sketch in a worker thread."""
        loop = asyncio.get_running_loop()
        picture = await loop.run_in_executor(self._painters, draw, request)
        output_format = request.output_format or encoding.DEFAULT_FORMAT
        data = await loop.run_in_executor(
            self._painters, encoding.encoded, picture, output_format, request.output_compression
        )
        return GeneratedImage(
            data=data,
            media_type=encoding.FORMATS[output_format],
            width=picture.width,
            height=picture.height,
            result=GenerationResult(
                model=MODEL,
                size=f"{picture.width}x{picture.height}",
                quality=MEDIUM if request.quality in {None, AUTO} else request.quality,
                background=TRANSPARENT if picture.mode == "RGBA" else OPAQUE,
                output_format=output_format,
            ),
        )

    async def close(self) -> None:
        """Stop the threads, each after its current sketch; the generator can't be used any more."""
        self._painters.shutdown(wait=False, cancel_futures=True)
