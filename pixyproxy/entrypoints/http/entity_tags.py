"""Entity tags (RFC 9110, section 8.8.3)."""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

# Possessive quantifiers (`++`) keep matching linear.
_ENTITY_TAG: Final = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*+")')
# Commas separate the elements, which may be empty (RFC 9110, section 5.6.1).
_LIST: Final = re.compile(r'(?:[ \t,]++|(?:W/)?"[\x21\x23-\x7e\x80-\xff]*+"(?=[ \t]*+(?:,|$)))++')


class EntityTag(msgspec.Struct, frozen=True):
    """The opaque part of an entity tag, with its quotes, and whether it is weak."""

    opaque: str
    is_weak: bool


def parse_entity_tags(text: str) -> Sequence[EntityTag]:
    """Return the entity tags of a list such as `If-Match`'s, none if it is malformed."""
    if not _LIST.fullmatch(text):
        return ()
    return [EntityTag(found[2], is_weak=bool(found[1])) for found in _ENTITY_TAG.finditer(text)]
