"""The progress of data upgrades."""

from abc import abstractmethod
from datetime import datetime
from typing import Protocol

import msgspec


class UpgradeProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far one data upgrade has come: all up to `position` is done, and all of it at `finished_at`, in UTC.

    `position` is empty at the beginning; what it means, the upgrade alone knows.
    """

    position: str = ""
    finished_at: datetime | None = None


class DataUpgrades(Protocol):
    """Where the progress of data upgrades is kept: changes of stored records that a schema script can't make.

    An upgrade is a `pixyproxy.application.upgrade_data.DataUpgrade`: it works in batches, each of which may be done
    twice, and `UpgradeData` writes its position down behind each. So it goes on where it was when a process is killed,
    and several processes may work on it at once. To add one, write a `DataUpgrade` with a new name, and name it in
    `container.data_upgrades`. A name is never used again: what was upgraded under it once counts as finished.
    """

    @abstractmethod
    async def get(self, name: str) -> UpgradeProgress:
        """Return how far the upgrade of this name, at most 64 ASCII characters, has come."""

    @abstractmethod
    async def advance(self, name: str, position: str, *, expected: str) -> None:
        """Store a position, at most 64 ASCII characters, if the stored one is `expected`; otherwise change nothing."""

    @abstractmethod
    async def finish(self, name: str) -> None:
        """Store that the upgrade is finished; a time that is stored already stays."""
