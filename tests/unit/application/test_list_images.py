"""Pages of images."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings

from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application import ListImages
from pixyproxy.domain.errors import DataValidationError, OperationNotAllowedError, UnauthorizedError
from pixyproxy.domain.failure import Failure
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.generation_result import GenerationResult
from pixyproxy.domain.image import Image, ImageScope, ImageStatus, Visibility
from pixyproxy.domain.listing import ImageCursor, ImageFilter, ImageOrder, ImagePage, ImagePosition
from pixyproxy.domain.reference import Reference
from pixyproxy.domain.search import Search
from pixyproxy.domain.sender import Sender
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import ANONYMOUS, Principal, UserName
from tests import paging_strategies
from tests.factories import (
    FailedImageFactory,
    GeneratingImageFactory,
    ImageFactory,
    PendingImageFactory,
    UnknownImageFactory,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
UNREADY_FACTORIES = PendingImageFactory, GeneratingImageFactory, FailedImageFactory, UnknownImageFactory


@pytest.fixture
def list_images(images: InMemoryImageRepository) -> ListImages:
    return ListImages(catalogue=images)


async def add_images(images: InMemoryImageRepository, count: int) -> list[Image]:
    """Store public images, a second apart, and return them newest first."""
    added = [
        await images.add(ImageFactory.build(created_at=NOON + timedelta(seconds=number))) for number in range(count)
    ]
    return added[::-1]


async def test_an_empty_list_has_no_next_page(list_images: ListImages) -> None:
    page = await list_images(ANONYMOUS)
    assert page.images == []
    assert page.next is None


async def test_the_newest_image_comes_first(list_images: ListImages, images: InMemoryImageRepository) -> None:
    added = await add_images(images, 5)
    assert (await list_images(ANONYMOUS)).images == added


async def test_images_of_the_same_microsecond_are_ordered_by_guid(
    list_images: ListImages, images: InMemoryImageRepository
) -> None:
    for number in (2, 3, 1):
        await images.add(ImageFactory.build(guid=UUID(int=number), created_at=NOON))
    assert [image.guid.int for image in (await list_images(ANONYMOUS)).images] == [3, 2, 1]


async def test_100_images_make_a_page_unless_asked_otherwise(
    list_images: ListImages, images: InMemoryImageRepository
) -> None:
    added = await add_images(images, 101)
    page = await list_images(ANONYMOUS)
    assert page.images == added[:100]
    assert page.next is not None


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_a_page_names_the_next_one_only_if_there_is_one(
    list_images: ListImages, images: InMemoryImageRepository, limit: int
) -> None:
    added = await add_images(images, 3)
    page = await list_images(ANONYMOUS, limit=limit)
    assert page.images == added[:limit]
    assert page.next == (ImageCursor(ImagePosition.of(added[limit - 1])) if limit < 3 else None)
    assert page.previous is None


@pytest.mark.parametrize("limit", [1, 1000])
async def test_limits_of_1_to_1000_are_accepted(list_images: ListImages, limit: int) -> None:
    assert (await list_images(ANONYMOUS, limit=limit)).next is None


@pytest.mark.parametrize("limit", [-1, 0, 1001])
@pytest.mark.parametrize("scope", ImageScope)
async def test_other_limits_are_refused(list_images: ListImages, ann: Principal, limit: int, scope: ImageScope) -> None:
    with pytest.raises(DataValidationError) as caught:
        await list_images(ann, scope, limit=limit)
    assert caught.value.field == "limit"


async def test_the_public_list_has_all_public_images_and_no_private_one(
    list_images: ListImages, images: InMemoryImageRepository, ann: Principal, bob: Principal
) -> None:
    public = [await images.add(ImageFactory.build(author=author)) for author in (None, ann.name, bob.name)]
    await images.add(ImageFactory.build(author=ann.name, visibility=Visibility.PRIVATE))
    for principal in (ANONYMOUS, ann):
        listed = (await list_images(principal)).images
        assert {image.guid for image in listed} == {image.guid for image in public}


async def test_the_own_list_has_all_the_images_of_its_author_and_no_other(
    list_images: ListImages, images: InMemoryImageRepository, ann: Principal, bob: Principal
) -> None:
    own = [await images.add(ImageFactory.build(author=ann.name, visibility=visibility)) for visibility in Visibility]
    await images.add(ImageFactory.build(author=bob.name))
    await images.add(ImageFactory.build(author=None))
    listed = (await list_images(ann, ImageScope.OWN)).images
    assert {image.guid for image in listed} == {image.guid for image in own}


async def test_an_administrator_lists_their_own_images_or_those_of_one_author(
    list_images: ListImages, images: InMemoryImageRepository, ann: Principal
) -> None:
    root = Principal(name=UserName("root"), is_admin=True)
    for visibility in Visibility:
        await images.add(ImageFactory.build(author=ann.name, visibility=visibility))
    own = await images.add(ImageFactory.build(author=root.name, visibility=Visibility.PRIVATE))
    expected = (await list_images(ann, ImageScope.OWN)).images
    for author, listed in ((None, [own]), (root.name, [own]), (ann.name, expected), (UserName("carol"), [])):
        page = await list_images(root, ImageScope.OWN, wanted=ImageFilter(author=author), with_total=True)
        assert (page.images, page.total) == (listed, len(listed))
    assert len((await list_images(root, wanted=ImageFilter(author=ann.name))).images) == 1


async def test_ones_own_images_need_a_login(list_images: ListImages) -> None:
    with pytest.raises(UnauthorizedError):
        await list_images(ANONYMOUS, ImageScope.OWN)


@pytest.mark.parametrize(
    "factory", [PendingImageFactory, GeneratingImageFactory, FailedImageFactory, UnknownImageFactory]
)
async def test_images_that_are_not_ready_are_never_listed(
    list_images: ListImages, images: InMemoryImageRepository, ann: Principal, factory: type[ImageFactory]
) -> None:
    await images.add(factory.build(author=ann.name))
    for scope in ImageScope:
        assert (await list_images(ann, scope)).images == []


@pytest.mark.parametrize("order", ImageOrder)
async def test_following_the_pages_to_and_fro_shows_the_list_each_time(
    list_images: ListImages, images: InMemoryImageRepository, order: ImageOrder
) -> None:
    added = await add_images(images, 7)
    expected = added if order is ImageOrder.NEWEST_FIRST else added[::-1]
    first = await list_images(ANONYMOUS, order=order, limit=3)
    second = await list_images(ANONYMOUS, order=order, limit=3, cursor=first.next)
    third = await list_images(ANONYMOUS, order=order, limit=3, cursor=second.next)
    assert [first.images, second.images, third.images] == [expected[:3], expected[3:6], expected[6:]]
    assert (first.previous, third.next) == (None, None)
    back = await list_images(ANONYMOUS, order=order, limit=3, cursor=third.previous)
    assert (back.images, back.next, back.previous) == (second.images, second.next, second.previous)
    start = await list_images(ANONYMOUS, order=order, limit=3, cursor=back.previous)
    assert (start.images, start.next, start.previous) == (first.images, first.next, None)


async def test_a_page_that_leads_back_ends_right_before_its_cursor(
    list_images: ListImages, images: InMemoryImageRepository
) -> None:
    added = await add_images(images, 5)
    cursor = ImageCursor(ImagePosition.of(added[4]), is_backward=True)
    page = await list_images(ANONYMOUS, limit=2, cursor=cursor)
    assert page.images == added[2:4]
    assert page.previous == ImageCursor(ImagePosition.of(added[2]), is_backward=True)
    assert page.next == ImageCursor(ImagePosition.of(added[3]))


async def test_images_are_counted_on_request(list_images: ListImages, images: InMemoryImageRepository) -> None:
    added = await add_images(images, 5)
    assert (await list_images(ANONYMOUS)).total is None
    cursor = ImageCursor(ImagePosition.of(added[2]))
    page = await list_images(ANONYMOUS, limit=1, cursor=cursor, with_total=True)
    assert page.total == 5


async def test_a_filter_narrows_the_scope(
    list_images: ListImages, images: InMemoryImageRepository, ann: Principal, bob: Principal
) -> None:
    public, private, others = [
        await images.add(ImageFactory.build(author=author, visibility=visibility, tags=("sea",)))
        for author, visibility in (
            (ann.name, Visibility.PUBLIC),
            (ann.name, Visibility.PRIVATE),
            (bob.name, Visibility.PUBLIC),
        )
    ]
    await images.add(ImageFactory.build(author=ann.name, tags=("sky",)))
    sea = (Tag("sea"),)

    async def listed(principal: Principal, scope: ImageScope, **wanted: Any) -> set[UUID]:
        page = await list_images(principal, scope, wanted=ImageFilter(tags=sea, **wanted), with_total=True)
        assert page.total == len(page.images)
        return {image.guid for image in page.images}

    assert await listed(ANONYMOUS, ImageScope.PUBLIC) == {public.guid, others.guid}
    assert await listed(ANONYMOUS, ImageScope.PUBLIC, author=ann.name) == {public.guid}
    assert await listed(ANONYMOUS, ImageScope.PUBLIC, visibility=Visibility.PUBLIC) == {public.guid, others.guid}
    assert await listed(ann, ImageScope.OWN) == {public.guid, private.guid}
    assert await listed(ann, ImageScope.OWN, author=ann.name) == {public.guid, private.guid}
    assert await listed(ann, ImageScope.OWN, visibility=Visibility.PRIVATE) == {private.guid}
    assert await listed(ann, ImageScope.OWN, visibility=Visibility.PUBLIC) == {public.guid}


@pytest.mark.parametrize("status", [status for status in ImageStatus if status is not ImageStatus.READY])
async def test_images_that_are_not_ready_are_listed_for_their_author_alone(
    list_images: ListImages, images: InMemoryImageRepository, ann: Principal, bob: Principal, status: ImageStatus
) -> None:
    added = [await images.add(factory.build(author=ann.name)) for factory in UNREADY_FACTORIES]
    wanted = ImageFilter(status=status)
    page = await list_images(ann, ImageScope.OWN, wanted=wanted, with_total=True)
    assert page == ImagePage(images=[image for image in added if image.status is status], total=1)
    assert (await list_images(bob, ImageScope.OWN, wanted=wanted)).images == []
    root = Principal(name=UserName("root"), is_admin=True)
    anns = ImageFilter(status=status, author=ann.name)
    assert (await list_images(root, ImageScope.OWN, wanted=anns)).images == page.images
    for principal in (ANONYMOUS, ann, root):
        for refused in (wanted, ImageFilter(status=status, visibility=Visibility.PRIVATE), anns):
            with pytest.raises(DataValidationError) as caught:
                await list_images(principal, wanted=refused)
            assert caught.value.field == "status"


async def test_a_page_of_failed_images_counts_what_their_failures_say(images: InMemoryImageRepository) -> None:
    failure = Failure(kind="GenerationRefusedError", detail="x" * 1000, maybe_billed=False)
    for number in range(4):
        await images.add(
            FailedImageFactory.build(
                author="ann", created_at=NOON + timedelta(seconds=number), prompt="a", failure=failure, tags=()
            )
        )
    list_images = ListImages(catalogue=images, max_bytes=4500)
    page = await list_images(
        Principal(name=UserName("ann")), ImageScope.OWN, wanted=ImageFilter(status=ImageStatus.FAILED)
    )
    assert len(page.images) == 2


@pytest.mark.parametrize("with_total", [False, True])
async def test_no_filter_shows_images_out_of_scope(
    list_images: ListImages, images: InMemoryImageRepository, ann: Principal, bob: Principal, *, with_total: bool
) -> None:
    await images.add(ImageFactory.build(author=ann.name, visibility=Visibility.PRIVATE))
    await images.add(ImageFactory.build(author=bob.name))
    for principal, scope, wanted in (
        (ann, ImageScope.PUBLIC, ImageFilter(visibility=Visibility.PRIVATE)),
        (ann, ImageScope.PUBLIC, ImageFilter(author=ann.name)),
        (ann, ImageScope.OWN, ImageFilter(author=bob.name)),
        (bob, ImageScope.OWN, ImageFilter(author=ann.name, visibility=Visibility.PRIVATE)),
    ):
        page = await list_images(principal, scope, wanted=wanted, with_total=with_total)
        assert page == ImagePage(images=[], total=0 if with_total else None)


async def test_ones_own_images_need_a_login_with_any_filter(list_images: ListImages, ann: Principal) -> None:
    with pytest.raises(UnauthorizedError):
        await list_images(ANONYMOUS, ImageScope.OWN, wanted=ImageFilter(author=ann.name))


@settings(max_examples=300)
@given(paging_strategies.pagings())
async def test_each_image_is_shown_exactly_once_while_others_write(paging: paging_strategies.Paging) -> None:
    """A new image may be as old as one that is listed already; what was there at the start comes once all the same."""
    await paging_strategies.follow_images(InMemoryImageRepository(), paging)


async def add_prompts(images: InMemoryImageRepository, *lengths: int) -> list[Image]:
    """Store public images with prompts of these sizes in bytes, the first one as the newest, and return them."""
    return [
        await images.add(
            ImageFactory.build(created_at=NOON - timedelta(seconds=number), prompt="é" * (length // 2), tags=())
        )
        for number, length in enumerate(lengths)
    ]


async def test_a_page_ends_before_it_has_too_many_bytes(images: InMemoryImageRepository) -> None:
    added = await add_prompts(images, 3000, 3000, 3000, 3000, 200)
    list_images = ListImages(catalogue=images, max_bytes=8000)
    first = await list_images(ANONYMOUS)
    assert (first.images, first.previous) == (added[:2], None)
    second = await list_images(ANONYMOUS, cursor=first.next)
    assert second.images == added[2:]
    assert second.next is None
    back = await list_images(ANONYMOUS, cursor=second.previous)
    assert (back.images, back.previous) == (added[:2], None)


async def test_the_next_page_is_known_when_the_bytes_and_the_limit_end_it_at_once(
    images: InMemoryImageRepository,
) -> None:
    added = await add_prompts(images, 3000, 3000, 3000)
    page = await ListImages(catalogue=images, max_bytes=8000)(ANONYMOUS, limit=2)
    assert page.images == added[:2]
    assert page.next is not None


async def test_a_page_has_one_image_at_least(images: InMemoryImageRepository) -> None:
    added = await add_prompts(images, 3000, 3000)
    list_images = ListImages(catalogue=images, max_bytes=10)
    first = await list_images(ANONYMOUS)
    second = await list_images(ANONYMOUS, cursor=first.next)
    assert [*first.images, *second.images] == added
    assert second.next is None


@pytest.mark.parametrize(
    "shown",
    [
        {"request": GenerationRequest(prompt="a fox", extra={"text": "x" * 3000})},
        {"result": GenerationResult(revised_prompt="x" * 3000)},
        {"usage": {"text": "x" * 3000}},
    ],
    ids=["request", "result", "usage"],
)
async def test_all_that_an_author_sees_counts_as_bytes_of_a_page(
    images: InMemoryImageRepository, shown: dict[str, Any]
) -> None:
    plain = {"request": GenerationRequest(prompt="a fox"), "result": None, "usage": None, "tags": (), "author": "ann"}
    for _ in range(3):
        await images.add(ImageFactory.build(**plain | shown))
    list_images = ListImages(catalogue=images, max_bytes=8000)

    assert len((await list_images(Principal(name=UserName("ann")), ImageScope.OWN)).images) == 2
    assert len((await list_images(ANONYMOUS)).images) == 3


class CountingImageRepository(InMemoryImageRepository):
    """Remembers how many images each list has fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[int] = []

    async def list(
        self,
        wanted: ImageFilter,
        *,
        limit: int,
        order: ImageOrder = ImageOrder.NEWEST_FIRST,
        after: ImagePosition | None = None,
    ) -> Sequence[Image]:
        found = await super().list(wanted, limit=limit, order=order, after=after)
        self.fetched.append(len(found))
        return found


