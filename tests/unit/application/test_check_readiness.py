"""Can requests be served right now?"""

import pytest

from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application import CheckReadiness
from pixyproxy.domain.errors import ContentStoreError, DBConnectionError


class BrokenImageRepository(InMemoryImageRepository):
    """Does not answer."""

    async def check(self) -> None:
        raise DBConnectionError("The database does not answer.")


class BrokenContentStore(InMemoryContentStore):
    """Does not write."""

    async def check(self) -> None:
        raise ContentStoreError("The content store is full.")


async def test_working_parts_are_ready(images: InMemoryImageRepository, contents: InMemoryContentStore) -> None:
    await CheckReadiness(dependencies=[images, contents])()


async def test_a_database_that_does_not_answer_is_not_ready(contents: InMemoryContentStore) -> None:
    with pytest.raises(DBConnectionError):
        await CheckReadiness(dependencies=[BrokenImageRepository(), contents])()


async def test_a_content_store_that_does_not_write_is_not_ready(images: InMemoryImageRepository) -> None:
    with pytest.raises(ContentStoreError):
        await CheckReadiness(dependencies=[images, BrokenContentStore()])()
