"""Variant maker on Pillow, for tests and for hosts with small pictures only."""

import asyncio
import io
from collections import deque

from PIL import Image, ImageOps

from pixyproxy.adapters.pictures.decoding import drawn
from pixyproxy.adapters.pictures.formats import first_frame
from pixyproxy.adapters.pictures.picture import UnreadablePictureError
from pixyproxy.adapters.pictures.read_all import read_all
from pixyproxy.domain.errors import DamagedContentError
from pixyproxy.domain.ports import StoredContent, VariantMaker
from pixyproxy.domain.variant import Variant, VariantFormat

MAX_PIXELS = 1_000_000


class PillowVariantMaker(VariantMaker):
    """Makes variants of bitmaps of at most a million pixels, or raises an error that it was told to raise.

    `made` records all requested variants in their order, failed ones included.
    """

    def __init__(self) -> None:
        self.made: list[Variant] = []
        self._failures: deque[Exception] = deque()

    def fail_next(self, *errors: Exception) -> None:
        """Raise these errors from the next calls of `make`, one each."""
        self._failures.extend(errors)

    async def make(self, content: StoredContent, variant: Variant) -> bytes:
        """Return the variant, or raise the next of the errors that `fail_next` was given."""
        data = await read_all(content)
        self.made.append(variant)
        if self._failures:
            raise self._failures.popleft()
        return await asyncio.to_thread(_convert, data, variant)


def _convert(data: bytes, variant: Variant) -> bytes:
    try:
        frame = first_frame(data)
        if frame.width * frame.height > MAX_PIXELS:
            raise DamagedContentError(f"The picture has more than {MAX_PIXELS:,} pixels.")
        picture = drawn(frame)
    except UnreadablePictureError as exc:
        raise DamagedContentError(str(exc)) from exc
    picture = ImageOps.fit(picture, variant.size_of(*picture.size))
    if variant.format is VariantFormat.JPEG and picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    picture.info.clear()
    target = io.BytesIO()
    picture.save(target, variant.format.upper(), quality=variant.quality)
    return target.getvalue()
