"""Letting the words of all images be found."""

from collections.abc import Sequence

import pytest

from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application import IndexPrompts
from pixyproxy.domain.image import ImageId


class OldImageRepository(InMemoryImageRepository):
    """Has images whose words can't be found."""

    def __init__(self, *unsearchable: int) -> None:
        super().__init__()
        self.unsearchable = [ImageId(number) for number in unsearchable]

    async def make_searchable(self, *, after: ImageId | None = None, limit: int) -> Sequence[ImageId]:
        made = [number for number in self.unsearchable if number > (after or 0)][:limit]
        self.unsearchable = [number for number in self.unsearchable if number not in made]
        return made


async def test_all_images_are_made_searchable() -> None:
    images = OldImageRepository(1, 2, 3, 5, 8, 13, 21)
    told: list[int] = []
    assert await IndexPrompts(index=images, batch=3)(on_progress=told.append) == 7
    assert told == [3, 3, 1]
    assert images.unsearchable == []


async def test_nothing_to_do_is_no_error() -> None:
    assert await IndexPrompts(index=OldImageRepository())() == 0


async def test_an_interrupted_run_goes_on_where_it_was() -> None:
    images = OldImageRepository(1, 2, 3, 4, 5)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await IndexPrompts(index=images, batch=3)(on_progress=interrupt)
    assert images.unsearchable == [4, 5]
    assert await IndexPrompts(index=images)() == 2
