"""Pages of tags."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application import ListTags
from pixyproxy.domain.errors import DataValidationError, UnauthorizedError
from pixyproxy.domain.image import ImageScope, Visibility
from pixyproxy.domain.listing import TagCount, TagCursor, TagPage
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import ANONYMOUS, Principal
from tests import paging_strategies
from tests.factories import FailedImageFactory, ImageFactory


@pytest.fixture
def list_tags(images: InMemoryImageRepository) -> ListTags:
    return ListTags(tags=images)


def counts(**numbers: int) -> list[TagCount]:
    return [TagCount(Tag(tag), number) for tag, number in numbers.items()]


async def test_without_images_there_are_no_tags(list_tags: ListTags, ann: Principal) -> None:
    for principal, scope in ((ANONYMOUS, ImageScope.PUBLIC), (ann, ImageScope.OWN)):
        assert await list_tags(principal, scope) == TagPage(tags=[])


async def test_the_tags_of_public_images_and_of_ones_own_are_listed_apart(
    list_tags: ListTags, images: InMemoryImageRepository, ann: Principal, bob: Principal
) -> None:
    await images.add(ImageFactory.build(author=ann.name, tags=("a", "b"), visibility=Visibility.PRIVATE))
    await images.add(ImageFactory.build(author=ann.name, tags=("b", "c")))
    await images.add(ImageFactory.build(author=bob.name, tags=("c",)))
    await images.add(FailedImageFactory.build(author=ann.name, tags=("d",)))
    for principal in (ANONYMOUS, ann, bob):
        assert (await list_tags(principal)).tags == counts(b=1, c=2)
    assert (await list_tags(ann, ImageScope.OWN)).tags == counts(a=1, b=2, c=1)
    assert (await list_tags(bob, ImageScope.OWN)).tags == counts(c=1)


async def test_tags_are_listed_by_prefix(list_tags: ListTags, images: InMemoryImageRepository) -> None:
    await images.add(ImageFactory.build(tags=("sea", "sky", "Sea", "se%", "a sea")))
    assert (await list_tags(ANONYMOUS, prefix="se")).tags == [TagCount(Tag("se%"), 1), TagCount(Tag("sea"), 1)]
    assert (await list_tags(ANONYMOUS, prefix="x")).tags == []


async def test_following_the_pages_to_and_fro_shows_the_tags_each_time(
    list_tags: ListTags, images: InMemoryImageRepository
) -> None:
    await images.add(ImageFactory.build(tags=tuple("gfedcba")))
    first = await list_tags(ANONYMOUS, limit=3)
    assert first == TagPage(tags=counts(a=1, b=1, c=1), next=TagCursor(Tag("c")))
    second = await list_tags(ANONYMOUS, limit=3, cursor=first.next)
    assert second == TagPage(
        tags=counts(d=1, e=1, f=1), next=TagCursor(Tag("f")), previous=TagCursor(Tag("d"), is_backward=True)
    )
    third = await list_tags(ANONYMOUS, limit=3, cursor=second.next)
    assert third == TagPage(tags=counts(g=1), previous=TagCursor(Tag("g"), is_backward=True))
    assert await list_tags(ANONYMOUS, limit=3, cursor=third.previous) == second
    assert await list_tags(ANONYMOUS, limit=3, cursor=second.previous) == first
    assert (await list_tags(ANONYMOUS, limit=2, cursor=third.previous)).tags == counts(e=1, f=1)


async def test_100_tags_make_a_page_unless_asked_otherwise(
    list_tags: ListTags, images: InMemoryImageRepository
) -> None:
    for number in range(101):
        await images.add(ImageFactory.build(tags=(f"{number:03}",)))
    assert len((await list_tags(ANONYMOUS)).tags) == 100
    assert len((await list_tags(ANONYMOUS, limit=1000)).tags) == 101


@pytest.mark.parametrize("limit", [-1, 0, 1001])
async def test_other_limits_than_1_to_1000_are_refused(list_tags: ListTags, limit: int) -> None:
    with pytest.raises(DataValidationError) as caught:
        await list_tags(ANONYMOUS, limit=limit)
    assert caught.value.field == "limit"


async def test_a_prefix_that_no_tag_can_have_is_refused(list_tags: ListTags) -> None:
    with pytest.raises(DataValidationError) as caught:
        await list_tags(ANONYMOUS, prefix="x" * 65)
    assert caught.value.field == "prefix"


async def test_the_tags_of_ones_own_images_need_a_login(list_tags: ListTags) -> None:
    with pytest.raises(UnauthorizedError):
        await list_tags(ANONYMOUS, ImageScope.OWN)


@settings(max_examples=200)
@given(paging_strategies.pagings(), st.sampled_from(["", "se", "x"]))
async def test_each_tag_is_shown_exactly_once_while_others_write(paging: paging_strategies.Paging, prefix: str) -> None:
    await paging_strategies.follow_tags(InMemoryImageRepository(), paging, prefix)
