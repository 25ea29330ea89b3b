"""The addresses of the gallery's lists."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from litestar.datastructures import MultiDict

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import ImageScope
from pixyproxy.entrypoints.http.images.filters import ImageQuery, parse_image_query
from pixyproxy.entrypoints.http.paths import GALLERY_PATH

PAGE_SIZE: Final = 60
"""A multiple of all numbers of columns, so that no page ends in a ragged row."""

_SCOPE: Final = "scope"
_MINE: Final = "mine"
_FILTERS: Final = (
    "q", "tag", "author", "model", "media_type", "created_after", "created_before", "visibility", "status", "sort",
    "batch", "derived_from",
)  # fmt: skip
_OWN_FILTERS: Final = frozenset({"visibility", "status"})
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class GalleryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A list that a page shows: its scope, its filters as they were given, and what they mean.

    `refused` are the filters that can't be used, with the reason; the list is without them.
    """

    scope: ImageScope
    given: Sequence[tuple[str, str]]
    refused: Mapping[str, str]
    images: ImageQuery

    @property
    def is_mine(self) -> bool:
        """Whether it is the list of one's own images."""
        return self.scope is ImageScope.OWN

    @property
    def has_filters(self) -> bool:
        """Whether it shows a part of the images only."""
        return any(name != "sort" for name, _ in self.given)

    def values(self, name: str) -> Sequence[str]:
        """Return the values of a filter."""
        return [value for given, value in self.given if given == name]

    def value(self, name: str) -> str:
        """Return the value of a filter, empty without it."""
        return next(iter(self.values(name)), "")

    def query(self, *, cursor: str | None = None, without: tuple[str, str] | None = None, **changes: str) -> str:
        """Return the query of this list's address, from a cursor on, without one filter, or with other values."""
        scope = changes.pop(_SCOPE, _MINE if self.is_mine else "")
        kept = [
            (name, value)
            for name, value in self.given
            if (name, value) != without and name not in changes and (scope == _MINE or name not in _OWN_FILTERS)
        ]
        pairs = [(_SCOPE, scope), *kept, *changes.items(), ("cursor", cursor or "")]
        return urlencode([(name, value) for name, value in pairs if value])

    def path(self, **changes: Any) -> str:
        """Return the path of this list with the query that `query` returns."""
        query = self.query(**changes)
        return f"{GALLERY_PATH}?{query}" if query else GALLERY_PATH


def parse_gallery_query(query: MultiDict[str]) -> GalleryQuery:
    """Return the list that an address means; filters that can't be used are left out and named in `refused`."""
    scope = ImageScope.OWN if query.get(_SCOPE) == _MINE else ImageScope.PUBLIC
    given = [
        (name, value.strip())
        for name in _FILTERS
        for value in query.getall(name, [])
        if value.strip() and (scope is ImageScope.OWN or name not in _OWN_FILTERS)
    ]
    refused: dict[str, str] = {}
    while True:
        try:
            images = parse_image_query(_meant(given, query.get("cursor")), scope)
        except DataValidationError as exc:
            refused[exc.field] = exc.detail
            kept = [(name, value) for name, value in given if name != exc.field]
            if len(kept) == len(given):
                # What can't be used is the cursor, or something that all filters have together.
                query, given = MultiDict([]), []
            else:
                given = kept
        else:
            return GalleryQuery(scope=scope, given=given, refused=refused, images=images)


def _meant(given: Sequence[tuple[str, str]], cursor: str | None) -> MultiDict[str]:
    """Return the parameters of the API's list."""
    meant = [(name, _moment(name, value)) for name, value in given]
    return MultiDict([*meant, ("limit", str(PAGE_SIZE)), *([("cursor", cursor)] if cursor else [])])


def _moment(name: str, value: str) -> str:
    """Return a day as the moment when it begins, or after which it is over, in UTC."""
    if name not in {"created_after", "created_before"} or not _DAY.fullmatch(value):
        return value
    try:
        day = date.fromisoformat(value) + timedelta(days=name == "created_before")
    except (ValueError, OverflowError):
        return value
    return f"{day.isoformat()}T00:00:00Z"
