"""Keys that processes share."""

from abc import abstractmethod
from typing import Protocol


class SecretStore(Protocol):
    """Keys that all processes on one database share."""

    @abstractmethod
    async def get(self, name: str) -> bytes:
        """Return the 32 random bytes of this name, made by the first call and the same for every process."""
