"""Signed links: URLs that open the content of one image without a login, until they expire."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self
from urllib.parse import quote
from uuid import UUID

from pixyproxy.application import GetImageContent
from pixyproxy.domain.content import with_extension
from pixyproxy.domain.image import Image, ImageScope
from pixyproxy.domain.ports import Clock
from pixyproxy.domain.user import Principal
from pixyproxy.domain.variant import VariantFormat, VariantPolicy
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.content.schemas import ImageLink
from pixyproxy.entrypoints.http.content.variants import ORIGINAL, VariantQuery
from pixyproxy.entrypoints.http.parameters import query_parameter
from pixyproxy.entrypoints.http.paths import PRIVATE_PATH
from pixyproxy.entrypoints.link_signer import LinkSigner

EXPIRES: Final = "expires"
SIGNATURE: Final = "signature"

SIGNED_LINK_PARAMETERS: Final = (
    query_parameter(EXPIRES, "Of a signed link: when it expires, in seconds since 1970 began."),
    query_parameter(
        SIGNATURE,
        "Of a signed link: what shows that the image's author has made it. It opens this one picture without a login,"
        " in the size and format that it names.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedLinkMaker:
    """Creates signed links."""

    get_image_content: GetImageContent
    policy: VariantPolicy
    link_signer: LinkSigner
    clock: Clock

    @classmethod
    def of(cls, container: Container) -> Self:
        """Return the maker of links to the container's images."""
        return cls(
            get_image_content=container.get_image_content(),
            policy=container.get_image_variant().policy,
            link_signer=container.link_signer(),
            clock=container.clock(),
        )

    async def make(
        self, guid: UUID, principal: Principal, query: VariantQuery, *, lifetime: int, address: str
    ) -> ImageLink:
        """Return a link to the principal's own image, as the variant `query`, for `lifetime` seconds.

        `address` is the service's URL. Raises `RecordNotFoundError` for any other image, and for one that is not ready,
        and `DataValidationError` for a variant that is not allowed.
        """
        image = await self.get_image_content.find(guid, principal, ImageScope.OWN)
        if not query.is_original:
            # AVIF is the strictest of the formats that `auto` may choose.
            self.policy.ensure_allowed(query.variant_for(image.ready_content.media_type, VariantFormat.AVIF.media_type))
        expires = int(self.clock.now().timestamp()) + lifetime
        return ImageLink(
            url=f"{address}{PRIVATE_PATH}/{guid}/content?{await self._query(guid, query, expires)}",
            expires_at=datetime.fromtimestamp(expires, UTC),
        )

    async def make_named(self, image: Image, *, lifetime: int, address: str) -> str:
        """Return the URL of a link to a ready image, for `lifetime` seconds, whose path ends with its file name.

        The name has the extension of the bytes. `address` is the service's URL.
        """
        filename = with_extension(image.filename, image.ready_content.media_type.extension)
        expires = int(self.clock.now().timestamp()) + lifetime
        wanted = await self._query(image.guid, ORIGINAL, expires)
        return f"{address}{PRIVATE_PATH}/{image.guid}/content/{quote(filename, safe='')}?{wanted}"

    async def _query(self, guid: UUID, query: VariantQuery, expires: int) -> str:
        signature = await self.link_signer.sign(guid, query.canonical, expires)
        return "&".join(filter(None, [query.canonical, f"{EXPIRES}={expires}", f"{SIGNATURE}={signature}"]))
