"""The access version in memory."""

from pixyproxy.domain.ports import AccessVersion


class InMemoryAccessVersion(AccessVersion):
    """Counts the changes of the repositories that share it."""

    def __init__(self) -> None:
        self._changes = 0

    async def current(self) -> int:
        return self._changes

    def grow(self) -> None:
        """Count a change."""
        self._changes += 1
