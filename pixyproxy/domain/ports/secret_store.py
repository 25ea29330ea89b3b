"""Keys that processes share."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol


class SecretStore(Protocol):
    """Keys that all processes on one database share."""

    @abstractmethod
    async def get(self, name: str) -> bytes:
        """Return the 32 random bytes of this name, made by the first call and the same for every process."""

    @abstractmethod
    async def accepted(self, name: str) -> Sequence[bytes]:
        """Return what `get` returns, and after it the key before the last rotation unless that has revoked it."""

    @abstractmethod
    async def rotate(self, name: str, *, revoke: bool = False) -> None:
        """Replace the key by a new one; keep the one before for `accepted`, or with `revoke` none."""
