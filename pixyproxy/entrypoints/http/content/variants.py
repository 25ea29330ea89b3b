"""The variant that a query asks for."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from typing import Any, Final, Self
from urllib.parse import urlencode

import msgspec
from litestar.openapi.spec import OpenAPIType, Reference

from pixyproxy.domain.content import MediaType
from pixyproxy.domain.variant import QUALITY_DEFAULT, VARIANT_MAX_SIDE, Fit, Variant, VariantFormat
from pixyproxy.entrypoints.http.content.accept import parse_accept, weight_of
from pixyproxy.entrypoints.http.parameters import query_parameter
from pixyproxy.entrypoints.http.query import QueryParameters, parse_number, parse_word, single


class FormatChoice(StrEnum):
    """The formats that a client can ask for; `auto` chooses by the `Accept` header."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"
    AVIF = "avif"
    AUTO = "auto"


class VariantQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The variant that a client asks for; without fields, the original.

    Raises `DataValidationError` for a number that is out of its bounds.
    """

    width: int | None = None
    height: int | None = None
    fit: Fit | None = None
    format: FormatChoice | None = None
    quality: int | None = None

    def __post_init__(self) -> None:
        self._variant(VariantFormat.PNG)

    @classmethod
    def parse(cls, parameters: QueryParameters) -> Self:
        """Parse the variant's parameters of a query, and ignore others.

        Raises `DataValidationError` for one that is malformed or given twice.
        """
        values: dict[str, Any] = {}
        for name, parse in _PARSERS.items():
            text = single(parameters, name)
            if text is not None:
                values[name] = parse(name, text)
        return cls(**values)

    @property
    def is_original(self) -> bool:
        """Whether the query asks for the original."""
        return self == ORIGINAL

    @property
    def follows_accept(self) -> bool:
        """Whether the answer depends on the `Accept` header."""
        return self.format is FormatChoice.AUTO

    @property
    def canonical(self) -> str:
        """The canonical query of this variant, with a fixed order; empty for the original."""
        return urlencode({name: value for name in _PARSERS if (value := getattr(self, name)) is not None})

    def variant_for(self, media_type: MediaType, accept: str | None) -> Variant:
        """Return the variant of an original of this media type for a client with this `Accept` header, if any.

        Several lines of the header are joined by commas. Without `format`, a JPEG and a WebP keep their format, and all
        others become a PNG.
        """
        match self.format:
            case None:
                chosen = _format_of(media_type)
            case FormatChoice.AUTO:
                chosen = _best_format(media_type, accept)
            case _:
                chosen = VariantFormat(self.format)
        return self._variant(chosen)

    def _variant(self, chosen: VariantFormat) -> Variant:
        return Variant(
            format=chosen,
            width=self.width,
            height=self.height,
            fit=self.fit or Fit.CONTAIN,
            quality=QUALITY_DEFAULT if self.quality is None else self.quality,
        )


ORIGINAL: Final = VariantQuery()


def _format_of(media_type: MediaType) -> VariantFormat:
    kept = {MediaType.JPEG: VariantFormat.JPEG, MediaType.WEBP: VariantFormat.WEBP}
    return kept.get(media_type, VariantFormat.PNG)


def _best_format(media_type: MediaType, accept: str | None) -> VariantFormat:
    own = _format_of(media_type)
    weights = parse_accept(accept or "")
    # Of equal weights, the smaller file wins.
    candidates = (VariantFormat.AVIF, VariantFormat.WEBP, VariantFormat.PNG if own is VariantFormat.WEBP else own)
    # Many clients that accept anything can't show an AVIF.
    liked = {
        candidate: weight_of(
            candidate.media_type,
            weights,
            by_name=candidate in {VariantFormat.AVIF, VariantFormat.WEBP} and candidate is not own,
        )
        for candidate in candidates
    }
    best = max(liked, key=liked.__getitem__)
    # A picture in another format is better than none.
    return best if liked[best] else own


# In the order of `canonical`.
_PARSERS: Final[Mapping[str, Callable[[str, str], object]]] = {
    "width": parse_number,
    "height": parse_number,
    "fit": partial(parse_word, words=Fit),
    "format": partial(parse_word, words=FormatChoice),
    "quality": parse_number,
}

VARIANT_PARAMETERS: Final = (
    query_parameter(
        "width",
        "A width in pixels that the picture is fitted into; only an SVG is made larger than it is. Without `height`,"
        " that follows. The operator may allow certain sizes only.",
        type=OpenAPIType.INTEGER,
        minimum=1,
        maximum=VARIANT_MAX_SIDE,
    ),
    query_parameter(
        "height",
        "A height in pixels that the picture is fitted into. Without `width`, that follows.",
        type=OpenAPIType.INTEGER,
        minimum=1,
        maximum=VARIANT_MAX_SIDE,
    ),
    query_parameter(
        "fit",
        "Into `width` and `height`: `contain`, the default, shows all of the picture; `cover` fills them and cuts off"
        " what stands out.",
        type=None,
        all_of=[Reference("#/components/schemas/Fit")],
    ),
    query_parameter(
        "format",
        "The format to send. `auto`: AVIF or WebP if `Accept` names it, else as without `format`: a JPEG or WebP stays"
        " one, and anything else becomes a PNG.",
        type=None,
        all_of=[Reference("#/components/schemas/FormatChoice")],
    ),
    query_parameter(
        "quality",
        f"How much of the picture a lossy format keeps, 1 to 100; {QUALITY_DEFAULT} if absent. The operator may allow"
        " certain values only.",
        type=OpenAPIType.INTEGER,
        minimum=1,
        maximum=100,
    ),
)
