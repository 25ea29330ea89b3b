"""Signed links: URLs that open the content of one image without a login, until they expire."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self
from uuid import UUID

from pixyproxy.application import GetImageContent
from pixyproxy.domain.image import ImageScope
from pixyproxy.domain.ports import Clock
from pixyproxy.domain.user import Principal
from pixyproxy.domain.variant import VariantFormat, VariantPolicy
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.content.schemas import ImageLink
from pixyproxy.entrypoints.http.content.variants import VariantQuery
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
        signature = await self.link_signer.sign(guid, query.canonical, expires)
        wanted = "&".join(filter(None, [query.canonical, f"{EXPIRES}={expires}", f"{SIGNATURE}={signature}"]))
        return ImageLink(
            url=f"{address}{PRIVATE_PATH}/{guid}/content?{wanted}",
            expires_at=datetime.fromtimestamp(expires, UTC),
        )
