"""The contract of `DataUpgrades`, and `UpgradeData` on top of it."""

import asyncio
from dataclasses import dataclass, field

import pytest

from pixyproxy.adapters.memory.data_upgrades import InMemoryDataUpgrades
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.application.upgrade_data import DataUpgrade, UpgradeData, UpgradedBatch
from pixyproxy.domain.ports import DataUpgrades, UpgradeProgress


@pytest.fixture
def memory_progress() -> DataUpgrades:
    return InMemoryDataUpgrades()


@pytest.fixture
def sqlite_progress(sqlite_database: SQLiteDatabase) -> DataUpgrades:
    return sqlite_database.data_upgrades


@pytest.fixture
def mysql_progress(mysql_database: MySQLDatabase) -> DataUpgrades:
    return mysql_database.data_upgrades


@pytest.fixture(params=["memory", "sqlite", "mysql"])
def progress(request: pytest.FixtureRequest) -> DataUpgrades:
    upgrades: DataUpgrades = request.getfixturevalue(f"{request.param}_progress")
    return upgrades


class KilledError(Exception):
    """The process ends here."""


@dataclass
class Doubling(DataUpgrade):
    """Doubles numbers, each once; is killed in the batches with a number that is in `killed_at`."""

    numbers: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(1, 11), 1))
    killed_at: list[int] = field(default_factory=list)
    batches: list[str] = field(default_factory=list)
    name: str = "doubling"
    summary: str = "doubled {} number(s)"

    async def upgrade(self, *, after: str) -> UpgradedBatch | None:
        self.batches.append(after)
        places = [place for place in self.numbers if place > int(after or 0)][:3]
        changed = [place for place in places if self.numbers[place] == 1]
        await asyncio.sleep(0)
        for place in changed:
            self.numbers[place] = 2
            if place in self.killed_at:
                self.killed_at.remove(place)
                raise KilledError
        return UpgradedBatch(str(places[-1]), len(changed)) if places else None


async def test_a_new_upgrade_is_at_its_beginning(progress: DataUpgrades) -> None:
    assert await progress.get("tags") == UpgradeProgress(position="", finished_at=None)


async def test_a_position_is_kept_for_each_name(progress: DataUpgrades) -> None:
    await progress.advance("tags", "100", expected="")
    await progress.advance("Tags", "7", expected="")
    await progress.advance("tags", "200", expected="100")
    assert (await progress.get("tags")).position == "200"
    assert (await progress.get("Tags")).position == "7"


async def test_a_process_that_fell_behind_does_not_set_the_position_back(progress: DataUpgrades) -> None:
    await progress.advance("tags", "100", expected="")
    await progress.advance("tags", "200", expected="100")
    await progress.advance("tags", "100", expected="")
    assert (await progress.get("tags")).position == "200"


async def test_an_upgrade_is_finished_once(progress: DataUpgrades) -> None:
    await progress.finish("tags")
    finished = await progress.get("tags")
    assert finished.finished_at is not None
    await progress.finish("tags")
    await progress.advance("tags", "9", expected="")
    assert (await progress.get("tags")).finished_at == finished.finished_at
    assert (await progress.get("words")).finished_at is None


async def test_an_upgrade_is_done_in_batches_and_never_again(progress: DataUpgrades) -> None:
    doubling, told = Doubling(), list[tuple[str, int]]()
    upgrade_data = UpgradeData(progress=progress, upgrades=[doubling])
    assert await upgrade_data.unfinished() == ["doubling"]
    assert await upgrade_data(on_batch=lambda name, number: told.append((name, number))) == ["doubled 10 number(s)"]
    assert told == [("doubling", 3)] * 3 + [("doubling", 1)]
    assert set(doubling.numbers.values()) == {2}
    assert await upgrade_data.unfinished() == []
    doubling.batches.clear()
    assert await upgrade_data() == []
    assert doubling.batches == []


async def test_an_upgrade_that_was_killed_goes_on_where_it_was(progress: DataUpgrades) -> None:
    doubling = Doubling(killed_at=[5, 9])
    upgrade_data = UpgradeData(progress=progress, upgrades=[doubling])
    for _ in range(2):
        with pytest.raises(KilledError):
            await upgrade_data()
    assert await upgrade_data() == ["doubled 1 number(s)"]
    assert set(doubling.numbers.values()) == {2}
    assert doubling.batches == ["", "3", "3", "6", "6", "9", "10"]


async def test_several_processes_may_upgrade_at_once(progress: DataUpgrades) -> None:
    doubling = Doubling()
    await asyncio.gather(*(UpgradeData(progress=progress, upgrades=[doubling])() for _ in range(4)))
    assert set(doubling.numbers.values()) == {2}
    assert (await progress.get("doubling")).finished_at is not None


async def test_upgrades_are_done_in_their_order(progress: DataUpgrades) -> None:
    first, second = Doubling(name="first"), Doubling(name="second", killed_at=[1])
    with pytest.raises(KilledError):
        await UpgradeData(progress=progress, upgrades=[first, second])()
    assert await UpgradeData(progress=progress, upgrades=[first, second]).unfinished() == ["second"]
