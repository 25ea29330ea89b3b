"""Use case: upgrade stored records."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from pixyproxy.domain.ports import DataUpgrades


class UpgradedBatch(msgspec.Struct, frozen=True):
    """The outcome of a batch: the position of its last record, and the number of records it changed."""

    position: str
    changed: int


class DataUpgrade(Protocol):
    """One upgrade of stored records, done in batches; see `DataUpgrades`."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name that its progress is stored under."""

    @property
    @abstractmethod
    def summary(self) -> str:
        """A template of the sentence that reports it, such as "turned {} image(s)"."""

    @abstractmethod
    async def upgrade(self, *, after: str) -> UpgradedBatch | None:
        """Upgrade the next records after the position `after`, which is empty at the start; return None at the end.

        Leaves records alone that are up to date, so that a batch may be repeated, also by two processes at once. Skips
        records that can't be upgraded. Raises what its ports raise.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeData:
    """Run the pending data upgrades in order; return a sentence for each that changed records.

    An interrupted upgrade goes on where it was, and several processes may run them at once. Raises `DBConnectionError`,
    and what an upgrade raises.
    """

    progress: DataUpgrades
    upgrades: Sequence[DataUpgrade]

    async def __call__(self, *, on_batch: Callable[[str, int], None] = lambda _name, _changed: None) -> Sequence[str]:
        """Run them; `on_batch` gets the upgrade's name and its number of changed records after each batch."""
        done = []
        for upgrade in self.upgrades:
            changed = 0
            while (progress := await self.progress.get(upgrade.name)).finished_at is None:
                batch = await upgrade.upgrade(after=progress.position)
                if batch is None:
                    await self.progress.finish(upgrade.name)
                    break
                # Another process may be ahead: go on from its position.
                await self.progress.advance(upgrade.name, batch.position, expected=progress.position)
                changed += batch.changed
                on_batch(upgrade.name, batch.changed)
            if changed:
                done.append(upgrade.summary.format(f"{changed:,}"))
        return done

    async def unfinished(self) -> Sequence[str]:
        """Return the names of the pending upgrades, in order."""
        return [
            upgrade.name for upgrade in self.upgrades if (await self.progress.get(upgrade.name)).finished_at is None
        ]
