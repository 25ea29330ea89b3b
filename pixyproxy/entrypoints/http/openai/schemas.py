"""The fields of OpenAI's images API."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Final, Self

import msgspec
from msgspec import Meta

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.entrypoints.http.form_parts import number_in

_NUMBERS: Final = frozenset({"n", "output_compression", "partial_images"})
_FLAGS: Final = frozenset({"stream"})
_ANY: Final = frozenset({"style", "metadata"})
_NUMBER_LIMIT: Final = 10**9
_WORDS: Final = {"true": True, "1": True, "false": False, "0": False}

_NAMES: Final = {"references": "image", "tags": "metadata", "visibility": "metadata"}


class ImageFields(msgspec.Struct, frozen=True, kw_only=True):
    """What clients can say about a picture; null is what is not given."""

    prompt: Annotated[
        str | None, Meta(description="What to draw: 1 to 32,000 characters.", examples=["A lighthouse at dusk"])
    ] = None
    model: Annotated[
        str | None,
        Meta(description="The model, or an alias of one; `GET /v1/models` lists them.", examples=["gpt-image-2"]),
    ] = None
    n: Annotated[int | None, Meta(description="How many images: 1 to 10.", examples=[1])] = None
    size: Annotated[str | None, Meta(description="`auto`, or width and height in pixels.", examples=["1536x1024"])] = (
        None
    )
    quality: Annotated[str | None, Meta(description="`auto`, or one that the model takes.", examples=["high"])] = None
    style: Annotated[Any, Meta(description="Ignored: models of today have no styles.", examples=["vivid"])] = None
    background: Annotated[
        str | None, Meta(description="`auto`, `opaque` or `transparent`.", examples=["transparent"])
    ] = None
    output_format: Annotated[str | None, Meta(description="The format of the picture.", examples=["webp"])] = None
    output_compression: Annotated[
        int | None, Meta(description="0 to 100, in the formats `jpeg` and `webp`.", examples=[80])
    ] = None
    moderation: Annotated[str | None, Meta(description="`auto` or `low`.", examples=["low"])] = None
    input_fidelity: Annotated[
        str | None,
        Meta(description="How closely to keep to the pictures: `low` or `high`.", examples=["high"]),
    ] = None
    response_format: Annotated[
        str | None,
        Meta(
            description="`b64_json` or `url`, which may also stand in the query. By default `b64_json`, and `url` for"
            " ids that begin with `dall-e-`. Streams have `b64_json` only.",
            examples=["b64_json"],
        ),
    ] = None
    stream: Annotated[bool | None, Meta(description="Whether to answer with events.", examples=[False])] = None
    partial_images: Annotated[
        int | None, Meta(description="How many pictures to send on the way, 0 to 3; with `stream` only.", examples=[2])
    ] = None
    user: Annotated[str | None, Meta(description="The end user, for the author's search.", examples=["u-123"])] = None
    safety_identifier: Annotated[
        str | None, Meta(description="The end user, for the author's search.", examples=["u-123"])
    ] = None

    metadata: Annotated[
        Any,
        Meta(
            description="An object: `tags` and `visibility` are those of the images, the rest is kept with them.",
            examples=[{"tags": ["lighthouse"], "visibility": "private"}],
        ),
    ] = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the known ones among the fields of a body; raise `DataValidationError` for one of another type."""
        return cls(**{name: _checked(name, values[name]) for name in cls.__struct_fields__ if name in values})


def _checked(name: str, value: Any) -> Any:
    if value is None or name in _ANY:
        return value
    if name in _NUMBERS:
        if type(value) is not int or abs(value) >= _NUMBER_LIMIT:
            raise DataValidationError(name, "must be a whole number")
    elif name in _FLAGS:
        if type(value) is not bool:
            raise DataValidationError(name, "must be true or false")
    elif not isinstance(value, str):
        raise DataValidationError(name, "must be text")
    return value


def value_of(name: str, text: str) -> object:
    """Return the value of a field in a form, where all are texts."""
    if name in _NUMBERS:
        return number_in(text)
    if name in _FLAGS:
        return _WORDS.get(text.lower(), text)
    return text


def openai_name(field: str) -> str:
    """Return OpenAI's name for what the domain calls `field`, such as `image` for `references[0]`."""
    return _NAMES.get(re.split(r"[.\[]", field, maxsplit=1)[0], field)


@contextmanager
def openai_names() -> Iterator[None]:
    """Give the `DataValidationError`s of the block OpenAI's names of fields."""
    try:
        yield
    except DataValidationError as exc:
        exc.field = openai_name(exc.field)
        raise
