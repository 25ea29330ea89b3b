"""The filter and the order of a list, and where a page begins."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.domain.content import MediaType
from pixyproxy.domain.errors import DataValidationError
from pixyproxy.domain.image import ImageStatus, Visibility
from pixyproxy.domain.listing import ImageFilter, ImageOrder, ImagePosition, TagFilter
from pixyproxy.domain.search import Search
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import UserName
from tests.factories import (
    ContentInfoFactory,
    FailedImageFactory,
    GeneratingImageFactory,
    ImageFactory,
    PendingImageFactory,
    UnknownImageFactory,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

IMAGE = ImageFactory.build(
    guid=UUID(int=5),
    author="ann",
    visibility=Visibility.PUBLIC,
    tags=("sea", "night"),
    model="gpt-image-2",
    content=ContentInfoFactory.build(media_type=MediaType.PNG),
    created_at=NOON,
    prompt="A lighthouse at dusk",
)

FITTING: dict[str, list[Any]] = {
    "status": [ImageStatus.READY],
    "visibility": [Visibility.PUBLIC],
    "author": [UserName("ann")],
    "tags": [(), ("sea",), ("night",), ("night", "sea"), ("sea", "night")],
    "model": ["gpt-image-2"],
    "media_type": [MediaType.PNG],
    "created_after": [NOON, NOON - MICROSECOND],
    "created_before": [NOON + MICROSECOND],
    "search": [Search.parse("dusk lighthouse")],
}
OTHER: dict[str, list[Any]] = {
    "status": [status for status in ImageStatus if status is not ImageStatus.READY],
    "visibility": [Visibility.PRIVATE],
    "author": [UserName("bob"), UserName("Ann"), UserName("an")],
    "tags": [("Sea",), ("se",), ("seas",), ("sea", "day"), ("sea", "night", "a")],
    "model": ["gpt-image", "GPT-image-2", "gpt-image-2 "],
    "media_type": [MediaType.JPEG],
    "created_after": [NOON + MICROSECOND],
    "created_before": [NOON, NOON - MICROSECOND],
    "search": [Search.parse("dusk lamp"), Search.parse('"lighthouse dusk"')],
}


def test_a_filter_that_asks_for_nothing_lets_every_ready_image_through() -> None:
    assert ImageFilter().fits(IMAGE)
    assert ImageFilter().fits(ImageFactory.build(visibility=Visibility.PRIVATE))
    assert ImageFilter().fits(ImageFactory.build(author=None))


@pytest.mark.parametrize(
    "factory", [PendingImageFactory, GeneratingImageFactory, FailedImageFactory, UnknownImageFactory]
)
def test_an_image_that_is_not_ready_fits_a_filter_of_its_state_alone(factory: type[ImageFactory]) -> None:
    image = factory.build()
    assert image.status is not ImageStatus.READY
    assert not ImageFilter().fits(image)
    assert [status for status in ImageStatus if ImageFilter(status=status).fits(image)] == [image.status]
    assert not ImageFilter(status=image.status, media_type=MediaType.PNG).fits(image)


@pytest.mark.parametrize(("field", "value"), [(field, value) for field in FITTING for value in FITTING[field]])
def test_an_image_fits_filters_of_its_fields(field: str, value: Any) -> None:
    assert ImageFilter(**{field: value}).fits(IMAGE)


@pytest.mark.parametrize(("field", "value"), [(field, value) for field in OTHER for value in OTHER[field]])
def test_an_image_fits_no_other_filter(field: str, value: Any) -> None:
    assert not ImageFilter(**{field: value}).fits(IMAGE)


@pytest.mark.parametrize("wrong", OTHER)
def test_an_image_has_to_fit_everything(wrong: str) -> None:
    fitting = {field: values[-1] for field, values in FITTING.items()}
    assert ImageFilter(**fitting).fits(IMAGE)
    assert not ImageFilter(**{**fitting, wrong: OTHER[wrong][0]}).fits(IMAGE)


def test_an_image_without_an_author_fits_no_author() -> None:
    assert not ImageFilter(author=UserName("ann")).fits(ImageFactory.build(author=None))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"model": "e" + "\u0301" * 31}, "model"),
        ({"tags": ("a", "a")}, "tag"),
        ({"tags": tuple(Tag(str(number)) for number in range(33))}, "tag"),
        ({"tags": ("",)}, "tag"),
        ({"tags": (" a",)}, "tag"),
        ({"tags": ("a\nb",)}, "tag"),
        ({"tags": ("x" * 65,)}, "tag"),
        ({"tags": ("\ud800",)}, "tag"),
        ({"model": ""}, "model"),
        ({"model": "x" * 256}, "model"),
        ({"model": "a\0"}, "model"),
        ({"model": "\ud800"}, "model"),
        ({"created_after": NOON.replace(tzinfo=None)}, "created_after"),
        ({"created_before": NOON.astimezone(timezone(timedelta(hours=1)))}, "created_before"),
    ],
)
def test_a_filter_that_breaks_a_rule_is_refused(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(DataValidationError) as caught:
        ImageFilter(**fields)
    assert caught.value.field == named


@pytest.mark.parametrize("author", ["", " ann", "a\nb", "a:b", "x" * 65])
def test_a_filter_for_an_invalid_user_name_is_refused(author: str) -> None:
    with pytest.raises(DataValidationError):
        ImageFilter(author=UserName(author))


def test_a_filter_may_be_as_large_as_an_image() -> None:
    tags = tuple(Tag(f"{number:02}" + "😀" * 62) for number in range(32))
    wanted = ImageFilter(tags=tags, model="😀" * 255, author=UserName("😀" * 64))
    assert wanted.fits(ImageFactory.build(tags=tags, model="😀" * 255, author="😀" * 64))


@pytest.mark.parametrize("prefix", ["x" * 65, "a\0", "\ud800"])
def test_a_prefix_that_no_tag_can_have_is_refused(prefix: str) -> None:
    with pytest.raises(DataValidationError) as caught:
        TagFilter(prefix=prefix)
    assert caught.value.field == "prefix"


@pytest.mark.parametrize("prefix", ["", "%", " ", "\n", "x" * 64])
def test_any_other_text_may_be_a_prefix(prefix: str) -> None:
    assert TagFilter(prefix=prefix).prefix == prefix


def test_each_order_is_the_reverse_of_the_other() -> None:
    for order in ImageOrder:
        assert order.reversed is not order
        assert order.reversed.reversed is order


PLACES = st.builds(
    ImagePosition,
    st.integers(0, 2).map(lambda number: NOON + number * MICROSECOND),
    st.integers(0, 3).map(lambda number: UUID(int=number << 126)) | st.uuids(),
)


@given(PLACES, PLACES)
def test_positions_are_ordered_by_time_and_then_by_the_text_of_the_guid(one: ImagePosition, two: ImagePosition) -> None:
    keys = [(place.created_at, str(place.guid)) for place in (one, two)]
    assert (one < two) == (keys[0] < keys[1])
    assert (one > two) == (keys[0] > keys[1])


def test_an_image_stands_at_its_time_and_guid() -> None:
    assert ImagePosition.of(IMAGE) == ImagePosition(NOON, UUID(int=5))
