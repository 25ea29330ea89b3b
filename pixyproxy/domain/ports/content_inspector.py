"""What tells from the bytes alone what an image is."""

from abc import abstractmethod
from typing import Protocol

from pixyproxy.domain.content import ContentInfo
from pixyproxy.domain.ports.content_store import StoredContent


class ContentInspector(Protocol):
    """What tells from the bytes alone what an image is."""

    @abstractmethod
    async def inspect(self, content: StoredContent) -> ContentInfo:
        """Read the content to its end and describe it, without holding up the event loop.

        Width and height are those of the picture as it is shown. Raises `DamagedContentError` for anything of which
        browsers show nothing; whatever is left can be drawn by a `VariantMaker`, unless it is an SVG.
        """

    @abstractmethod
    def is_turned(self, head: bytes) -> bool | None:
        """Whether the EXIF data of a picture that begins with these bytes turns it on its side.

        So it is shown, unless it is a WebP, and so may records of other programs have its sides. None if that can't be
        told from so few bytes. Decodes nothing.
        """
