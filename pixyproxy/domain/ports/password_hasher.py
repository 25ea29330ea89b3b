"""What hashes passwords."""

from abc import abstractmethod
from typing import Protocol

from pixyproxy.domain.user import Password, PasswordHash


class PasswordHasher(Protocol):
    """What turns passwords into hashes that can't be turned back.

    May raise `OverloadedError` when too many are asked for at once.
    """

    @abstractmethod
    async def hash(self, password: Password) -> PasswordHash:
        """Return a salted hash in the PHC string format, without holding up the event loop."""

    @abstractmethod
    async def verify(self, password_hash: PasswordHash, password: str) -> bool:
        """Whether `password_hash` was made from `password`; false for a hash that is malformed."""

    @property
    @abstractmethod
    def dummy_hash(self) -> PasswordHash:
        """A hash that no password fits and whose verification costs what any other costs."""
