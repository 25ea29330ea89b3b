"""Pictures at URLs in a dictionary."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from pixyproxy.domain.errors import PictureUnavailableError
from pixyproxy.domain.ports import PictureSource, chunks_of


class InMemoryPictureSource(PictureSource):
    """Has the bytes of some URLs; takes them by URL."""

    def __init__(self, pictures: Mapping[str, bytes] | None = None) -> None:
        self.pictures = dict(pictures or {})

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[AsyncIterator[bytes]]:
        content = self.pictures.get(url)
        if content is None:
            raise PictureUnavailableError("There is no picture.")
        yield chunks_of(content)
