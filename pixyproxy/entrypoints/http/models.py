"""The models that draw images."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

import msgspec
from litestar import Response, Router, get
from msgspec import Meta

from pixyproxy.domain.capabilities import Capabilities, ModelCapabilities
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.http.auth.authentication import APIRequest
from pixyproxy.entrypoints.http.content.representations import FOR_ANYBODY, json_response
from pixyproxy.entrypoints.http.images.responses import UNCHANGED
from pixyproxy.entrypoints.http.problems.responses import problems


class SizeRangeDetail(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes that a model takes besides those it names."""

    min_side: Annotated[int, Meta(description="The least width and height in pixels.", examples=[16])]
    max_side: Annotated[int, Meta(description="The greatest width and height in pixels.", examples=[3840])]
    step: Annotated[int, Meta(description="Width and height are multiples of this.", examples=[16])]
    min_pixels: Annotated[int, Meta(description="The least width times height.", examples=[1])]
    max_pixels: Annotated[int, Meta(description="The greatest width times height.", examples=[8_294_400])]
    max_ratio: Annotated[
        float | None,
        Meta(description="How many times the shorter side the longer may be; null for any.", examples=[3.0]),
    ]


class ModelDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A model and the options that it takes; it does not take an option with an empty list."""

    id: Annotated[str, Meta(description="Its name in `model`.", examples=["gpt-image-2"])]
    is_default: Annotated[bool, Meta(description="Whether it draws requests that name no model.", examples=[True])]
    is_checked: Annotated[
        bool,
        Meta(
            description="Whether the options are checked before anything is bought. If not, what it takes is unknown.",
            examples=[True],
        ),
    ]
    defaults: Annotated[
        Mapping[str, str],
        Meta(
            description="The operator's choice of options, for requests that leave them open.",
            examples=[{"output_format": "png"}],
        ),
    ]
    sizes: Annotated[Sequence[str], Meta(description="Values of `size`.", examples=[["auto", "1024x1024"]])]
    size_range: Annotated[SizeRangeDetail | None, Meta(description="Other sizes, if it takes any.")]
    qualities: Annotated[Sequence[str], Meta(description="Values of `quality`.", examples=[["auto", "low", "high"]])]
    output_formats: Annotated[Sequence[str], Meta(description="Values of `output_format`.", examples=[["png", "webp"]])]
    output_compression: Annotated[
        bool,
        Meta(description="Whether it takes `output_compression`, with the formats jpeg and webp.", examples=[True]),
    ]
    backgrounds: Annotated[Sequence[str], Meta(description="Values of `background`.", examples=[["auto", "opaque"]])]
    moderations: Annotated[Sequence[str], Meta(description="Values of `moderation`.", examples=[["auto", "low"]])]
    max_references: Annotated[int, Meta(description="The most `references`; 0 if it does not edit.", examples=[16])]
    mask: Annotated[bool, Meta(description="Whether it takes a `mask`.", examples=[True])]
    input_fidelities: Annotated[
        Sequence[str], Meta(description="Values of `input_fidelity`.", examples=[["low", "high"]])
    ]
    max_partial_images: Annotated[int, Meta(description="The most `partial_images`.", examples=[3])]

    @classmethod
    def from_model(cls, model: ModelCapabilities, *, is_default: bool) -> Self:
        """Return what a model takes."""
        sizes = model.size_range
        return cls(
            id=model.id,
            is_default=is_default,
            is_checked=not model.takes_anything,
            defaults=model.defaults,
            sizes=model.sizes,
            size_range=None if sizes is None else SizeRangeDetail(**msgspec.structs.asdict(sizes)),
            qualities=model.qualities,
            output_formats=model.output_formats,
            output_compression=model.has_compression,
            backgrounds=model.backgrounds,
            moderations=model.moderations,
            max_references=model.max_references,
            mask=model.has_mask,
            input_fidelities=model.input_fidelities,
            max_partial_images=model.max_partial_images,
        )


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """The models that requests may name."""

    models: Annotated[Sequence[ModelDetail], Meta(description="In the operator's order; one is the default.")]
    allows_others: Annotated[
        bool, Meta(description="Whether a request may name any other model, unchecked.", examples=[False])
    ]

    @classmethod
    def from_capabilities(cls, capabilities: Capabilities) -> Self:
        """Return what a generator takes."""
        return cls(
            models=[
                ModelDetail.from_model(model, is_default=model.id == capabilities.default)
                for model in capabilities.models
            ],
            allows_others=capabilities.others is not None,
        )


def models(container: Container) -> Router:
    """Return the route of the models."""
    list_models = container.list_models()

    @get(
        "/",
        summary="List the models and what they take",
        response_description="The models.",
        responses=UNCHANGED | problems(412),
    )
    async def get_models(request: APIRequest) -> Response[ModelList]:
        """List the models that a request may name, with the options that each takes."""
        response: Response[Any] = json_response(request, ModelList.from_capabilities(await list_models()), FOR_ANYBODY)
        return response

    return Router("/model", route_handlers=[get_models], tags=["Models"])
