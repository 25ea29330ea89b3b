"""The progress of data upgrades in MySQL."""

from dataclasses import dataclass
from typing import Final

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sql.rows import progress_from_row
from pixyproxy.domain.ports import DataUpgrades, UpgradeProgress

_FIND: Final = "SELECT position, finished_at FROM data_upgrades WHERE name = %(name)s"

_ADD: Final = "INSERT INTO data_upgrades (name, position) VALUES (%(name)s, '') ON DUPLICATE KEY UPDATE name = name"

_ADVANCE: Final = "UPDATE data_upgrades SET position = %(position)s WHERE name = %(name)s AND position = %(expected)s"

_FINISH: Final = """
    UPDATE data_upgrades SET finished_at = CURRENT_TIMESTAMP(6) WHERE name = %(name)s AND finished_at IS NULL
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MySQLDataUpgrades(DataUpgrades):
    """Keeps progress in table `data_upgrades`."""

    database: MySQLDatabase

    async def get(self, name: str) -> UpgradeProgress:
        async with self.database.autocommit() as cursor:
            await cursor.execute(_FIND, {"name": name})
            row = await cursor.fetchone()
        return UpgradeProgress() if row is None else progress_from_row(row)

    async def advance(self, name: str, position: str, *, expected: str) -> None:
        await self.database.execute(_ADD, {"name": name})
        await self.database.execute(_ADVANCE, {"name": name, "position": position, "expected": expected})

    async def finish(self, name: str) -> None:
        await self.database.execute(_ADD, {"name": name})
        await self.database.execute(_FINISH, {"name": name})
