"""The cost of an SVG that can't be drawn in time, and the wait of other requests.

    python bench/slow_svg.py        # to compare it with another version, have that one's checkout in PYTHONPATH

Three clients ask for different variants of such an SVG, and then once more; another one asks for a variant of a small
PNG a second after them.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from uuid import uuid4

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.pictures.pillow.content_inspector import PillowContentInspector
from pixyproxy.adapters.pictures.vips.variant_maker import VipsVariantMaker
from pixyproxy.application import GetImageVariant
from pixyproxy.domain.content import filename_for
from pixyproxy.domain.errors import ContentStoreError
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageStatus, Visibility
from pixyproxy.domain.ports import StoredContent
from pixyproxy.domain.user import ANONYMOUS
from pixyproxy.domain.variant import Variant, VariantFormat

REQUEST = GenerationRequest(prompt="a red fox")
SLOW = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="4096" height="4096"><filter id="b">'
    b'<feGaussianBlur stdDeviation="50"/></filter>'
    + b'<rect filter="url(#b)" width="4000" height="4000"/>' * 20_000
    + b"</svg>"
)


async def main() -> None:
    """Print how long each of them waited."""
    images, contents, maker = InMemoryImageRepository(), InMemoryContentStore(), VipsVariantMaker(max_workers=3)
    variants = GetImageVariant(images=images, contents=contents, variants=contents, maker=maker)

    async def stored(data: bytes) -> Image:
        async def chunks() -> AsyncIterator[bytes]:
            yield data

        guid, now = uuid4(), datetime.now(UTC)
        content = await PillowContentInspector().inspect(StoredContent(len(data), chunks()))
        image = await images.add(
            Image(
                guid=guid,
                filename=filename_for(REQUEST.prompt, guid, content.media_type),
                request=REQUEST,
                author=None,
                visibility=Visibility.PUBLIC,
                status=ImageStatus.READY,
                model="slow",
                created_at=now,
                updated_at=now,
                content=content,
            )
        )
        await contents.put(image.content_key, chunks())
        return image

    async def wait(image: Image, side: int) -> float:
        start = time.perf_counter()
        with suppress(ContentStoreError):
            await variants(image, Variant(format=VariantFormat.WEBP, width=side), ANONYMOUS)
        return time.perf_counter() - start

    async def later(image: Image) -> float:
        await asyncio.sleep(1)
        return await wait(image, 64)

    slow, small = await stored(SLOW), await stored((await InMemoryImageGenerator().generate(REQUEST)).data)
    *waits, other = await asyncio.gather(*(wait(slow, side) for side in (1_024, 512, 1_024)), later(small))
    print(f"the slow SVG, three at once:  {', '.join(f'{seconds:.1f}' for seconds in waits)} s")
    print(f"a small PNG meanwhile:        {other:.1f} s")
    again = [await wait(slow, side) for side in (1_024, 512, 1_024)]
    print(f"the slow SVG, once more each: {', '.join(f'{seconds:.1f}' for seconds in again)} s")
    await maker.close()


if __name__ == "__main__":
    asyncio.run(main())
