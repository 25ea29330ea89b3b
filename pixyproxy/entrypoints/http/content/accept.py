"""The `Accept` header."""

import re
from collections.abc import Mapping
from typing import Final

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"  # noqa: S105 -- RFC 9110's word
_QUOTED: Final = r'"(?:[^"\\]|\\.)*+"'
# Possessive quantifiers keep matching linear. Not on groups, where they are broken in Python before 3.11.5 (Debian 12).
_PARAMETER: Final = re.compile(rf"[ \t]*+;[ \t]*+(?:({_TOKEN})=({_TOKEN}|{_QUOTED}))?")
_ELEMENT: Final = re.compile(
    rf"[ \t]*+(?:(?P<type>{_TOKEN})/(?P<subtype>{_TOKEN})(?P<parameters>(?:{_PARAMETER.pattern})*))?[ \t]*+(?:,|\Z)"
)
_WEIGHT: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


def parse_accept(text: str) -> Mapping[str, int]:
    """Return the weight in thousandths of each media range in an `Accept` header (RFC 9110, section 12.5.1).

    Ranges are in lower case. Ranges with parameters are left out: they ask for more than a media type. A malformed
    header gives no ranges.
    """
    weights: dict[str, int] = {}
    position = 0
    while position < len(text):
        element = _ELEMENT.match(text, position)
        if element is None:
            return {}
        position = element.end()
        if element["type"] is None:
            # A list may have empty elements (section 5.6.1).
            continue
        if element["type"] == "*" and element["subtype"] != "*":
            return {}
        parameters = {name.lower(): value for name, value in _PARAMETER.findall(element["parameters"]) if name}
        weight = parameters.pop("q", "1")
        if not _WEIGHT.fullmatch(weight):
            return {}
        if not parameters:
            weights[f"{element['type']}/{element['subtype']}".lower()] = round(1000 * float(weight))
    return weights


def weight_of(media_type: str, weights: Mapping[str, int], *, by_name: bool = False) -> int:
    """Return the weight that the most specific matching range gives a media type; 0 if none matches.

    With `by_name`, only a range that names the whole media type matches.
    """
    general, _, _ = media_type.partition("/")
    ranges = (media_type,) if by_name else (media_type, f"{general}/*", "*/*")
    return next((weights[wanted] for wanted in ranges if wanted in weights), 0)
