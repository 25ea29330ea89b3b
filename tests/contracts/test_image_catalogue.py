"""The contract of `ImageCatalogue`."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from pixyproxy.domain.batch import BatchPlace
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageStatus, Visibility
from pixyproxy.domain.listing import ImageFilter, ImageOrder, ImagePosition
from pixyproxy.domain.reference import Reference
from pixyproxy.domain.search import Search
from pixyproxy.domain.tag import Tag
from tests.factories import (
    FailedImageFactory,
    GeneratingImageFactory,
    ImageFactory,
    PendingImageFactory,
    UnknownImageFactory,
)
from tests.images import ANN, BOB, NOON, PUBLIC, SECOND, HostImages, all_pages, guids, newest_first

ANNS = ImageFilter(author=ANN)
START_OF_TIME = datetime(1, 1, 1, tzinfo=UTC)
END_OF_TIME = datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)


def listed_by(wanted: ImageFilter, images: Sequence[Image], order: ImageOrder) -> list[Image]:
    in_order = sorted(images, key=lambda image: (image.created_at, str(image.guid)))
    found = [image for image in in_order if wanted.fits(image)]
    return found[::-1] if order is ImageOrder.NEWEST_FIRST else found


def tagged(*tags: str, **fields: Any) -> ImageFilter:
    return msgspec.structs.replace(PUBLIC, tags=tuple(Tag(tag) for tag in tags), **fields)


def with_words(text: str, **fields: Any) -> ImageFilter:
    return msgspec.structs.replace(PUBLIC, search=Search.parse(text), **fields)


@pytest.fixture(params=["memory", "sqlite", "mysql", "host"])
def images(request: pytest.FixtureRequest) -> HostImages:
    """An empty repository of each kind, the one in docs/embedding.md included."""
    repository: HostImages = request.getfixturevalue(f"{request.param}_images")
    return repository


async def test_images_are_listed_with_all_their_fields(images: HostImages) -> None:
    added = await images.add(ImageFactory.build(author="ann", tags=("a", "b"), usage={"a": 1}, prompt="a b"))
    for wanted in (PUBLIC, ANNS, tagged("b"), with_words("b"), with_words("b", tags=("a", "b"))):
        for order in ImageOrder:
            assert await images.list(wanted, limit=10, order=order) == [added]


async def test_the_newest_comes_first_unless_asked_otherwise(images: HostImages) -> None:
    times = [NOON, NOON + 2 * SECOND, NOON + SECOND, NOON + timedelta(microseconds=1)]
    added = [await images.add(ImageFactory.build(created_at=time, author="ann", tags=("a",))) for time in times]
    expected = [added[1], added[2], added[3], added[0]]
    for wanted in (PUBLIC, ANNS, tagged("a")):
        assert await images.list(wanted, limit=10) == expected
        assert await images.list(wanted, limit=10, order=ImageOrder.OLDEST_FIRST) == expected[::-1]


async def test_images_of_the_same_time_are_ordered_by_guid(images: HostImages) -> None:
    digits = [0, 9, 10, 0x7F, 0x80, 0xFF, 1 << 127, 0xA << 124, (1 << 128) - 1]
    expected = sorted([UUID(int=digit) for digit in digits] + [uuid4() for _ in range(11)], key=str)
    for guid in expected:
        await images.add(ImageFactory.build(guid=guid, created_at=NOON, author="ann", tags=("a",), prompt="b"))
    for wanted in (PUBLIC, ANNS, tagged("a"), with_words("b")):
        assert await guids(images, wanted) == expected[::-1]
        assert await guids(images, wanted, order=ImageOrder.OLDEST_FIRST) == expected


@pytest.mark.parametrize("order", ImageOrder)
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 100])
async def test_pages_follow_each_other_without_gap_or_repetition(
    images: HostImages, limit: int, order: ImageOrder
) -> None:
    times = [NOON, NOON, NOON, NOON + SECOND, NOON + SECOND, NOON - SECOND, NOON]
    added = [
        await images.add(ImageFactory.build(created_at=time, author="ann", tags=("a",), prompt="b")) for time in times
    ]
    for wanted in (PUBLIC, ANNS, tagged("a"), with_words("b")):
        assert await all_pages(images, wanted, limit=limit, order=order) == listed_by(wanted, added, order)


async def test_a_position_need_not_be_of_an_image_that_exists(images: HostImages) -> None:
    added = await images.add(
        ImageFactory.build(guid=UUID(int=5), created_at=NOON, author="ann", tags=("a",), prompt="b")
    )
    newer = [
        ImagePosition(NOON, UUID(int=6)),
        ImagePosition(NOON + timedelta(microseconds=1), UUID(int=0)),
        ImagePosition(END_OF_TIME, UUID(int=0)),
    ]
    older = [
        ImagePosition(NOON, UUID(int=4)),
        ImagePosition(NOON - timedelta(microseconds=1), UUID(int=(1 << 128) - 1)),
        ImagePosition(START_OF_TIME, UUID(int=0)),
    ]
    same = ImagePosition(NOON, UUID(int=5))
    for wanted in (PUBLIC, ANNS, tagged("a"), with_words("b")):
        for position in newer:
            assert await images.list(wanted, limit=10, after=position) == [added]
            assert await images.list(wanted, limit=10, order=ImageOrder.OLDEST_FIRST, after=position) == []
        for position in older:
            assert await images.list(wanted, limit=10, after=position) == []
            assert await images.list(wanted, limit=10, order=ImageOrder.OLDEST_FIRST, after=position) == [added]
        for order in ImageOrder:
            assert await images.list(wanted, limit=10, order=order, after=same) == []


async def test_private_images_are_listed_for_their_author_only(images: HostImages) -> None:
    private = await images.add(ImageFactory.build(author="ann", visibility=Visibility.PRIVATE, created_at=NOON))
    public = await images.add(ImageFactory.build(author="ann", created_at=NOON + SECOND))
    others = await images.add(ImageFactory.build(author="bob", created_at=NOON + 2 * SECOND))
    authorless = await images.add(ImageFactory.build(author=None, created_at=NOON + 3 * SECOND))
    assert await images.list(PUBLIC, limit=10) == [authorless, others, public]
    assert await images.list(ANNS, limit=10) == [public, private]
    assert await images.list(ImageFilter(author=BOB), limit=10) == [others]
    assert await images.list(ImageFilter(author=ANN, visibility=Visibility.PUBLIC), limit=10) == [public]
    assert await images.list(ImageFilter(author=ANN, visibility=Visibility.PRIVATE), limit=10) == [private]


@pytest.mark.parametrize("status", ImageStatus)
async def test_a_list_has_the_images_of_one_state(images: HostImages, status: ImageStatus) -> None:
    batch, parent = UUID(int=1), UUID(int=2)
    fields: dict[str, Any] = {
        "author": "ann",
        "model": "m",
        "tags": ("a", "b"),
        "request": GenerationRequest(prompt="a word", references=(Reference.to_image(parent),)),
        "batch": BatchPlace(guid=batch, position=0, size=10),
    }
    factories = ImageFactory, PendingImageFactory, GeneratingImageFactory, FailedImageFactory, UnknownImageFactory
    added = [
        await images.add(factory.build(created_at=NOON + number * SECOND, visibility=visibility, **fields))
        for number in range(2)
        for visibility in Visibility
        for factory in factories
    ]
    await images.add(PendingImageFactory.build(**{**fields, "author": "bob"}))
    own = ImageFilter(author=ANN, status=status)
    found = newest_first([image for image in added if image.status is status])
    assert len(found) == 4
    for given in (
        {},
        {"model": "m"},
        {"tags": (Tag("a"),)},
        {"tags": (Tag("a"), Tag("b"))},
        {"search": Search.parse("word")},
        {"search": Search.parse("word"), "tags": (Tag("b"),)},
        {"batch": batch},
        {"derived_from": parent},
    ):
        wanted = msgspec.structs.replace(own, **given)
        for order, expected in zip(ImageOrder, (found, found[::-1]), strict=True):
            assert await all_pages(images, wanted, limit=3, order=order) == expected, given
        assert await images.count_listed(wanted) == 4
        for visibility in Visibility:
            shown = msgspec.structs.replace(wanted, visibility=visibility)
            assert await images.list(shown, limit=9) == [image for image in found if image.visibility is visibility]
            assert await images.count_listed(shown) == 2
    for media_type in MediaType:
        wanted = msgspec.structs.replace(own, media_type=media_type)
        assert await images.list(wanted, limit=9) == [image for image in found if wanted.fits(image)]


async def test_models_are_compared_character_by_character(images: HostImages) -> None:
    models = ("m", "M", "m ", " m", "m\u00a0", "m%", "mm", "m\\", "ḿ", "'", "😀" * 255)
    for model in models:
        await images.add(ImageFactory.build(model=model, author="ann"))
    for model in models:
        for wanted in (PUBLIC, ANNS):
            found = await images.list(msgspec.structs.replace(wanted, model=model), limit=20)
            assert [image.model for image in found] == [model]


async def test_the_largest_page_is_served(images: HostImages) -> None:
    added = [await images.add(ImageFactory.build(tags=("a", "b"), prompt="c")) for _ in range(120)]
    for wanted in (PUBLIC, tagged("a"), with_words("c"), with_words("c", tags=("b", "a"))):
        assert await images.list(wanted, limit=1001) == newest_first(added)
        assert await images.count_listed(wanted) == 120


async def test_as_many_tags_as_an_image_has_can_be_asked_for(images: HostImages) -> None:
    tags = tuple(Tag(f"{number:02}" + "😀" * 62) for number in range(32))
    added = await images.add(ImageFactory.build(tags=tags, prompt="a"))
    await images.add(ImageFactory.build(tags=tags[1:], prompt="a"))
    for wanted in (tagged(*tags), tagged(*reversed(tags)), with_words("a", tags=tags)):
        assert await images.list(wanted, limit=10) == [added]
        assert await images.count_listed(wanted) == 1
