"""Variants by libvips."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from pixyproxy.adapters.pictures.formats import is_markup
from pixyproxy.adapters.pictures.read_all import read_all
from pixyproxy.adapters.pictures.vips.drawing import Drawer
from pixyproxy.domain.ports import StoredContent, VariantMaker
from pixyproxy.domain.variant import Variant


class VipsVariantMaker(VariantMaker):
    """Makes variants in threads of its own, `max_workers` at once, and an SVG's in a process besides.

    What the inspector refuses is refused as damaged, and content of more than 64 MiB. Each worker takes one core and,
    for the worst of pictures, 0.8 GB: 8 bytes for each pixel of the original (a PNG with 16 bits and interlaced rows),
    or some 20 for each of the variant. Most pictures are read row by row, and take some 50 MB. An SVG's process may
    take 2 GiB.
    """

    def __init__(self, *, max_workers: int = 2) -> None:
        self._executor = ThreadPoolExecutor(max_workers, thread_name_prefix="variant")
        self._slots = asyncio.Semaphore(max_workers)
        self._drawer = Drawer()

    async def make(self, content: StoredContent, variant: Variant) -> bytes:
        # Whoever waits holds no bytes yet.
        async with self._slots:
            data = await read_all(content)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, self._make, data, variant)

    async def close(self) -> None:
        """Break off what can be broken off; called once at the end."""
        self._drawer.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _make(self, data: bytes, variant: Variant) -> bytes:
        # libvips is loaded when it is needed first, here, where that holds nobody up.
        from pixyproxy.adapters.pictures.vips.picture import convert_bitmap  # noqa: PLC0415

        return self._drawer.draw(data, variant) if is_markup(data) else convert_bitmap(data, variant)
