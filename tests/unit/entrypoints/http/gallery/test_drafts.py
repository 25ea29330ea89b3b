"""What was typed into the form for new images."""

from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.domain.tag import Tag
from pixyproxy.entrypoints.http.gallery import drafts
from tests.factories import ImageFactory

TAGS = st.lists(st.text(r"ab,\ ", min_size=1).map(str.strip).filter(bool), unique=True, max_size=4)


@given(TAGS)
def test_the_tags_of_an_image_stay_what_they_are_in_the_form(tags: list[str]) -> None:
    image = ImageFactory.build(tags=tuple(map(Tag, tags)))

    text = drafts.Draft.of_image(image, is_own=True).texts["tags"]

    assert drafts._tags_in(text) == tags


def test_a_backslash_alone_is_one() -> None:
    assert drafts._tags_in(r"a\b, c\, d, e\\") == [r"a\b", "c, d", "e\\"]
