"""The `Prefer` header (RFC 7240): how long to wait, and whether to count."""

import re
from collections.abc import Iterator, Sequence

import msgspec

from pixyproxy.entrypoints.http.auth.authentication import APIRequest

# Possessive quantifiers (`++`) keep matching linear.
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
# Elements stand between commas (RFC 9110, 5.6.1); a quote that is never closed swallows the rest.
_ELEMENT = re.compile(r'(?:"(?:[^"\\]|\\.?)*+"?|[^",])++', re.DOTALL)
# A token with an optional value (RFC 9110, 5.6.2 and 5.6.4), and parameters, which are ignored.
_PREFERENCE = re.compile(
    rf"""\s*+(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]++)\s*+(?:=\s*+(?P<value>{_QUOTED}|[^\s",;]*+)\s*+)?"""
    rf"""(?:;(?:{_QUOTED}|[^"])*+)?""",
    re.DOTALL,
)


class Preferences(msgspec.Struct, frozen=True, kw_only=True):
    """A client's preferences.

    For a creation: answer at once (`respond_async`), or after `wait` seconds at the latest. For a list: include the
    exact number of all its images (`count_exact`).
    """

    respond_async: bool = False
    wait: int | None = None
    count_exact: bool = False

    @property
    def seconds(self) -> float | None:
        """The seconds to wait for an image before answering without it; None if the client names none."""
        if self.wait is not None:
            return float(self.wait)
        return 0.0 if self.respond_async else None

    @property
    def applied(self) -> str:
        """The `Preference-Applied` header of a creation."""
        wait = None if self.wait is None else f"wait={self.wait}"
        return ", ".join(filter(None, ["respond-async" if self.respond_async else None, wait]))


def preferences_of(request: APIRequest) -> Preferences:
    """Return the preferences in a request's `Prefer` headers."""
    return parse_preferences(request.headers.getall("prefer", []))


def parse_preferences(lines: Sequence[str]) -> Preferences:
    """Parse the lines of the `Prefer` header.

    Ignores unknown and malformed preferences, and repeated ones after the first (RFC 7240, section 2).
    """
    preferences = dict(reversed(list(_preferences(",".join(lines)))))
    wait = preferences.get("wait", "")
    return Preferences(
        respond_async=preferences.get("respond-async") == "",
        wait=min(int(wait), 86_400) if re.fullmatch(r"[0-9]{1,9}", wait) else None,
        count_exact=preferences.get("count") == "exact",
    )


def _preferences(text: str) -> Iterator[tuple[str, str]]:
    for element in _ELEMENT.findall(text):
        if match := _PREFERENCE.fullmatch(element):
            yield match["name"].lower(), (match["value"] or "").strip('"')
