"""The version of an image as an entity tag (RFC 9110, section 8.8.3), and what `If-Match` asks for."""

import re
from collections.abc import Collection, Sequence

from pixyproxy.domain.errors import DataValidationError, PreconditionRequiredError
from pixyproxy.domain.image import Image

# What a regular expression has taken it never gives back here (`++`), so that no header makes it slow.
_ENTITY_TAG = re.compile(r'(?P<weak>W/)?"(?P<opaque>[\x21\x23-\x7e\x80-\xff]*+)"')
# Elements stand between commas, and some may be empty (RFC 9110, section 5.6.1).
_LIST = re.compile(r'(?:[ \t,]++|(?:W/)?"[\x21\x23-\x7e\x80-\xff]*+"(?=[ \t]*+(?:,|$)))++')


def entity_tag(image: Image) -> str:
    """Return the strong entity tag of the image's details; it changes whenever they do."""
    return f'"{image.version}"'


def parse_if_match(lines: Sequence[str], *, is_required: bool) -> Collection[int] | None:
    """Return the versions that the lines of the header `If-Match` name, or None if any version will do.

    A weak entity tag matches nothing (RFC 9110, section 13.1.1), nor does one that is not PixyProxy's. Raises
    `DataValidationError` for a malformed header, and `PreconditionRequiredError` for a missing one if it is required.
    """
    text = ",".join(lines).strip()
    if not lines and is_required:
        raise PreconditionRequiredError("Send the image's ETag as If-Match, or `*` to change it whatever it is by now.")
    if not lines or text == "*":
        return None
    found = list(_ENTITY_TAG.finditer(text))
    if not found or not _LIST.fullmatch(text):
        raise DataValidationError("If-Match", 'must be `*` or entity tags in double quotes, such as "3"')
    strong = [match["opaque"] for match in found if not match["weak"]]
    return {int(opaque) for opaque in strong if re.fullmatch(r"[1-9][0-9]{0,9}", opaque, re.ASCII)}
