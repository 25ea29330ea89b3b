"""The progress of data upgrades."""

from abc import abstractmethod
from datetime import datetime
from typing import Protocol

import msgspec


class UpgradeProgress(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of one data upgrade: done up to `position`, finished at `finished_at` in UTC.

    `position` is empty at the start, and opaque to everything but the upgrade.
    """

    position: str = ""
    finished_at: datetime | None = None


class DataUpgrades(Protocol):
    """The progress of data upgrades: changes of stored records that a schema script can't make.

    An upgrade is a `pixyproxy.application.upgrade_data.DataUpgrade`. It works in idempotent batches, and `UpgradeData`
    stores its position after each: a killed process resumes there, and several processes may work at once. To add an
    upgrade, write a `DataUpgrade` with a new name and add it to `container.data_upgrades`. Never reuse a name: an
    upgrade that was finished under it counts as finished.
    """

    @abstractmethod
    async def get(self, name: str) -> UpgradeProgress:
        """Return the progress of the upgrade with this name of at most 64 ASCII characters."""

    @abstractmethod
    async def advance(self, name: str, position: str, *, expected: str) -> None:
        """Store a position of at most 64 ASCII characters if the stored one is `expected`."""

    @abstractmethod
    async def finish(self, name: str) -> None:
        """Store that the upgrade is finished; keep an earlier time."""
