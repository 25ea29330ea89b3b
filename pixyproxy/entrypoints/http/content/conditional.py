"""Conditional requests (RFC 9110, section 13)."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from enum import Enum, auto
from typing import Final

import msgspec
from litestar.types import HTTPScope

from pixyproxy.entrypoints.http.entity_tags import parse_entity_tags

_ASKING: Final = frozenset(
    {
        b"accept",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"range",
    }
)

_MONTH: Final = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DAY: Final = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_TIME: Final = "[0-9]{2}:[0-9]{2}:[0-9]{2}"
_HTTP_DATE: Final = re.compile(
    f"{_DAY}, [0-9]{{2}} {_MONTH} [0-9]{{4}} {_TIME} GMT"
    f"|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, [0-9]{{2}}-{_MONTH}-[0-9]{{2}} {_TIME} GMT"
    f"|{_DAY} {_MONTH} [ 0-9][0-9] {_TIME} [0-9]{{4}}"
)


class Verdict(Enum):
    """The outcome of a request's conditions."""

    PROCEED = auto()
    NOT_MODIFIED = auto()
    FAILED = auto()


class Validators(msgspec.Struct, frozen=True):
    """The validators of a representation: its entity tag, and its time of modification.

    Without a time, conditions on one are ignored: equal times must mean equal bytes.
    """

    entity_tag: str
    last_modified: datetime | None

    @property
    def http_date(self) -> str | None:
        """The time of the last modification, in seconds, as HTTP writes it."""
        return None if self.last_modified is None else _format_http_date(self.last_modified)

    def judge(self, headers: Mapping[str, str]) -> Verdict:
        """Evaluate the conditions of a GET or HEAD, in the order of RFC 9110, section 13.2.2.

        `headers` have lower-case names. A malformed condition is false if it names entity tags, and ignored if it names
        a time.
        """
        if not headers:
            return Verdict.PROCEED
        if (text := headers.get("if-match")) is not None:
            if not self._is_among(text, is_weak_enough=False):
                return Verdict.FAILED
        elif self._is_newer_than(headers.get("if-unmodified-since")) is True:
            return Verdict.FAILED
        if (text := headers.get("if-none-match")) is not None:
            if self._is_among(text, is_weak_enough=True):
                return Verdict.NOT_MODIFIED
        elif self._is_newer_than(headers.get("if-modified-since")) is False:
            return Verdict.NOT_MODIFIED
        return Verdict.PROCEED

    def allow_range(self, if_range: str | None) -> bool:
        """Whether a range may be sent to a client with this `If-Range` (section 13.1.5).

        The exact time counts as much as the entity tag.
        """
        return if_range is None or if_range in {self.entity_tag, self.http_date}

    def _is_newer_than(self, text: str | None) -> bool | None:
        """Whether there was a modification after the time in a header; None if either is unknown."""
        time = parse_http_date(text)
        if time is None or self.last_modified is None:
            return None
        return self.last_modified.replace(microsecond=0) > time

    def _is_among(self, text: str, *, is_weak_enough: bool) -> bool:
        is_weak = self.entity_tag.startswith("W/")
        # Most clients send the stored time back unchanged.
        if text.strip() == "*" or (text == self.entity_tag and (is_weak_enough or not is_weak)):
            return True
        opaque = self.entity_tag.removeprefix("W/")
        return any(
            tag.opaque == opaque and (is_weak_enough or not (is_weak or tag.is_weak)) for tag in parse_entity_tags(text)
        )


def conditions_of(scope: HTTPScope) -> Mapping[str, str]:
    """Return a request's conditional headers; the lines of one are joined to a list."""
    asked: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        if name in _ASKING:
            asked.setdefault(name.decode(), []).append(value.decode("latin-1"))
    return {name: ", ".join(lines) for name, lines in asked.items()}


def _format_http_date(time: datetime) -> str:
    return format_datetime(time.astimezone(UTC), usegmt=True)


def parse_http_date(text: str | None) -> datetime | None:
    """Return the time in UTC of an HTTP-date (RFC 9110, section 5.6.7), or None for other text."""
    if text is None or not _HTTP_DATE.fullmatch(text):
        return None
    try:
        time = parsedate_to_datetime(text)
    except ValueError:
        return None
    # The oldest of the three forms has no zone, and means GMT.
    return time.replace(tzinfo=UTC)
