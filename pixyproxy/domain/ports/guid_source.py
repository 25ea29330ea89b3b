"""Makes guids."""

from abc import abstractmethod
from typing import Protocol
from uuid import UUID


class GuidSource(Protocol):
    """Makes guids."""

    @abstractmethod
    def new(self) -> UUID:
        """Return a new guid that can't be guessed."""
