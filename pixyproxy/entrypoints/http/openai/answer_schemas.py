"""What is answered below `/v1`, in the shapes of OpenAI's images API."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from pixyproxy.domain.content import MediaType
from pixyproxy.domain.generation_request import OUTPUT_FORMATS
from pixyproxy.domain.image import Image

_FORMATS: Final[Mapping[MediaType, str]] = {media_type: name for name, media_type in OUTPUT_FORMATS.items()}
_PIXELS: Final = re.compile(r"[1-9][0-9]*x[1-9][0-9]*")

# For events, in which each of these is a word.
_AUTO: Final = "auto"

Tokens = Annotated[int, Meta(ge=0)]


class TokenDetails(msgspec.Struct, frozen=True):
    """Tokens by their kind."""

    text_tokens: Annotated[Tokens, Meta(description="Those of texts.", examples=[9])]
    image_tokens: Annotated[Tokens, Meta(description="Those of pictures.", examples=[0])]

    def plus(self, other: "TokenDetails") -> "TokenDetails":
        """Return the sum."""
        return TokenDetails(self.text_tokens + other.text_tokens, self.image_tokens + other.image_tokens)


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What the generator says that images have cost."""

    total_tokens: Annotated[Tokens, Meta(description="All of them.", examples=[281])]
    input_tokens: Annotated[Tokens, Meta(description="Those of the prompt and the pictures sent.", examples=[9])]
    output_tokens: Annotated[Tokens, Meta(description="Those of the pictures made.", examples=[272])]
    input_tokens_details: Annotated[TokenDetails, Meta(description="The input by its kind.")]
    output_tokens_details: Annotated[
        TokenDetails | UnsetType, Meta(description="The output by its kind, where the model says it.")
    ] = UNSET

    @classmethod
    def of(cls, images: Iterable[Image]) -> "Usage | None":
        """Return the sum of the images' usage; None unless each has all of it, since clients refuse half of it.

        Only the details of the output may be missing: the first models had none.
        """
        try:
            return reduce(cls._plus, [cls._told(image.usage) for image in images])
        except msgspec.ValidationError:
            return None

    @classmethod
    def _told(cls, usage: object) -> "Usage":
        try:
            return msgspec.convert(usage, cls)
        except msgspec.ValidationError:
            if not isinstance(usage, Mapping):
                raise
            return msgspec.convert({name: usage[name] for name in usage if name != "output_tokens_details"}, cls)

    def _plus(self, other: "Usage") -> "Usage":
        ours, theirs = self.output_tokens_details, other.output_tokens_details
        return Usage(
            total_tokens=self.total_tokens + other.total_tokens,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            input_tokens_details=self.input_tokens_details.plus(other.input_tokens_details),
            output_tokens_details=ours.plus(theirs) if ours and theirs else UNSET,
        )


class ImageItem(msgspec.Struct, frozen=True, kw_only=True):
    """One image: its guid in the rest of the API, and its picture as base64 or at a URL."""

    guid: Annotated[UUID, Meta(description="The image's public id, as in `/private/image/{guid}`.")]
    revised_prompt: Annotated[
        str | UnsetType, Meta(description="What the model has drawn in place of the prompt, if it says so.")
    ] = UNSET
    url: Annotated[
        str | UnsetType, Meta(description="Opens the picture without a login until it expires; with `url` only.")
    ] = UNSET
    b64_json: Annotated[str | UnsetType, Meta(description="The picture as base64; with `b64_json` only.")] = UNSET


class FailedImage(msgspec.Struct, frozen=True, kw_only=True):
    """One of several images that is not there: its place among them, and why."""

    index: Annotated[int, Meta(description="Its place among the images asked for, from 0.", examples=[2])]
    guid: Annotated[UUID, Meta(description="The image's public id.")]
    code: Annotated[str, Meta(description="The kind of error, for programs.", examples=["moderation_blocked"])]
    maybe_billed: Annotated[bool, Meta(description="False only if it surely cost nothing.")]


class ImagesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The images of a request, after all of them have ended.

    `size`, `quality`, `background` and `output_format` say what the pictures are, where that is known and the same for
    all. `usage` is the sum over all images, or null if the generator has not said all of it.
    """

    created: Annotated[
        int, Meta(description="When the images were asked for, in seconds since 1970 began.", examples=[1795673534])
    ]
    model: Annotated[str, Meta(description="The id that was asked for.", examples=["gpt-image-2"])]
    background: Annotated[str | UnsetType, Meta(description="The background.", examples=["opaque"])] = UNSET
    output_format: Annotated[str | UnsetType, Meta(description="The format of the bytes.", examples=["png"])] = UNSET
    quality: Annotated[str | UnsetType, Meta(description="The quality.", examples=["low"])] = UNSET
    size: Annotated[str | UnsetType, Meta(description="Width and height in pixels.", examples=["1024x1024"])] = UNSET
    usage: Annotated[Usage | None, Meta(description="What all images have cost, or null if that is not known.")]
    errors: Annotated[
        Sequence[FailedImage] | UnsetType, Meta(description="The images that have failed, if some have.")
    ] = UNSET
    data: Annotated[Sequence[ImageItem], Meta(description="The images that are ready, in order.")]

    @classmethod
    def of(cls, images: Sequence[Image], failed: Sequence[FailedImage], model: str) -> "ImagesAnswer":
        """Return the answer about these ready images, without them."""
        return cls(
            created=created_at(images[0]),
            model=model,
            background=_common(images, background_of),
            output_format=_common(images, output_format_of),
            quality=_common(images, quality_of),
            size=_common(images, size_of),
            usage=Usage.of(images),
            errors=failed or UNSET,
            data=(),
        )


class PartialPicture(msgspec.Struct, frozen=True, kw_only=True):
    """The data of an event with a picture on the way, besides its type and the picture."""

    partial_image_index: int
    created_at: int
    size: str
    quality: str
    background: str
    output_format: str

    @classmethod
    def of(cls, image: Image, position: int, media_type: MediaType) -> "PartialPicture":
        """Return the data of a partial image."""
        return cls(
            partial_image_index=position,
            created_at=created_at(image),
            size=image.request.size or _AUTO,
            quality=quality_of(image) or _AUTO,
            background=background_of(image) or _AUTO,
            output_format=_FORMATS[media_type],
        )


class CompletedPicture(msgspec.Struct, frozen=True, kw_only=True):
    """The data of an event with a final picture, besides its type and the picture."""

    created_at: int
    size: str
    quality: str
    background: str
    output_format: str
    usage: Usage | None

    @classmethod
    def of(cls, image: Image) -> "CompletedPicture":
        """Return the data of a ready image."""
        return cls(
            created_at=created_at(image),
            size=size_of(image),
            quality=quality_of(image) or _AUTO,
            background=background_of(image) or _AUTO,
            output_format=output_format_of(image),
            usage=Usage.of([image]),
        )


def created_at(image: Image) -> int:
    """Return when the image was asked for, in whole seconds since 1970 began."""
    return int(image.created_at.timestamp())


def output_format_of(image: Image) -> str:
    """Return the format of a ready image's bytes, whatever was asked for."""
    return _FORMATS[image.ready_content.media_type]


def size_of(image: Image) -> str:
    """Return the size of a ready image as the generator says it, or as it is shown."""
    told = image.result.size if image.result else None
    content = image.ready_content
    return told if told and _PIXELS.fullmatch(told) else f"{content.width}x{content.height}"


def quality_of(image: Image) -> str | None:
    """Return the quality that the generator tells, or that was asked for."""
    return (image.result.quality if image.result else None) or image.request.quality


def background_of(image: Image) -> str | None:
    """Return the background that the generator tells, or that was asked for."""
    return (image.result.background if image.result else None) or image.request.background


def revised_prompt_of(image: Image) -> str | UnsetType:
    """Return what the generator says it has drawn in place of the prompt."""
    return (image.result.revised_prompt if image.result else None) or UNSET


def _common(images: Sequence[Image], of: Callable[[Image], str | None]) -> str | UnsetType:
    """Return what `of` says of all images, if it is the same."""
    (first, *others) = {of(image) for image in images}
    return UNSET if others or first is None else first