async def test_images_that_do_not_fit_on_a_page_are_not_fetched() -> None:
    images = CountingImageRepository()
    await add_prompts(images, *[60_000] * 500)
    assert len((await ListImages(catalogue=images)(ANONYMOUS, limit=500)).images) == 4 * 2**20 // 60_512
    assert images.fetched == [128]


async def test_a_page_of_the_default_size_takes_one_query() -> None:
    images = CountingImageRepository()
    await add_images(images, 300)
    assert len((await ListImages(catalogue=images)(ANONYMOUS)).images) == 100
    assert images.fetched == [101]
    assert len((await ListImages(catalogue=images)(ANONYMOUS, limit=1000)).images) == 300
    assert images.fetched == [101, 128, 128, 44]


PARENT = UUID(int=1)
CHILD_REQUEST = GenerationRequest(prompt="a fox", references=(Reference.to_image(PARENT),))


@pytest.mark.parametrize(
    ("factory", "author", "visibility", "scopes"),
    [
        (ImageFactory, "ann", Visibility.PUBLIC, {ImageScope.PUBLIC, ImageScope.OWN}),
        (ImageFactory, "bob", Visibility.PUBLIC, {ImageScope.PUBLIC, ImageScope.OWN}),
        (ImageFactory, "ann", Visibility.PRIVATE, {ImageScope.OWN}),
        (ImageFactory, "bob", Visibility.PRIVATE, set()),
        (FailedImageFactory, "ann", Visibility.PUBLIC, set()),
        (GeneratingImageFactory, "ann", Visibility.PUBLIC, set()),
        (None, None, None, set()),
    ],
)
async def test_only_images_derived_from_one_that_the_asker_may_read_are_listed(
    *,
    images: InMemoryImageRepository,
    ann: Principal,
    factory: Any,
    author: str,
    visibility: Visibility,
    scopes: set[ImageScope],
) -> None:
    if factory is not None:
        await images.add(factory.build(guid=PARENT, author=author, visibility=visibility))
    child = await images.add(ImageFactory.build(author="ann", request=CHILD_REQUEST))
    list_images = ListImages(catalogue=images, images=images)

    for scope in ImageScope:
        page = await list_images(ann, scope, wanted=ImageFilter(derived_from=PARENT), with_total=True)
        assert list(page.images) == ([child] if scope in scopes else [])
        assert page.total == len(page.images)


async def test_lists_of_derived_images_need_the_images(images: InMemoryImageRepository) -> None:
    with pytest.raises(OperationNotAllowedError):
        await ListImages(catalogue=images)(ANONYMOUS, wanted=ImageFilter(derived_from=PARENT))


async def test_authors_find_their_images_by_senders_and_others_do_not(
    list_images: ListImages, images: InMemoryImageRepository
) -> None:
    ann, sender = UserName("ann"), Sender(user="carol")
    image = await images.add(
        ImageFactory.build(author=ann, visibility=Visibility.PUBLIC, prompt="a fox", sender=sender)
    )
    wanted = ImageFilter(search=Search.parse("carol fox"))
    assert (await list_images(Principal(name=ann), ImageScope.OWN, wanted=wanted)).images == [image]
    for principal in (ANONYMOUS, Principal(name=ann)):
        assert (await list_images(principal, ImageScope.PUBLIC, wanted=wanted)).images == []
    asked = msgspec.structs.replace(wanted, searches_senders=True)
    assert (await list_images(ANONYMOUS, ImageScope.PUBLIC, wanted=asked)).images == []
