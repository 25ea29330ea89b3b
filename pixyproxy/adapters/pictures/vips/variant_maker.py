"""Variant maker on libvips."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from pixyproxy.adapters.pictures.formats import is_markup
from pixyproxy.adapters.pictures.read_all import read_all
from pixyproxy.adapters.pictures.vips.drawing import Drawer
from pixyproxy.domain.ports import StoredContent, VariantMaker
from pixyproxy.domain.variant import Variant


class VipsVariantMaker(VariantMaker):
    """Makes variants in `max_workers` threads, and those of SVGs in a child process besides.

    Refuses as damaged what the inspector refuses, and content of more than 64 MiB. Each worker takes one core and, in
    the worst case, 0.8 GB: 8 bytes per pixel of the original (an interlaced PNG with 16 bits), or some 20 per pixel of
    the variant. Most pictures are read row by row and take some 50 MB. An SVG's process may take 2 GiB.
    """

    def __init__(self, *, max_workers: int = 2) -> None:
        self._executor = ThreadPoolExecutor(max_workers, thread_name_prefix="variant")
        self._slots = asyncio.Semaphore(max_workers)
        self._drawer = Drawer()

    async def make(self, content: StoredContent, variant: Variant) -> bytes:
        # Queued calls hold no bytes.
        async with self._slots:
            data = await read_all(content)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, self._make, data, variant)

    async def close(self) -> None:
        """Stop the work as far as possible; called once at the end."""
        self._drawer.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _make(self, data: bytes, variant: Variant) -> bytes:
        # Load libvips on first use, in a thread where that blocks nothing else.
        from pixyproxy.adapters.pictures.vips.picture import convert_bitmap  # noqa: PLC0415

        return self._drawer.draw(data, variant) if is_markup(data) else convert_bitmap(data, variant)
