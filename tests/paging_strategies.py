"""Reading a list page by page while others write."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
from hypothesis import strategies as st

from pixyproxy.application import ListImages, ListTags
from pixyproxy.domain.batch import BatchPlace
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageChanges, ImageScope, Visibility
from pixyproxy.domain.listing import (
    ImageCursor,
    ImageFilter,
    ImageOrder,
    ImagePage,
    ImagePosition,
    TagCount,
    TagCursor,
    TagPage,
)
from pixyproxy.domain.ports import ImagePorts
from pixyproxy.domain.reference import Reference
from pixyproxy.domain.search import Search
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import Principal, UserName
from tests.factories import ImageFactory

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANN = Principal(name=UserName("ann"))
TAGS = [Tag("sea"), Tag("sky"), Tag("se")]

# Often the guid of an image that others hide, publish and delete.
PARENT = UUID(int=0)
BATCH = UUID(int=1)

_IMAGE = ImageFactory.build(
    request=GenerationRequest(prompt="A lighthouse at sea", references=(Reference.to_image(PARENT),)),
    batch=BatchPlace(guid=BATCH, position=0, size=1),
)


class Write(msgspec.Struct, frozen=True):
    """A write between two pages: adds the next image, or does `kind` to an existing one."""

    kind: str
    number: int


class Step(msgspec.Struct, frozen=True):
    """Writes, and then a page of `limit` images, forward or backward."""

    writes: Sequence[Write]
    limit: int
    is_backward: bool = False


class Paging(msgspec.Struct, frozen=True, kw_only=True):
    """A list, its images at the start and later, and the steps of its reader."""

    scope: ImageScope
    wanted: ImageFilter
    order: ImageOrder
    at_start: Sequence[Image]
    later: Sequence[Image]
    steps: Sequence[Step]
    limit: int


def _image(guid: UUID, second: int, author: str, visibility: Visibility, tags: Sequence[Tag]) -> Image:
    created_at = NOON + timedelta(seconds=second)
    return msgspec.structs.replace(
        _IMAGE, guid=guid, created_at=created_at, author=author, visibility=visibility, tags=tuple(tags)
    )


IMAGES = st.builds(
    _image,
    st.integers(0, 3).map(lambda number: UUID(int=number << 126)) | st.uuids(),
    st.integers(0, 3),
    st.sampled_from(["ann", "ann", "bob"]),
    st.sampled_from([Visibility.PUBLIC, Visibility.PUBLIC, Visibility.PRIVATE]),
    st.lists(st.sampled_from(TAGS), unique=True),
)

WRITES = st.lists(
    st.builds(Write, st.sampled_from(["add", "hide", "publish", "tag", "untag", "delete"]), st.integers(0, 99)),
    max_size=4,
)

FILTERS = st.sampled_from(
    [
        ImageFilter(),
        ImageFilter(),
        ImageFilter(tags=(Tag("sea"),)),
        ImageFilter(tags=(Tag("sea"), Tag("sky"))),
        ImageFilter(author=UserName("ann")),
        ImageFilter(visibility=Visibility.PRIVATE),
        ImageFilter(model=_IMAGE.model),
        ImageFilter(search=Search.parse("lighthouse")),
        ImageFilter(batch=BATCH),
        ImageFilter(derived_from=PARENT),
        ImageFilter(created_after=NOON + timedelta(seconds=1), created_before=NOON + timedelta(seconds=3)),
    ]
)


@st.composite
def pagings(draw: st.DrawFn) -> Paging:
    """Draw a paging."""
    images = draw(st.lists(IMAGES, max_size=20, unique_by=lambda image: image.guid))
    count_at_start = draw(st.integers(0, len(images)))
    return Paging(
        scope=draw(st.sampled_from(ImageScope)),
        wanted=draw(FILTERS),
        order=draw(st.sampled_from(ImageOrder)),
        at_start=images[:count_at_start],
        later=images[count_at_start:],
        steps=draw(st.lists(st.builds(Step, WRITES, st.integers(1, 4), st.booleans()), max_size=12)),
        limit=draw(st.integers(1, 4)),
    )


class _Others:
    """The writers, and the expected list after each write."""

    def __init__(self, images: ImagePorts, paging: Paging) -> None:
        self._images = images
        self._paging = paging
        self._later = iter(paging.later)
        self.listed: Sequence[Image] = []
        self.all_along: set[UUID] = set()

    async def begin(self) -> None:
        """Add the first images."""
        for image in self._paging.at_start:
            await self._images.add(image)
        await self._look()
        self.start_over()

    def start_over(self) -> None:
        """Count the images that stay in the list from now on."""
        self.all_along = {image.guid for image in self.listed}

    async def write(self, writes: Sequence[Write]) -> None:
        """Do all of it, one after the other."""
        for write in writes:
            await self._do(write)
            await self._look()
            self.all_along &= {image.guid for image in self.listed}

    async def _do(self, write: Write) -> None:
        if write.kind == "add":
            if image := next(self._later, None):
                await self._images.add(image)
            return
        stored = await self._stored()
        if not stored:
            return
        image = stored[write.number % len(stored)]
        if write.kind == "delete":
            await self._images.delete(image.guid, expected_version=image.version, lease_seconds=60.0)
            await self._images.finish_deletion(image.guid)
            return
        changes = {
            "hide": ImageChanges(visibility=Visibility.PRIVATE),
            "publish": ImageChanges(visibility=Visibility.PUBLIC),
            "tag": ImageChanges(tags=TAGS),
            "untag": ImageChanges(tags=TAGS[1:]),
        }[write.kind]
        changed = image.changed(changes, at=NOON)
        if changed is not image:
            await self._images.change(changed, expected_version=image.version)

    async def _stored(self) -> Sequence[Image]:
        return [image for image in await self._images.scan(limit=1000) if isinstance(image, Image)]

    async def _look(self) -> None:
        stored, parent = await self._stored(), self._paging.wanted.derived_from
        is_known = parent is None or any(image.guid == parent and self._is_readable(image) for image in stored)
        self.listed = sorted(
            (
                image
                for image in stored
                if is_known and image.is_readable_by(ANN, self._paging.scope) and self._paging.wanted.fits(image)
            ),
            key=lambda image: (image.created_at, str(image.guid)),
            reverse=self._paging.order is ImageOrder.NEWEST_FIRST,
        )

    def _is_readable(self, image: Image) -> bool:
        return image.visibility is Visibility.PUBLIC or image.is_readable_by(ANN, self._paging.scope)


async def follow_images(images: ImagePorts, paging: Paging) -> None:
    """Paging through the list, to and fro, then to its end and back to its start, and check every page.

    Each page has what comes next at that moment, and neighbours where there is more. On the ways to the end and to the
    start nothing comes twice, and all comes that was listed all along.
    """
    others = _Others(images, paging)
    reader = _Reader(images, paging, others)
    await others.begin()
    page = await reader.read(None)
    for step in paging.steps[: len(paging.steps) // 2]:
        page = await reader.go(page.previous if step.is_backward else page.next, step)

    steps = iter(paging.steps[len(paging.steps) // 2 :])
    others.start_over()
    page = last_page = await reader.read(None)
    shown = list(page.images)
    while page.next:
        assert len(shown) <= len(paging.at_start) + len(paging.later), "the pages go round in a circle"
        page = await reader.go(page.next, next(steps, None))
        last_page = page if page.images else last_page
        shown += page.images
    _check(shown, others.all_along, paging.order)

    others.start_over()
    page, shown = last_page, []
    while page.previous:
        assert len(shown) <= len(paging.at_start) + len(paging.later), "the pages go round in a circle"
        page = await reader.go(page.previous, next(steps, None))
        shown = [*page.images, *shown]
    if last_page.previous:
        before, _ = _sides(others.listed, paging.order, last_page.previous)
        _check(shown, others.all_along & {image.guid for image in before}, paging.order)


class _Reader:
    """Reads the list, and checks that each page has the images of that moment."""

    def __init__(self, images: ImagePorts, paging: Paging, others: _Others) -> None:
        self._list_images = ListImages(catalogue=images, images=images)
        self._paging = paging
        self._others = others

    async def go(self, cursor: ImageCursor | None, step: Step | None) -> ImagePage:
        """Let the others write, then read the page."""
        if step is None:
            return await self.read(cursor)
        await self._others.write(step.writes)
        return await self.read(cursor, step.limit)

    async def read(self, cursor: ImageCursor | None, limit: int | None = None) -> ImagePage:
        """Read a page; without a cursor, the first."""
        paging, limit = self._paging, limit or self._paging.limit
        page = await self._list_images(
            ANN, paging.scope, wanted=paging.wanted, order=paging.order, limit=limit, cursor=cursor, with_total=True
        )
        before, following = _sides(self._others.listed, paging.order, cursor)
        is_backward = cursor is not None and cursor.is_backward
        expected = before[-limit:] if is_backward else following[:limit]
        assert page.images == expected
        assert page.total == len(self._others.listed)
        has_next, has_previous = is_backward or len(following) > limit, cursor is not None and not is_backward
        if is_backward:
            has_previous = len(before) > limit
        last = ImageCursor(ImagePosition.of(expected[-1])) if expected else None
        first = ImageCursor(ImagePosition.of(expected[0]), is_backward=True) if expected else None
        assert page.next == (last if has_next else None)
        assert page.previous == (first if has_previous else None)
        return page


def _sides(
    listed: Sequence[Image], order: ImageOrder, cursor: ImageCursor | None
) -> tuple[Sequence[Image], Sequence[Image]]:
    """Return the images before the cursor's position, and those after it."""
    if cursor is None:
        return [], listed
    place = (cursor.position.created_at, str(cursor.position.guid))
    older = [image for image in listed if (image.created_at, str(image.guid)) < place]
    newer = [image for image in listed if (image.created_at, str(image.guid)) > place]
    return (newer, older) if order is ImageOrder.NEWEST_FIRST else (older, newer)


