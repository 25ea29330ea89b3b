"""Conditional requests (RFC 9110, section 13): whether a client that has seen a representation needs it again."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from enum import Enum, auto

import msgspec

from pixyproxy.entrypoints.http.entity_tags import parse_entity_tags


class Verdict(Enum):
    """What the conditions of a request come to."""

    PROCEED = auto()
    NOT_MODIFIED = auto()
    FAILED = auto()


class Validators(msgspec.Struct, frozen=True):
    """What tells one state of a representation from another: its strong entity tag, and when it was last modified."""

    entity_tag: str
    last_modified: datetime

    @property
    def http_date(self) -> str:
        """The time of the last modification, in seconds, as HTTP writes it."""
        return format_datetime(self.last_modified, usegmt=True)

    def judge(self, headers: Mapping[str, str]) -> Verdict:
        """Judge a GET or HEAD by its headers, with names in lower case, in the order of RFC 9110, section 13.2.2.

        A condition that is malformed is not met where it names entity tags, and is not there where it names a time.
        """
        if (text := headers.get("if-match")) is not None:
            if not self._is_among(text, is_weak_enough=False):
                return Verdict.FAILED
        elif (time := parse_http_date(headers.get("if-unmodified-since"))) is not None and self._is_newer_than(time):
            return Verdict.FAILED
        if (text := headers.get("if-none-match")) is not None:
            if self._is_among(text, is_weak_enough=True):
                return Verdict.NOT_MODIFIED
        elif (time := parse_http_date(headers.get("if-modified-since"))) is not None and not self._is_newer_than(time):
            return Verdict.NOT_MODIFIED
        return Verdict.PROCEED

    def allow_range(self, if_range: str | None) -> bool:
        """Whether a part may be sent to a client that has the rest of what `if_range` names (section 13.1.5).

        The bytes under one guid never change, so that a time is as good as an entity tag if it is the very one.
        """
        return if_range in {None, self.entity_tag, self.http_date}

    def _is_newer_than(self, time: datetime) -> bool:
        return self.last_modified.replace(microsecond=0) > time

    def _is_among(self, text: str, *, is_weak_enough: bool) -> bool:
        if text.strip() == "*":
            return True
        return any(
            tag.opaque == self.entity_tag and (is_weak_enough or not tag.is_weak) for tag in parse_entity_tags(text)
        )


def parse_http_date(text: str | None) -> datetime | None:
    """Return the time in UTC that an HTTP-date names (RFC 9110, section 5.6.7), or None for anything else."""
    if text is None:
        return None
    try:
        time = parsedate_to_datetime(text)
        # The oldest of the three formats has no zone, and means GMT.
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
