"""Describes content."""

from abc import abstractmethod
from typing import Protocol

from pixyproxy.domain.content import ContentInfo, MediaType
from pixyproxy.domain.ports.content_store import StoredContent


class ContentInspector(Protocol):
    """Describes content by its bytes alone."""

    @abstractmethod
    async def inspect(self, content: StoredContent) -> ContentInfo:
        """Read the content to its end and describe it, without holding up the event loop.

        Width and height are those of the picture as it is shown. Raises `DamagedContentError` for content of which
        browsers show nothing; a `VariantMaker` can draw all other content, except for some SVGs.
        """

    @abstractmethod
    def is_turned(self, head: bytes) -> bool | None:
        """Whether the EXIF data of a picture that begins with these bytes turns it on its side.

        Browsers show it turned, except for WebP; records of other programs may have its sides either way. Returns None
        if these bytes are too few. Decodes nothing.
        """

    @abstractmethod
    def media_type_of(self, head: bytes) -> MediaType | None:
        """Return the media type of a bitmap by its first 16 bytes; None for anything else. Decodes nothing."""