def _check(shown: Sequence[Image], all_along: set[UUID], order: ImageOrder) -> None:
    guids = [image.guid for image in shown]
    assert len(guids) == len(set(guids)), "an image came twice"
    assert all_along <= set(guids), "an image was missed"
    in_order = sorted(shown, key=ImagePosition.of, reverse=order is ImageOrder.NEWEST_FIRST)
    assert shown == in_order


async def follow_tags(images: ImagePorts, paging: Paging, prefix: str) -> None:
    """Paging through the tags of all images in scope to their end and back to their start.

    On each way no tag comes twice, and all come that were there all along.
    """
    others = _Others(images, msgspec.structs.replace(paging, wanted=ImageFilter()))
    list_tags = ListTags(tags=images)
    await others.begin()
    steps = iter(paging.steps)

    def tags() -> set[Tag]:
        return {tag for image in others.listed for tag in image.tags if tag.startswith(prefix)}

    async def read(cursor: TagCursor | None, limit: int) -> TagPage:
        page = await list_tags(ANN, paging.scope, prefix=prefix, limit=limit, cursor=cursor)
        assert len(page.tags) <= limit
        for each in page.tags:
            assert each == TagCount(each.tag, sum(each.tag in image.tags for image in others.listed))
        return page

    page = await read(None, paging.limit)
    all_along, shown, last_page = tags(), list(page.tags), page
    while page.next:
        step = next(steps, Step([], paging.limit))
        await others.write(step.writes)
        all_along &= tags()
        page = await read(page.next, step.limit)
        if page.tags:
            last_page = page
        shown += page.tags
    assert [each.tag for each in shown] == sorted({each.tag for each in shown})
    assert all_along <= {each.tag for each in shown}

    page, all_along, shown = last_page, tags(), []
    while page.previous:
        step = next(steps, Step([], paging.limit))
        await others.write(step.writes)
        all_along &= tags()
        page = await read(page.previous, step.limit)
        shown = [*page.tags, *shown]
    assert [each.tag for each in shown] == sorted({each.tag for each in shown})
    if last_page.previous:
        assert {tag for tag in all_along if tag < last_page.tags[0].tag} <= {each.tag for each in shown}
