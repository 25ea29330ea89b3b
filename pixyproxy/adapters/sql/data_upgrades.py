"""The progress of data upgrades in a database."""

from dataclasses import dataclass
from typing import Final

from pixyproxy.adapters.sql.database import SQLDatabase
from pixyproxy.adapters.sql.rows import progress_from_row
from pixyproxy.domain.ports import DataUpgrades, UpgradeProgress

_FIND: Final = "SELECT position, finished_at FROM data_upgrades WHERE name = :name"

_ADD: Final = "INSERT INTO data_upgrades (name, position) VALUES (:name, '') {skip_taken}"

_ADVANCE: Final = "UPDATE data_upgrades SET position = :position WHERE name = :name AND position = :expected"

_FINISH: Final = "UPDATE data_upgrades SET finished_at = {now} WHERE name = :name AND finished_at IS NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class SQLDataUpgrades(DataUpgrades):
    """Keeps progress in table `data_upgrades`."""

    database: SQLDatabase

    async def get(self, name: str) -> UpgradeProgress:
        rows = await self.database.fetch_all(_FIND, {"name": name})
        return progress_from_row(rows[0]) if rows else UpgradeProgress()

    async def advance(self, name: str, position: str, *, expected: str) -> None:
        await self.database.execute(_ADD, {"name": name})
        await self.database.execute(_ADVANCE, {"name": name, "position": position, "expected": expected})

    async def finish(self, name: str) -> None:
        await self.database.execute(_ADD, {"name": name})
        await self.database.execute(_FINISH, {"name": name})
