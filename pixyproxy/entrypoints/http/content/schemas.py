"""Request and response bodies of signed links."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from pixyproxy.domain.variant import VARIANT_MAX_SIDE, Fit
from pixyproxy.entrypoints.http.content.variants import FormatChoice, VariantQuery

Side = Annotated[int, Meta(ge=1, le=VARIANT_MAX_SIDE)]
Percentage = Annotated[int, Meta(ge=1, le=100)]


class CreateLinkBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A link's lifetime and variant: without the other fields, the original."""

    lifetime: Annotated[
        int,
        Meta(description="In how many seconds it expires: 60 to 604,800, which is a week.", ge=60, le=604_800),
    ] = 3_600
    width: Annotated[
        Side | UnsetType, Meta(description="The picture is fitted into this width in pixels.", examples=[256])
    ] = UNSET
    height: Annotated[
        Side | UnsetType, Meta(description="The picture is fitted into this height in pixels.", examples=[256])
    ] = UNSET
    fit: Annotated[
        Fit | UnsetType,
        Meta(description="`contain` shows all of the picture; `cover` fills width and height and cuts off the rest."),
    ] = UNSET
    format: Annotated[
        FormatChoice | UnsetType,
        Meta(description="`auto`: chosen by the `Accept` header of the client that opens the link."),
    ] = UNSET
    quality: Annotated[
        Percentage | UnsetType, Meta(description="How much of the picture a lossy format keeps.", examples=[80])
    ] = UNSET

    def to_query(self) -> VariantQuery:
        """Return the variant query of the link."""
        asked = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not UNSET}
        del asked["lifetime"]
        return VariantQuery(**asked)


class ImageLink(msgspec.Struct, frozen=True, kw_only=True):
    """A link that opens one image without a login."""

    url: Annotated[
        str,
        Meta(
            description="Everyone who has it can open the image: keep it like the image itself.",
            examples=[
                (
                    "https://pixy.example/private/image/0b9a2e1e-5c0e-4f5e-9d55-3f6f4a1c2d3e/content?width=256"
                    "&expires=1795258800&signature=q3ub8rYFZ1mS0DAdJ6nWv9oLk2RtQyXe"
                )
            ],
        ),
    ]
    expires_at: Annotated[
        datetime, Meta(description="From when on it opens nothing, in UTC.", examples=["2026-11-21T11:00:00Z"])
    ]
