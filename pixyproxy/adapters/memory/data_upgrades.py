"""The progress of data upgrades in memory."""

from datetime import UTC, datetime

from pixyproxy.domain.ports import DataUpgrades, UpgradeProgress


class InMemoryDataUpgrades(DataUpgrades):
    """Keeps progress as long as the object lives."""

    def __init__(self) -> None:
        self._progress: dict[str, UpgradeProgress] = {}

    async def get(self, name: str) -> UpgradeProgress:
        return self._progress.get(name, UpgradeProgress())

    async def advance(self, name: str, position: str, *, expected: str) -> None:
        progress = await self.get(name)
        if progress.position == expected:
            self._progress[name] = UpgradeProgress(position=position, finished_at=progress.finished_at)

    async def finish(self, name: str) -> None:
        progress = await self.get(name)
        finished_at = progress.finished_at or datetime.now(UTC)
        self._progress[name] = UpgradeProgress(position=progress.position, finished_at=finished_at)
