"""Bringing the database up to date."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.application import UpgradeDatabase
from pixyproxy.domain.ports import Migration, Schema

APPLIED = [Migration(version=7, name="library", applied_at=datetime(2026, 1, 1, tzinfo=UTC))]


class OldDatabase(InMemoryImageRepository, Schema):
    """Lacks a script, and the words of some images, which can be made once the script is applied."""

    def __init__(self, unsearchable: int) -> None:
        super().__init__()
        self.unsearchable = unsearchable
        self.applied: Sequence[Migration] = ()

    async def status(self) -> Sequence[Migration]:
        return APPLIED

    async def upgrade(self) -> Sequence[Migration]:
        if self.applied:
            return ()
        self.applied = APPLIED
        return APPLIED

    async def make_searchable(self, *, limit: int) -> int:
        assert self.applied, "the words have no table yet"
        number = min(limit, self.unsearchable)
        self.unsearchable -= number
        return number


async def test_scripts_are_applied_and_all_images_are_made_searchable() -> None:
    database = OldDatabase(unsearchable=7)
    told: list[int] = []
    applied = await UpgradeDatabase(schema=database, images=database, batch=3)(on_progress=told.append)
    assert applied == APPLIED
    assert told == [3, 3, 1]
    assert database.unsearchable == 0


async def test_a_second_time_there_is_nothing_to_do() -> None:
    database = OldDatabase(unsearchable=1)
    upgrade_database = UpgradeDatabase(schema=database, images=database)
    await upgrade_database()
    told: list[int] = []
    assert await upgrade_database(on_progress=told.append) == ()
    assert told == []


async def test_an_upgrade_that_was_interrupted_goes_on_where_it_was() -> None:
    database = OldDatabase(unsearchable=7)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    upgrade_database = UpgradeDatabase(schema=database, images=database, batch=3)
    try:
        await upgrade_database(on_progress=interrupt)
    except KeyboardInterrupt:
        assert database.unsearchable == 4
    assert await upgrade_database() == ()
    assert database.unsearchable == 0
