"""What goes over the wire; the domain can change without it, and it without the domain."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

import msgspec
from msgspec import Meta

from pixyproxy.domain.image import Image, MediaType, Visibility


class CreatePublicImage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to generate."""

    prompt: Annotated[
        str,
        Meta(
            description="What to draw: 1 to 32,000 characters after the white space around it is removed, no NUL.",
            examples=["A lighthouse at dusk, in watercolour"],
        ),
    ]
    tags: Annotated[
        list[Annotated[str, Meta(description="One line of 1 to 64 characters without white space around it.")]],
        Meta(description="Words to find the image by: at most 32, no duplicates.", examples=[["lighthouse", "draft"]]),
    ] = []


class CreatePrivateImage(CreatePublicImage, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to generate, and who may see it."""

    visibility: Annotated[
        Visibility, Meta(description="`private`: only you may read the image; `public`: anyone may.")
    ] = Visibility.PRIVATE


class ImageDetail(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that may be known of an image."""

    guid: Annotated[UUID, Meta(description="The public id.", examples=["0b9a2e1e-5c0e-4f5e-9d55-3f6f4a1c2d3e"])]
    filename: Annotated[
        str,
        Meta(
            description="A unique file name, made from the prompt: ASCII, at most 255 bytes.",
            examples=["a-lighthouse-at-dusk-0b9a2e1e-5c0e-4f5e-9d55-3f6f4a1c2d3e.png"],
        ),
    ]
    prompt: Annotated[str, Meta(description="What was drawn.", examples=["A lighthouse at dusk, in watercolour"])]
    tags: Annotated[Sequence[str], Meta(description="In the order given.", examples=[["lighthouse", "draft"]])]
    author: Annotated[str | None, Meta(description="Who asked for it; null if nobody was logged in.", examples=["ann"])]
    visibility: Annotated[Visibility, Meta(description="Who may read it.")]
    created_at: Annotated[
        datetime, Meta(description="When it was asked for, in UTC.", examples=["2026-11-21T10:00:00.123456Z"])
    ]
    updated_at: Annotated[
        datetime, Meta(description="When the record last changed, in UTC.", examples=["2026-11-21T10:00:21.654321Z"])
    ]
    media_type: Annotated[MediaType, Meta(description="The content's media type, read from its bytes.")]
    byte_size: Annotated[int, Meta(description="The content's size in bytes.", examples=[1_482_033])]
    sha256: Annotated[
        str,
        Meta(description="The content's SHA-256 in hexadecimal.", examples=["9f86d081884c7d659a2feaa0c55ad015" * 2]),
    ]
    width: Annotated[int, Meta(description="In pixels.", examples=[1024])]
    height: Annotated[int, Meta(description="In pixels.", examples=[1024])]
    model: Annotated[str, Meta(description="The model that drew it.", examples=["gpt-image-2"])]

    @classmethod
    def from_image(cls, image: Image) -> Self:
        """Return the details of an image that is ready; raise `RecordNotFoundError` for any other."""
        content = image.ready_content
        return cls(
            guid=image.guid,
            filename=image.filename,
            prompt=image.prompt,
            tags=image.tags,
            author=image.author,
            visibility=image.visibility,
            created_at=image.created_at,
            updated_at=image.updated_at,
            media_type=content.media_type,
            byte_size=content.byte_size,
            sha256=content.sha256,
            width=content.width,
            height=content.height,
            model=image.model,
        )


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field."""

    field: Annotated[str, Meta(description="The field, parameter or header.", examples=["prompt"])]
    detail: Annotated[
        str, Meta(description="Which rule it breaks.", examples=["must have 1 to 32,000 characters, not 0"])
    ]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request was not served (RFC 9457)."""

    type: Annotated[
        str,
        Meta(
            description="The kind of problem, or `about:blank` where the status says it all.",
            examples=["urn:pixyproxy:problem:data-validation"],
        ),
    ]
    title: Annotated[str, Meta(description="The kind of problem, for people.", examples=["Data validation"])]
    status: Annotated[int, Meta(description="The HTTP status.", ge=400, le=599, examples=[400])]
    detail: Annotated[
        str, Meta(description="What is wrong this time.", examples=["must have 1 to 32,000 characters, not 0"])
    ]
    request_id: Annotated[
        str,
        Meta(description="Under which the log says more.", examples=["4e5a3d6c0b8f4f0d9a7c1e2b3f4a5d6c"]),
    ]
    errors: Annotated[Sequence[FieldError], Meta(description="Which fields are wrong, where fields are.")]


class Health(msgspec.Struct, frozen=True):
    """That the service works."""

    status: Annotated[str, Meta(description="Always `ok`: anything else is a problem.", examples=["ok"])] = "ok"
