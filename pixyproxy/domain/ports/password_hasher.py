"""Hashes passwords."""

from abc import abstractmethod
from typing import Protocol

from pixyproxy.domain.user import Password, PasswordHash


class PasswordHasher(Protocol):
    """Hashes passwords and verifies them.

    Both methods may raise `OverloadedError` when too many calls wait.
    """

    @abstractmethod
    async def hash(self, password: Password) -> PasswordHash:
        """Return a salted hash in the PHC string format, without holding up the event loop."""

    @abstractmethod
    async def verify(self, password_hash: PasswordHash, password: str) -> bool:
        """Whether `password_hash` was made from `password`; false for a malformed hash."""

    @property
    @abstractmethod
    def dummy_hash(self) -> PasswordHash:
        """A hash that matches no password and takes as long to verify as any other."""
