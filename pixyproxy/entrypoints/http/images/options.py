"""The options of a request, in its body and in the details of its image."""

from typing import Annotated, Any, Self

import msgspec
from msgspec import Meta

from pixyproxy.domain.generation_request import GenerationRequest


class RequestOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a request as they were asked for; null is one that was left open."""

    model: Annotated[
        str | None, Meta(description="The model that draws; `GET /model` lists them.", examples=["gpt-image-2"])
    ] = None
    size: Annotated[
        str | None,
        Meta(
            description="`auto`, or width and height in pixels: 16 to 8,192 each, 33,000,000 in all. A model takes some"
            " of them.",
            examples=["1536x1024"],
        ),
    ] = None
    quality: Annotated[str | None, Meta(description="`auto`, or such as the model names.", examples=["high"])] = None
    background: Annotated[
        str | None,
        Meta(
            description="`auto`, `opaque` or `transparent`, the last in formats that have transparency.",
            examples=["transparent"],
        ),
    ] = None
    output_format: Annotated[str | None, Meta(description="The format of the picture.", examples=["webp"])] = None
    output_compression: Annotated[
        int | None, Meta(description="0 to 100, in the formats `jpeg` and `webp`.", examples=[80])
    ] = None
    moderation: Annotated[str | None, Meta(description="`auto` or `low`.", examples=["low"])] = None
    input_fidelity: Annotated[
        str | None, Meta(description="How closely to keep to the references: `low` or `high`.", examples=["high"])
    ] = None
    partial_images: Annotated[
        int | None, Meta(description="How many pictures to show on the way, 0 to 3: see `events`.", examples=[2])
    ] = None
    extra: Annotated[
        dict[str, Any] | None,
        Meta(
            description="Parameters that PixyProxy does not know, at most 16 KiB of JSON: kept, and sent to the"
            " generator if the operator allows it.",
            examples=[{"seed": 7}],
        ),
    ] = None

    @classmethod
    def of(cls, request: GenerationRequest) -> Self:
        """Return the options of a request."""
        options = request.options
        return cls(**{name: options.get(name) for name in cls.__struct_fields__})
