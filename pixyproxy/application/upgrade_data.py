"""Use case: bring stored records up to date."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from pixyproxy.domain.ports import DataUpgrades


class UpgradedBatch(msgspec.Struct, frozen=True):
    """What a batch did: the position of its last record, and how many records it has changed."""

    position: str
    changed: int


class DataUpgrade(Protocol):
    """One change of stored records, done in batches; see `DataUpgrades`."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name under which its progress is kept."""

    @property
    @abstractmethod
    def summary(self) -> str:
        """What it does to how many records, for people; a template such as "turned {} image(s)"."""

    @abstractmethod
    async def upgrade(self, *, after: str) -> UpgradedBatch | None:
        """Upgrade the next records behind the position `after`, which is empty at the beginning; None at the end.

        A record that is up to date stays as it is, so that a batch may be done twice, by two processes at once, too.
        A record that can't be upgraded is passed over. Raises what its ports raise.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeData:
    """Finish the data upgrades in their order; return what each has done, one sentence for each that changed records.

    What is interrupted goes on where it was the next time, and several processes may do it at once. Raises
    `DBConnectionError`, and what an upgrade raises.
    """

    progress: DataUpgrades
    upgrades: Sequence[DataUpgrade]

    async def __call__(self, *, on_batch: Callable[[str, int], None] = lambda _name, _changed: None) -> Sequence[str]:
        """Do it; `on_batch` is told the name of the upgrade and the number of changed records after each batch."""
        done = []
        for upgrade in self.upgrades:
            changed = 0
            while (progress := await self.progress.get(upgrade.name)).finished_at is None:
                batch = await upgrade.upgrade(after=progress.position)
                if batch is None:
                    await self.progress.finish(upgrade.name)
                    break
                # Another process may be farther by now: its position stays and is the next to go on from.
                await self.progress.advance(upgrade.name, batch.position, expected=progress.position)
                changed += batch.changed
                on_batch(upgrade.name, batch.changed)
            if changed:
                done.append(upgrade.summary.format(f"{changed:,}"))
        return done

    async def unfinished(self) -> Sequence[str]:
        """Return the names of the upgrades that are not finished, in their order."""
        return [
            upgrade.name for upgrade in self.upgrades if (await self.progress.get(upgrade.name)).finished_at is None
        ]
