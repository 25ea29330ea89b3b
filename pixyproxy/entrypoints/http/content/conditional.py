"""Conditional requests (RFC 9110, section 13): whether a client that has seen a representation needs it again."""

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
    """What the conditions of a request come to."""

    PROCEED = auto()
    NOT_MODIFIED = auto()
    FAILED = auto()


class Validators(msgspec.Struct, frozen=True):
    """What tells one state of a representation from another: its entity tag, and when it was last modified.

    There is no such time, and conditions that name one are passed over, where equal times do not mean equal bytes.
    """

    entity_tag: str
    last_modified: datetime | None

    @property
    def http_date(self) -> str | None:
        """The time of the last modification, in seconds, as HTTP writes it."""
        return None if self.last_modified is None else _format_http_date(self.last_modified)

    def judge(self, headers: Mapping[str, str]) -> Verdict:
        """Judge a GET or HEAD by its headers, with names in lower case, in the order of RFC 9110, section 13.2.2.

        A condition that is malformed is not met where it names entity tags, and is not there where it names a time.
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
        """Whether a part may be sent to a client that has the rest of what `if_range` names (section 13.1.5).

        The very time is as good as the entity tag.
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
        # Most have stored it once, and send it back as it is.
        if text.strip() == "*" or (text == self.entity_tag and (is_weak_enough or not is_weak)):
            return True
        opaque = self.entity_tag.removeprefix("W/")
        return any(
            tag.opaque == opaque and (is_weak_enough or not (is_weak or tag.is_weak)) for tag in parse_entity_tags(text)
        )


def conditions_of(scope: HTTPScope) -> Mapping[str, str]:
    """Return those of the request's headers that say what is wanted; what comes in several lines is one list."""
    asked: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        if name in _ASKING:
            asked.setdefault(name.decode(), []).append(value.decode("latin-1"))
    return {name: ", ".join(lines) for name, lines in asked.items()}


def _format_http_date(time: datetime) -> str:
    return format_datetime(time.astimezone(UTC), usegmt=True)


def parse_http_date(text: str | None) -> datetime | None:
    """Return the time in UTC that an HTTP-date names (RFC 9110, section 5.6.7), or None for anything else."""
    if text is None or not _HTTP_DATE.fullmatch(text):
        return None
    try:
        time = parsedate_to_datetime(text)
    except ValueError:
        return None
    # The oldest of the three forms has no zone, and means GMT.
    return time.replace(tzinfo=UTC)
