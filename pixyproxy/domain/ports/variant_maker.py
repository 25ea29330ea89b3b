"""What makes variants of pictures."""

from abc import abstractmethod
from typing import Protocol

from pixyproxy.domain.ports.content_store import StoredContent
from pixyproxy.domain.variant import Variant


class VariantMaker(Protocol):
    """What makes variants of pictures."""

    @abstractmethod
    async def make(self, content: StoredContent, variant: Variant) -> bytes:
        """Read the content to its end and return it as `variant`, without holding up the event loop.

        Nothing private that the content says about its origin (EXIF, XMP, comments) is kept. Of a moving picture the
        first frame is taken; of a damaged one as much as can be shown. Raises `DamagedContentError` for content that a
        `ContentInspector` refuses, and for an SVG that can't be drawn.
        """

    async def close(self) -> None:
        """Let go of threads and processes; called once at the end."""
        return
