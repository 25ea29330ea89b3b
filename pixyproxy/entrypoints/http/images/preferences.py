"""The `Prefer` header of RFC 7240: how long to wait, and whether to count."""

import re
from collections.abc import Iterator, Sequence

import msgspec

from pixyproxy.entrypoints.http.auth.authentication import APIRequest

# What a regular expression has taken it never gives back here (`++`), so that no header makes it slow.
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
# Elements stand between commas (RFC 9110, 5.6.1); a quote that is never closed swallows the rest.
_ELEMENT = re.compile(r'(?:"(?:[^"\\]|\\.?)*+"?|[^",])++', re.DOTALL)
# A token with or without a value (RFC 9110, 5.6.2 and 5.6.4), and parameters, which mean nothing here.
_PREFERENCE = re.compile(
    rf"""\s*+(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]++)\s*+(?:=\s*+(?P<value>{_QUOTED}|[^\s",;]*+)\s*+)?"""
    rf"""(?:;(?:{_QUOTED}|[^"])*+)?""",
    re.DOTALL,
)


class Preferences(msgspec.Struct, frozen=True, kw_only=True):
    """How a client wants to be answered.

    A creation at once (`respond_async`), or after `wait` seconds at the latest; a list with the exact number of all
    that it could show (`count_exact`).
    """

    respond_async: bool = False
    wait: int | None = None
    count_exact: bool = False

    @property
    def seconds(self) -> float | None:
        """How many seconds to wait for an image before answering without it; None if the client has not said."""
        if self.wait is not None:
            return float(self.wait)
        return 0.0 if self.respond_async else None

    @property
    def applied(self) -> str:
        """The value of the header `Preference-Applied` of a creation."""
        wait = None if self.wait is None else f"wait={self.wait}"
        return ", ".join(filter(None, ["respond-async" if self.respond_async else None, wait]))


def preferences_of(request: APIRequest) -> Preferences:
    """Return what a request's `Prefer` headers ask for."""
    return parse_preferences(request.headers.getall("prefer", []))


def parse_preferences(lines: Sequence[str]) -> Preferences:
    """Return what the lines of the header `Prefer` ask for.

    What is unknown or malformed is ignored, and of two with the same name the second (RFC 7240, section 2).
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
