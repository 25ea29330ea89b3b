"""Whether a dependency can answer."""

from abc import abstractmethod
from typing import Protocol


class HealthCheck(Protocol):
    """A dependency that requests need, such as a database or a content store."""

    @abstractmethod
    async def check(self) -> None:
        """Return if it can answer; raise `DBConnectionError` or `ContentStoreError` if it can't."""
