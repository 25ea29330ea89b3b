"""Tags: words for finding images."""

from collections.abc import Sequence
from typing import NewType

from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.text import ensure_label, ensure_new_label, normalized_label

TAG_MAX_LENGTH = 64

TAGS_MAX_COUNT = 32

Tag = NewType("Tag", str)


def parse_tag(text: str, field: str = "tag") -> Tag:
    """Return `text` as a tag, normalised by `normalized_label`.

    Raises `DataValidationError` unless it is one line of 1 to 64 characters.
    """
    tag = normalized_label(field, text, TAG_MAX_LENGTH)
    ensure_label(field, tag, TAG_MAX_LENGTH)
    return Tag(tag)


def parse_tags(texts: Sequence[str]) -> tuple[Tag, ...]:
    """Return `texts` as tags, in the order given.

    Raises `DataValidationError` for more than 32 tags, for duplicates, and for one that `parse_tag` refuses.
    """
    _ensure_tags_count(texts)
    tags = tuple(parse_tag(text, f"tags[{position}]") for position, text in enumerate(texts))
    ensure_tags(tags)
    return tags


def parse_new_tags(texts: Sequence[str], *, stored: Sequence[Tag] = ()) -> tuple[Tag, ...]:
    """Return `texts` as an image's new tags; those in `stored`, its present ones, are not checked as new.

    Raises what `parse_tags` raises, and `DataValidationError` for a new tag that `ensure_new_label` refuses.
    """
    tags, known = parse_tags(texts), normalized_tags(stored)
    for position, tag in enumerate(tags):
        if tag not in known:
            ensure_new_label(f"tags[{position}]", tag, TAG_MAX_LENGTH)
    return tags


def ensure_tags(tags: Sequence[str]) -> None:
    """Raise `DataValidationError` for tags that no image was stored with."""
    _ensure_tags_count(tags)
    for position, tag in enumerate(tags):
        ensure_label(f"tags[{position}]", tag, TAG_MAX_LENGTH)
    if len(set(tags)) != len(tags):
        raise DataValidationError("tags", "must not contain duplicates")


def normalized_tags(tags: Sequence[Tag]) -> tuple[Tag, ...]:
    """Return stored tags normalised by `parse_tag`; of those that become equal, the first stays.

    A tag that gets too long stays as it is.
    """
    return tuple(dict.fromkeys(map(_normalized_tag, tags)))


def _normalized_tag(tag: Tag) -> Tag:
    try:
        return parse_tag(tag)
    except DataValidationError:
        return tag


def _ensure_tags_count(tags: Sequence[str]) -> None:
    if len(tags) > TAGS_MAX_COUNT:
        raise DataValidationError("tags", f"must be at most {TAGS_MAX_COUNT}, not {len(tags)}")
