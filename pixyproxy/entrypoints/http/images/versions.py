"""Image versions as entity tags (RFC 9110, section 8.8.3), and `If-Match`."""

import re
from collections.abc import Collection, Sequence
from typing import Final

from pixyproxy.domain.errors import DataValidationError, PreconditionRequiredError
from pixyproxy.domain.image import Image
from pixyproxy.entrypoints.http.auth.authentication import APIRequest
from pixyproxy.entrypoints.http.entity_tags import parse_entity_tags

# The version, and a digest of the details: changes by SQL keep the version.
_OPAQUE: Final = re.compile(r"([1-9][0-9]{0,9})(-[0-9a-f]{16})?", re.ASCII)


def tag_prefix(image: Image) -> str:
    """Return the prefix of the entity tags of an image's details."""
    return f"{image.version}-"


def versions_of(request: APIRequest, *, is_required: bool) -> Collection[int] | None:
    """Return the versions that a request may change, None for any; raise what `parse_if_match` raises."""
    return parse_if_match(request.headers.getall("if-match", []), is_required=is_required)


def parse_if_match(lines: Sequence[str], *, is_required: bool) -> Collection[int] | None:
    """Return the versions in the lines of the `If-Match` header, or None for any version.

    Weak entity tags match nothing (RFC 9110, section 13.1.1), nor do tags that are not PixyProxy's. Raises
    `DataValidationError` for a malformed header, and `PreconditionRequiredError` for a missing one if it is required.
    """
    text = ",".join(lines).strip()
    if not lines and is_required:
        raise PreconditionRequiredError("Send the image's ETag as If-Match, or `*` to change it whatever it is by now.")
    if not lines or text == "*":
        return None
    found = parse_entity_tags(text)
    if not found:
        raise DataValidationError("If-Match", 'must be `*` or entity tags in double quotes, such as "3"')
    strong = [_OPAQUE.fullmatch(tag.opaque[1:-1]) for tag in found if not tag.is_weak]
    return {int(match[1]) for match in strong if match}
