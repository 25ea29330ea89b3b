"""Where shared keys live."""

from abc import abstractmethod
from typing import Protocol


class SecretStore(Protocol):
    """Where the keys live that all processes on one database share."""

    @abstractmethod
    async def get(self, name: str) -> bytes:
        """Return the 32 random bytes of this name, the same to everybody who asks, made when somebody asks first."""
