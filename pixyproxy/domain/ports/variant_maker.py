"""Makes variants of pictures."""

from abc import abstractmethod
from typing import Protocol

from pixyproxy.domain.ports.content_store import StoredContent
from pixyproxy.domain.variant import Variant


class VariantMaker(Protocol):
    """Makes variants of pictures."""

    @abstractmethod
    async def make(self, content: StoredContent, variant: Variant) -> bytes:
        """Read the content to its end and return it as `variant`, without blocking the event loop.

        Removes private data about its origin (EXIF, XMP, comments). Takes the first frame of an animation, and as much
        of a damaged picture as can be shown. Raises `DamagedContentError` for content that a `ContentInspector`
        refuses, and for an SVG that can't be drawn.
        """

    async def close(self) -> None:
        """Release threads and processes; called once at the end."""
        return
