"""A generator that can be watched on its way."""

import asyncio
from typing import Any

from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.ports import GeneratedImage


class PausingGenerator(InMemoryImageGenerator):
    """Draws the final picture when it may; `is_pausing` says that all partial images are handed over."""

    def __init__(self) -> None:
        super().__init__()
        self.is_pausing = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def generate(self, request: GenerationRequest, **options: Any) -> GeneratedImage:
        try:
            return await super().generate(request, **options)
        finally:
            self.is_pausing.set()
            await self.may_go_on.wait()
