"""The query parameters of lists."""

import re
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar
from uuid import UUID

import msgspec
from litestar.datastructures import MultiDict
from litestar.openapi.spec import Parameter

from pixyproxy.application.pages import LIMIT_DEFAULT
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import ImageScope, ImageStatus, Visibility
from pixyproxy.domain.listing import ImageFilter, ImageOrder, parse_tag_prefix
from pixyproxy.domain.search import Search
from pixyproxy.domain.tag import parse_tag
from pixyproxy.domain.user import parse_user_name
from pixyproxy.entrypoints.http.images.parameters import (
    PRIVATE_LIST_PARAMETERS,
    PUBLIC_LIST_PARAMETERS,
    TAG_LIST_PARAMETERS,
)
from pixyproxy.entrypoints.http.query import ensure_known, parse_number, parse_word, single

Query = MultiDict[str]
T = TypeVar("T")

# In a query, a `+` that is not escaped as `%2B` is a space.
_SPACE_FOR_PLUS: Final = re.compile(r"(?<=[0-9]) (?=[0-9]{2}:[0-9]{2}\Z)")


def _in_query(parameters: Iterable[Parameter]) -> Collection[str]:
    return frozenset(parameter.name for parameter in parameters if parameter.param_in == "query")


_KNOWN: Final = {
    ImageScope.PUBLIC: _in_query(PUBLIC_LIST_PARAMETERS),
    ImageScope.OWN: _in_query(PRIVATE_LIST_PARAMETERS),
}
_KNOWN_OF_TAGS: Final = _in_query(TAG_LIST_PARAMETERS)


class ImageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The filter, order and page of a list of images."""

    wanted: ImageFilter
    order: ImageOrder
    limit: int
    cursor: str | None


class TagQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The prefix and page of a list of tags."""

    prefix: str
    limit: int
    cursor: str | None


def parse_image_query(query: Query, scope: ImageScope) -> ImageQuery:
    """Parse the query of a list of images; raise `DataValidationError`, even for unknown parameters."""
    ensure_known(query, _KNOWN[scope])
    wanted = ImageFilter(
        status=_parsed("status", query, lambda text: parse_word("status", text, ImageStatus)) or ImageStatus.READY,
        visibility=_parsed("visibility", query, lambda text: parse_word("visibility", text, Visibility)),
        author=_parsed("author", query, parse_user_name),
        tags=tuple(dict.fromkeys(map(parse_tag, query.getall("tag", ())))),
        model=single(query, "model"),
        media_type=_parsed("media_type", query, _parse_media_type),
        created_after=_parsed("created_after", query, _parse_time),
        created_before=_parsed("created_before", query, _parse_time),
        search=_parsed("q", query, Search.parse),
        batch=_parsed("batch", query, _parse_guid),
        derived_from=_parsed("derived_from", query, _parse_guid),
    )
    order = _parsed("sort", query, lambda text: parse_word("sort", text, ImageOrder)) or ImageOrder.NEWEST_FIRST
    return ImageQuery(wanted=wanted, order=order, limit=_limit(query), cursor=single(query, "cursor"))


def parse_tag_query(query: Query) -> TagQuery:
    """Parse the query of a list of tags; raise `DataValidationError`, even for unknown parameters."""
    ensure_known(query, _KNOWN_OF_TAGS)
    prefix = parse_tag_prefix(single(query, "prefix") or "")
    return TagQuery(prefix=prefix, limit=_limit(query), cursor=single(query, "cursor"))


def _limit(query: Query) -> int:
    limit = _parsed("limit", query, lambda text: parse_number("limit", text))
    return LIMIT_DEFAULT if limit is None else limit


def _parsed(field: str, query: Query, parse: Callable[[str], T]) -> T | None:
    text = single(query, field)
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


def _parse_guid(text: str) -> UUID:
    try:
        return msgspec.convert(text, UUID)
    except msgspec.ValidationError:
        raise DataValidationError("guid", "must be a guid, such as 0b9a2e1e-5c0e-4f5e-9d55-3f6f4a1c2d3e") from None


def _parse_media_type(text: str) -> MediaType:
    try:
        return MediaType(text.replace(" ", "+"))
    except ValueError:
        raise DataValidationError("media_type", f"must be one of {', '.join(MediaType)}") from None
