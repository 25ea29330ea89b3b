"""Sketches, drawn without a network, a key or a model, for trials and tests of whole systems."""

import asyncio
import hashlib
import random
from concurrent.futures import ThreadPoolExecutor

from pixyproxy.adapters.sketch import canvas
from pixyproxy.adapters.sketch.palette import choose_palette
from pixyproxy.adapters.sketch.scenes import choose_scene
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


class SketchImageGenerator(ImageGenerator):
    """Draws a 1024x1024 PNG that depends only on the prompt.

    Words of the prompt choose the colours (`red`, `sunset`, `ocean`, …) and the scene (`mountains`, `forest`, …); its
    SHA-256 decides the rest. Draws `concurrency` sketches at once and queues others: one takes about 0.3 s of CPU and
    25 MB.
    """

    def __init__(self, *, concurrency: int = 2) -> None:
        self._painters = ThreadPoolExecutor(concurrency, thread_name_prefix="sketch-painter")

    def capabilities(self) -> Capabilities:
        """Return what sketches take: a prompt."""
        return Capabilities.of(ModelCapabilities(id="sketch"))

    async def generate(
        self,
        request: GenerationRequest,
        *,
        pictures: InputPictures = NO_PICTURES,  # noqa: ARG002 -- the port's
        on_partial: OnPartial = ignore_partial,  # noqa: ARG002 -- the port's
    ) -> GeneratedImage:
        """Draw the prompt's sketch in a worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self._painters, draw, request.prompt)

    async def close(self) -> None:
        """Stop the threads, each after its current sketch; the generator can't be used any more."""
        self._painters.shutdown(wait=False, cancel_futures=True)


def draw(prompt: str) -> GeneratedImage:
    """Return the sketch of a prompt, the same at any time on any machine."""
    rng = random.Random(hashlib.sha256(prompt.encode()).digest())  # noqa: S311 -- it has to be predictable
    palette = choose_palette(prompt, rng)
    scene = choose_scene(prompt, rng)
    picture = canvas.grained(scene(palette, rng), rng)
    return GeneratedImage(data=canvas.encoded(picture), media_type=MediaType.PNG, width=canvas.EDGE, height=canvas.EDGE)
