"""Describes content."""

from abc import abstractmethod
from typing import Protocol

import msgspec

from pixyproxy.domain.content import ContentInfo, MediaType
from pixyproxy.domain.ports.content_store import StoredContent


class InputInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A description of a picture that goes into a generation.

    `has_alpha` says whether it has an alpha channel or a transparent colour.
    """

    content: ContentInfo
    has_alpha: bool


class ContentInspector(Protocol):
    """Describes content by its bytes alone."""

    @abstractmethod
    async def inspect(self, content: StoredContent) -> ContentInfo:
        """Read the content to its end and describe it, without holding up the event loop.

        Width and height are those of the picture as it is shown. Raises `DamagedContentError` for content of which
        browsers show nothing; a `VariantMaker` can draw all other content, except for some SVGs.
        """

    @abstractmethod
    async def inspect_input(self, content: StoredContent) -> InputInfo:
        """Do the same for a reference or mask: a PNG, JPEG or WebP that is not animated and not incomplete.

        Raises `DamagedContentError` for all others.
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
