"""An optional capability of content stores: presigned URLs of what they hold."""

from abc import abstractmethod
from datetime import datetime
from enum import Enum, auto
from typing import Protocol

import msgspec

from pixyproxy.domain.content import ContentKey
from pixyproxy.domain.variant import VariantName


class Audience(Enum):
    """Who follows a presigned URL, and so the address of the store that it begins with."""

    WEB_SERVER = auto()
    """A web server in front of the service, at the address that the service itself uses."""

    CLIENT = auto()
    """The client, at the store's public address."""


class ShownAs(msgspec.Struct, frozen=True, kw_only=True):
    """Headers of the response to a presigned URL, in place of what the store would say."""

    content_type: str
    content_disposition: str
    cache_control: str
    expires: str | None = None


class LinkTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a presigned URL is for, for how many `seconds` from `begins_at` on, and the headers of the response."""

    audience: Audience
    begins_at: datetime
    seconds: int
    shown_as: ShownAs | None = None


class ContentLinks(Protocol):
    """Presigned URLs, which open stored content to a GET without a login until they expire.

    A store that has no addresses of its own does not implement it. Equal arguments give equal URLs, so that caches
    recognise them. Neither method looks whether the content exists: a URL of what is missing answers 404. Both raise
    `ContentStoreError` when there is nothing to sign with.
    """

    @abstractmethod
    async def content_link(self, key: ContentKey, terms: LinkTerms) -> str:
        """Return a URL of the content."""

    @abstractmethod
    async def variant_link(self, key: ContentKey, name: VariantName, terms: LinkTerms) -> str:
        """Return a URL of a variant."""
