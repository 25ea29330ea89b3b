"""Sketches, drawn without a network, a key or a model, for trials and tests of whole systems."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar, TypeVarTuple

from PIL import Image

from pixyproxy.adapters.pictures.read_all import read_all
from pixyproxy.adapters.sketch import encoding
from pixyproxy.adapters.sketch.collage import Kept, compose, places_in
from pixyproxy.adapters.sketch.drawing import LOW, MAX_PIXELS, canvas_for, draw
from pixyproxy.domain.capabilities import Capabilities, ModelCapabilities, SizeRange
from pixyproxy.domain.errors import ContentStoreError, GenerationNotStartedError
from pixyproxy.domain.generation_request import (
    PARTIAL_IMAGES_MAX_COUNT,
    SIZE_AUTO,
    TRANSPARENT,
    TRANSPARENT_FORMATS,
    GenerationRequest,
)
from pixyproxy.domain.generation_result import GenerationResult
from pixyproxy.domain.ports import (
    NO_PICTURES,
    GeneratedImage,
    ImageGenerator,
    InputPicture,
    InputPictures,
    OnPartial,
    PartialImage,
    ignore_partial,
)
from pixyproxy.domain.reference import REFERENCES_MAX_COUNT

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MODEL: Final = "sketch"

AUTO: Final = "auto"
MEDIUM: Final = "medium"
OPAQUE: Final = "opaque"

_CAPABILITIES: Final = Capabilities.of(
    ModelCapabilities(
        id=MODEL,
        sizes=(SIZE_AUTO,),
        size_range=SizeRange(max_pixels=MAX_PIXELS),
        qualities=(AUTO, LOW, MEDIUM, "high"),
        output_formats=tuple(encoding.FORMATS),
        backgrounds=(AUTO, TRANSPARENT, OPAQUE),
        has_compression=True,
        max_references=REFERENCES_MAX_COUNT,
        has_mask=True,
        max_partial_images=PARTIAL_IMAGES_MAX_COUNT,
    )
)

# The first partial image has as much detail as a picture of this size, each following one 2.5 times as much.
_FIRST_DETAIL: Final = 12
_MORE_DETAIL: Final = 2.5


class SketchImageGenerator(ImageGenerator):
    """Draws sketches that depend only on the request: a 1024x1024 PNG unless it asks for something else.

    Words of the prompt choose the colours (`red`, `sunset`, `ocean`, …) and the scene (`mountains`, `forest`, …); its
    SHA-256 decides the rest. Quality `low` leaves out the grain of the paper; all others are the same. With a
    transparent background, the scene is cut out like a sticker. References lie as prints on the sketch; with a mask,
    the first one stays as it is where the mask is opaque. Partial images are blurred; each can be seen for `pause`
    seconds before the generator goes on.

    Draws `concurrency` sketches at once and queues others. A million pixels take about 0.3 s of CPU and 25 MB.
    References are read one after the other; each takes its own size and some 50 MB for that time.
    """

    def __init__(self, *, concurrency: int = 2, pause: float = 0.4) -> None:
        self._painters = ThreadPoolExecutor(concurrency, thread_name_prefix="sketch-painter")
        self._slots = asyncio.Semaphore(concurrency)
        self._pause = pause

    @property
    def is_repeatable(self) -> bool:
        return True

    def capabilities(self) -> Capabilities:
        """Return what sketches take: any size up to 4 million pixels, in PNG, JPEG and WebP, references and a mask."""
        return _CAPABILITIES

    async def generate(
        self,
        request: GenerationRequest,
        *,
        pictures: InputPictures = NO_PICTURES,
        on_partial: OnPartial = ignore_partial,
    ) -> GeneratedImage:
        """Draw the request's sketch in worker threads."""
        output_format = request.output_format or encoding.DEFAULT_FORMAT
        media_type = encoding.FORMATS[output_format]
        # Queued calls hold no pictures.
        async with self._slots:
            picture = await self._drawn(request, pictures)
        if request.background == OPAQUE or output_format not in TRANSPARENT_FORMATS:
            picture = await self._run(encoding.opaque, picture)
        for number in range(request.partial_images):
            blurred = await self._run(encoding.blurred, picture, round(_FIRST_DETAIL * _MORE_DETAIL**number))
            data = await self._run(encoding.encoded, blurred, output_format, request.output_compression)
            await on_partial(PartialImage(data=data, media_type=media_type))
            await asyncio.sleep(self._pause)
        return GeneratedImage(
            data=await self._run(encoding.encoded, picture, output_format, request.output_compression),
            media_type=media_type,
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

    async def _drawn(self, request: GenerationRequest, pictures: InputPictures) -> Image.Image:
        if not pictures.references:
            return await self._run(draw, request, canvas_for(request))
        first = pictures.references[0]
        canvas = canvas_for(request, (first.content.width, first.content.height))
        laid, kept, region = pictures.references, None, (0, 0, *canvas.size)
        if pictures.mask is not None:
            mask = await self._resized(pictures.mask, *canvas.size)
            kept = await self._run(Kept.by, mask, await self._resized(first, *canvas.size))
            laid, region = pictures.references[1:], kept.region
        places = places_in(region, [(picture.content.width, picture.content.height) for picture in laid])
        references = [
            await self._resized(picture, place.width, place.height) for picture, place in zip(laid, places, strict=True)
        ]
        return await self._run(compose, request, canvas, references, places, kept)

    async def _resized(self, picture: InputPicture, width: int, height: int) -> Image.Image:
        """Return the picture as shown, in this size; raise a `GenerationError` if it can't be read."""
        try:
            data = await read_all(await picture.open())
            return await self._run(resized, data, width, height)
        except ContentStoreError as exc:
            reason = f"{picture.filename} could not be read, and nothing was drawn. {exc.detail}"
            raise GenerationNotStartedError(reason, maybe_billed=False) from exc

    async def _run(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._painters, work, *args)


def resized(data: bytes, width: int, height: int) -> Image.Image:
    """Return the picture as shown, in this size, in RGB or RGBA; raise `DamagedContentError`."""
    # Load libvips on first use, in a thread where that blocks nothing else.
    from pixyproxy.adapters.pictures.vips.picture import resize_bitmap  # noqa: PLC0415

    mode, pixels = resize_bitmap(data, width, height)
    return Image.frombytes(mode, (width, height), pixels)
