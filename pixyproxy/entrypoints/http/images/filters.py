"""What the query of a list asks for."""

import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

import msgspec
from litestar import Request
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from pixyproxy.domain.content import MediaType
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import MODEL_MAX_LENGTH, Visibility
from pixyproxy.domain.listing import ImageFilter, ImageOrder, parse_tag_prefix
from pixyproxy.domain.search import SEARCH_MAX_LENGTH, Search
from pixyproxy.domain.tag import TAG_MAX_LENGTH, parse_tag
from pixyproxy.domain.user import parse_user_name
from pixyproxy.entrypoints.http.images.pages import ImageQuery
from pixyproxy.entrypoints.http.images.parameters import PreferCount, Sort
from pixyproxy.entrypoints.http.images.preferences import parse_preferences

T = TypeVar("T")

# A `+` that was not written as `%2B` is a space in a query.
_SPACE_FOR_PLUS: Final = re.compile(r"(?<=[0-9]) (?=[0-9]{2}:[0-9]{2}\Z)")

_PAGING: Final = frozenset({"limit", "cursor"})
_FILTERS: Final = frozenset(
    {"tag", "author", "model", "media_type", "created_after", "created_before", "q", "sort", *_PAGING}
)

Tags = Annotated[
    list[str] | None,
    QueryParameter(name="tag", description="Only images with this tag; repeated, only those with all of the tags."),
]
Author = Annotated[
    str | None,
    QueryParameter(name="author", description="Only images that this user asked for."),
]
Model = Annotated[
    str | None,
    QueryParameter(name="model", max_length=MODEL_MAX_LENGTH, description="Only images that this model has drawn."),
]
OfMediaType = Annotated[
    str | None, QueryParameter(name="media_type", description="Only images whose content has this media type.")
]
CreatedAfter = Annotated[
    str | None,
    QueryParameter(name="created_after", description="Only images asked for at this time (RFC 3339) or later."),
]
CreatedBefore = Annotated[
    str | None,
    QueryParameter(name="created_before", description="Only images asked for before this time (RFC 3339)."),
]
Words = Annotated[
    str | None,
    QueryParameter(
        name="q",
        min_length=1,
        max_length=SEARCH_MAX_LENGTH,
        description='Only images whose prompts have all of these words. Double quotes hold a phrase together: `"red'
        ' fox"`; a `*` stands for any end of a word: `light*`. Case and punctuation make no difference, nor do accents'
        " of Latin, Greek, Cyrillic (but for `й`), Hebrew and Arabic letters; `lodz` finds `Łódź`. In other scripts"
        " marks are letters.",
    ),
]
OfVisibility = Annotated[
    Visibility | None, QueryParameter(name="visibility", description="Only images of this visibility.")
]
Prefix = Annotated[
    str,
    QueryParameter(name="prefix", max_length=TAG_MAX_LENGTH, description="Only tags that begin with this."),
]


def provide_image_filter(  # noqa: PLR0917 -- one for each parameter of the query
    tag: Tags = None,
    author: Author = None,
    model: Model = None,
    media_type: OfMediaType = None,
    created_after: CreatedAfter = None,
    created_before: CreatedBefore = None,
    q: Words = None,
) -> ImageFilter:
    """Return which images are wanted; raise `DataValidationError`."""
    return ImageFilter(
        author=_parsed("author", author, parse_user_name),
        tags=tuple(dict.fromkeys(map(parse_tag, tag or ()))),
        model=model,
        media_type=_parsed("media_type", media_type, _parse_media_type),
        created_after=_parsed("created_after", created_after, _parse_time),
        created_before=_parsed("created_before", created_before, _parse_time),
        search=_parsed("q", q, Search.parse),
    )


def provide_public_query(
    request: Request[Any, Any, Any],
    image_filter: NamedDependency[ImageFilter],
    sort: Sort = ImageOrder.NEWEST_FIRST,
    prefer: PreferCount = None,  # noqa: ARG001 -- for the OpenAPI document
) -> ImageQuery:
    """Return which public images are wanted; raise `DataValidationError` for a parameter that nobody knows."""
    return _query(request, image_filter, sort, _FILTERS)


def provide_private_query(
    request: Request[Any, Any, Any],
    image_filter: NamedDependency[ImageFilter],
    visibility: OfVisibility = None,
    sort: Sort = ImageOrder.NEWEST_FIRST,
    prefer: PreferCount = None,  # noqa: ARG001 -- for the OpenAPI document
) -> ImageQuery:
    """Return which of one's own images are wanted; raise `DataValidationError` for a parameter that nobody knows."""
    wanted = msgspec.structs.replace(image_filter, visibility=visibility)
    return _query(request, wanted, sort, _FILTERS | {"visibility"})


def provide_tag_prefix(request: Request[Any, Any, Any], prefix: Prefix = "") -> str:
    """Return how the wanted tags begin; raise `DataValidationError` for a parameter that nobody knows."""
    _refuse_unknown(request, _PAGING | {"prefix"})
    return parse_tag_prefix(prefix)


def _query(
    request: Request[Any, Any, Any], wanted: ImageFilter, order: ImageOrder, known: Collection[str]
) -> ImageQuery:
    _refuse_unknown(request, known)
    preferences = parse_preferences(request.headers.getall("prefer", []))
    return ImageQuery(wanted=wanted, order=order, count_exact=preferences.count_exact)


def _refuse_unknown(request: Request[Any, Any, Any], known: Collection[str]) -> None:
    # What was meant to narrow a list down must not be passed over: the list would show what nobody asked for.
    for name, values in request.query_params.dict().items():
        if name not in known:
            raise DataValidationError(name, "is no parameter of this list")
        if len(values) > 1 and name != "tag":
            raise DataValidationError(name, "must be given once")


def _parsed(field: str, text: str | None, parse: Callable[[str], T]) -> T | None:
    try:
        return None if text is None else parse(text)
    except DataValidationError as exc:
        raise DataValidationError(field, exc.detail) from None


def _parse_time(text: str) -> datetime:
    try:
        time: datetime = msgspec.convert(_SPACE_FOR_PLUS.sub("+", text), Annotated[datetime, msgspec.Meta(tz=True)])
        return time.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        detail = "must be a time with its offset as RFC 3339 writes it, such as 2026-11-21T10:00:00Z"
        raise DataValidationError("time", f"{detail} or 2026-11-21T11:00:00%2B01:00") from None


def _parse_media_type(text: str) -> MediaType:
    try:
        return MediaType(text.replace(" ", "+"))
    except ValueError:
        raise DataValidationError("media_type", f"must be one of {', '.join(MediaType)}") from None
