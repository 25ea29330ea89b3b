"""What the query of a picture asks for."""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Final, Protocol, Self
from urllib.parse import urlencode

import msgspec
from litestar import Request
from litestar.params import QueryParameter

from pixyproxy.domain.content import MediaType
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.variant import QUALITY_DEFAULT, VARIANT_MAX_SIDE, Fit, Variant, VariantFormat
from pixyproxy.entrypoints.http.content.accept import parse_accept, weight_of


class FormatChoice(StrEnum):
    """The formats that a client can ask for; `auto` is what its `Accept` header likes best."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"
    AVIF = "avif"
    AUTO = "auto"


class QueryParameters(Protocol):
    """The parameters of a query, some of them perhaps given several times."""

    def getall(self, key: str, default: list[str], /) -> list[str]:
        """Return the values of a parameter, or the default."""


class VariantQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What a client wants a picture to be made into; with nothing in it, the original.

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
        """Return what the parameters of a query ask for; those that have to do with something else are passed over.

        Raises `DataValidationError` for one that is malformed or given twice.
        """
        values: dict[str, Any] = {}
        for name, parse in _PARSERS.items():
            texts = parameters.getall(name, [])
            if len(texts) > 1:
                raise DataValidationError(name, "must be given once")
            if texts:
                values[name] = parse(name, texts[0])
        return cls(**values)

    @property
    def is_original(self) -> bool:
        """Whether nothing is asked for but the original."""
        return self == ORIGINAL

    @property
    def follows_accept(self) -> bool:
        """Whether the `Accept` header has a say in what is answered."""
        return self.format is FormatChoice.AUTO

    @property
    def canonical(self) -> str:
        """The one query that asks for this, in a fixed order; empty for the original."""
        return urlencode({name: value for name in _PARSERS if (value := getattr(self, name)) is not None})

    def variant_for(self, media_type: MediaType, accept: str | None) -> Variant:
        """Return the variant of an original with this media type, for a client with this `Accept` header, if any.

        Several lines of the header are joined by commas. Without `format`, a JPEG and a WebP stay what they are, and
        anything else becomes a PNG.
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
    # Among equals the smaller file comes first.
    candidates = (VariantFormat.AVIF, VariantFormat.WEBP, VariantFormat.PNG if own is VariantFormat.WEBP else own)
    # Many that say they take anything can't show an AVIF.
    liked = {
        candidate: weight_of(
            candidate.media_type,
            weights,
            by_name=candidate in {VariantFormat.AVIF, VariantFormat.WEBP} and candidate is not own,
        )
        for candidate in candidates
    }
    best = max(liked, key=liked.__getitem__)
    # Whoever takes none of them gets at least a picture.
    return best if liked[best] else own


def _parse_number(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text):
        raise DataValidationError(name, "must be a whole number")
    return int(text)


def _parse_word(name: str, text: str, words: type[StrEnum]) -> StrEnum:
    try:
        return words(text)
    except ValueError:
        raise DataValidationError(name, f"must be one of {', '.join(words)}") from None


# In the order of `canonical`.
_PARSERS: Final[Mapping[str, Callable[[str, str], object]]] = {
    "width": _parse_number,
    "height": _parse_number,
    "fit": partial(_parse_word, words=Fit),
    "format": partial(_parse_word, words=FormatChoice),
    "quality": _parse_number,
}

Width = Annotated[
    int | None,
    QueryParameter(
        name="width",
        ge=1,
        le=VARIANT_MAX_SIDE,
        description="A width in pixels that the picture is fitted into; only an SVG is made larger than it is. Without"
        " `height`, that follows. The operator may allow certain sizes only.",
    ),
]
Height = Annotated[
    int | None,
    QueryParameter(
        name="height",
        ge=1,
        le=VARIANT_MAX_SIDE,
        description="A height in pixels that the picture is fitted into. Without `width`, that follows.",
    ),
]
FitParameter = Annotated[
    Fit | None,
    QueryParameter(
        name="fit",
        description="Into `width` and `height`: `contain`, the default, shows all of the picture; `cover` fills them"
        " and cuts off what stands out.",
    ),
]
Format = Annotated[
    FormatChoice | None,
    QueryParameter(
        name="format",
        description="The format to send. `auto`: AVIF or WebP if `Accept` names it, else as without `format`: a JPEG or"
        " WebP stays one, and anything else becomes a PNG.",
    ),
]
Quality = Annotated[
    int | None,
    QueryParameter(
        name="quality",
        ge=1,
        le=100,
        description=f"How much of the picture a lossy format keeps, 1 to 100; {QUALITY_DEFAULT} if absent. The"
        " operator may allow certain values only.",
    ),
]


def provide_variant_query(  # noqa: PLR0917 -- one for each parameter of the query
    request: Request[Any, Any, Any],
    width: Width = None,  # noqa: ARG001 -- this and the others are for the OpenAPI document
    height: Height = None,  # noqa: ARG001
    fit: FitParameter = None,  # noqa: ARG001
    format: Format = None,  # noqa: A002, ARG001
    quality: Quality = None,  # noqa: ARG001
) -> VariantQuery:
    """Return what the client wants the picture to be made into; raise `DataValidationError`."""
    return VariantQuery.parse(request.query_params) if request.scope["query_string"] else ORIGINAL
