"""The same for many images."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import pytest

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application import ChangeImage, DeleteImage, DeleteImages, SetVisibility, TagImages
from pixyproxy.application.bulk import BulkResult
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    DataValidationError,
    OperationNotAllowedError,
    RecordNotFoundError,
)
from pixyproxy.domain.image import Image, Visibility
from pixyproxy.domain.user import Principal
from tests.factories import GeneratingImageFactory, ImageFactory

Work: TypeAlias = Callable[[Sequence[UUID]], Awaitable[Sequence[BulkResult]]]


@pytest.fixture
def tag_images(images: InMemoryImageRepository, clock: InMemoryClock) -> TagImages:
    return TagImages(change_image=ChangeImage(images=images, clock=clock))


@pytest.fixture
def set_visibility(images: InMemoryImageRepository, clock: InMemoryClock) -> SetVisibility:
    return SetVisibility(change_image=ChangeImage(images=images, clock=clock))


@pytest.fixture
def delete_images(images: InMemoryImageRepository, contents: InMemoryContentStore) -> DeleteImages:
    return DeleteImages(delete_image=DeleteImage(images=images, deletions=images, contents=contents))


@pytest.fixture
async def mixed(images: InMemoryImageRepository, ann: Principal, bob: Principal) -> Sequence[Image]:
    """An image of Ann's between images that she can't change, then another of hers."""
    return [
        await images.add(ImageFactory.build(author=bob.name)),
        await images.add(ImageFactory.build(author=ann.name, tags=("a", "b"))),
        await images.add(ImageFactory.build(author=bob.name, visibility=Visibility.PRIVATE)),
        ImageFactory.build(author=ann.name),
        await images.add(GeneratingImageFactory.build(author=ann.name)),
        await images.add(ImageFactory.build(author=ann.name, tags=())),
    ]


REFUSALS: Sequence[type[Exception] | None] = [
    OperationNotAllowedError,
    None,
    RecordNotFoundError,
    RecordNotFoundError,
    ConstraintViolationError,
    None,
]


class TestTagImages:
    """Adding tags and removing them."""

    @pytest.mark.parametrize(
        ("before", "add", "remove", "after"),
        [
            ((), ["a", "b"], [], ("a", "b")),
            (("a", "b", "c"), [], ["b"], ("a", "c")),
            (("c", "b", "a"), ["d", "b"], ["a"], ("c", "b", "d")),
            (("a",), ["a"], ["b"], ("a",)),
            (("a",), ["A"], [], ("a", "A")),
            (("a",), [], ["A"], ("a",)),
            (("a",), [], [], ("a",)),
        ],
    )
    async def test_the_order_of_the_tags_that_stay_is_kept(
        self,
        *,
        tag_images: TagImages,
        images: InMemoryImageRepository,
        ann: Principal,
        before: tuple[str, ...],
        add: Sequence[str],
        remove: Sequence[str],
        after: tuple[str, ...],
    ) -> None:
        image = await images.add(ImageFactory.build(author=ann.name, tags=before))
        (result,) = await tag_images([image.guid], ann, add=add, remove=remove)
        stored = await images.get(image.guid)
        assert (result.guid, result.image, result.error) == (image.guid, stored, None)
        assert stored.tags == after
        assert stored.version == (1 if before == after else 2)

    async def test_each_image_has_a_result_in_the_order_asked_for(
        self, tag_images: TagImages, images: InMemoryImageRepository, ann: Principal, mixed: Sequence[Image]
    ) -> None:
        results = await tag_images([image.guid for image in mixed], ann, add=["c"], remove=["a"])
        assert [result.guid for result in results] == [image.guid for image in mixed]
        assert [result.error and type(result.error) for result in results] == REFUSALS
        assert [result.image and result.image.tags for result in results] == [
            None,
            ("b", "c"),
            None,
            None,
            None,
            ("c",),
        ]
        for result in results:
            if result.image:
                assert await images.get(result.guid) == result.image

    async def test_an_image_that_would_have_too_many_tags_is_left_and_the_others_are_changed(
        self, tag_images: TagImages, images: InMemoryImageRepository, ann: Principal
    ) -> None:
        full = await images.add(ImageFactory.build(author=ann.name, tags=tuple(map(str, range(32)))))
        other = await images.add(ImageFactory.build(author=ann.name, tags=()))
        first, second = await tag_images([full.guid, other.guid], ann, add=["a"])
        assert isinstance(first.error, DataValidationError)
        assert first.error.field == "tags"
        assert await images.get(full.guid) == full
        assert second.image is not None
        assert second.image.tags == ("a",)

    @pytest.mark.parametrize(
        ("arguments", "field"),
        [
            ({"add": ["a", "a"]}, "add"),
            ({"remove": ["a", "a"]}, "remove"),
            ({"add": ["a", " b"]}, "add[1]"),
            ({"remove": ["x" * 65]}, "remove[0]"),
            ({"add": [str(number) for number in range(33)]}, "add"),
            ({"add": ["a", "b"], "remove": ["c", "b"]}, "add"),
        ],
    )
    async def test_tags_that_break_a_rule_are_refused_and_nothing_is_changed(
        self,
        tag_images: TagImages,
        images: InMemoryImageRepository,
        ann: Principal,
        arguments: dict[str, Any],
        field: str,
    ) -> None:
        image = await images.add(ImageFactory.build(author=ann.name, tags=("c",)))
        with pytest.raises(DataValidationError) as caught:
            await tag_images([image.guid], ann, **arguments)
        assert caught.value.field == field
        assert await images.get(image.guid) == image


class TestSetVisibility:
    """Publishing and hiding many."""

    @pytest.mark.parametrize("visibility", Visibility)
    async def test_each_image_has_a_result_in_the_order_asked_for(
        self,
        set_visibility: SetVisibility,
        images: InMemoryImageRepository,
        ann: Principal,
        mixed: Sequence[Image],
        visibility: Visibility,
    ) -> None:
        results = await set_visibility([image.guid for image in mixed], ann, visibility)
        assert [result.guid for result in results] == [image.guid for image in mixed]
        assert [result.error and type(result.error) for result in results] == REFUSALS
        for result in results:
            if result.image is not None:
                assert result.image.visibility is visibility
                assert await images.get(result.guid) == result.image
        assert (await images.get(mixed[0].guid)).visibility is Visibility.PUBLIC

    async def test_an_image_that_has_the_visibility_already_stays_as_it_is(
        self, set_visibility: SetVisibility, images: InMemoryImageRepository, ann: Principal
    ) -> None:
        image = await images.add(ImageFactory.build(author=ann.name, visibility=Visibility.PUBLIC))
        (result,) = await set_visibility([image.guid], ann, Visibility.PUBLIC)
        assert result.image == image


class TestDeleteImages:
    """Deleting many."""

    async def test_each_image_has_a_result_in_the_order_asked_for(
        self, delete_images: DeleteImages, images: InMemoryImageRepository, ann: Principal, mixed: Sequence[Image]
    ) -> None:
        results = await delete_images([image.guid for image in mixed], ann)
        assert [result.guid for result in results] == [image.guid for image in mixed]
        assert [result.error and type(result.error) for result in results] == REFUSALS
        assert {result.image for result in results} == {None}
        assert {image.guid for image in await images.scan(limit=10)} == {mixed[0].guid, mixed[2].guid, mixed[4].guid}


@pytest.fixture
def works(
    tag_images: TagImages, set_visibility: SetVisibility, delete_images: DeleteImages, ann: Principal
) -> Sequence[Work]:
    return [
        partial(tag_images, principal=ann, add=["a"]),
        partial(set_visibility, principal=ann, visibility=Visibility.PRIVATE),
        partial(delete_images, principal=ann),
    ]


@pytest.mark.parametrize("count", [1, 1000])
async def test_1_to_1000_images_may_be_asked_for(works: Sequence[Work], count: int) -> None:
    guids = [uuid4() for _ in range(count)]
    for work in works:
        results = await work(guids)
        assert len(results) == count
        assert all(isinstance(result.error, RecordNotFoundError) for result in results)


@pytest.mark.parametrize(
    "numbers", [[], [1, 2, 1], range(1001)], ids=["none", "one of them twice", "one more than may be"]
)
async def test_any_other_list_is_refused_and_nothing_is_done(
    works: Sequence[Work], images: InMemoryImageRepository, ann: Principal, numbers: Sequence[int]
) -> None:
    image = await images.add(ImageFactory.build(guid=UUID(int=1), author=ann.name, tags=()))
    guids = [UUID(int=number) for number in numbers]
    for work in works:
        with pytest.raises(DataValidationError) as caught:
            await work(guids)
        assert caught.value.field == "guids"
    assert await images.get(image.guid) == image
