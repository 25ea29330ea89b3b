"""Where guids come from."""

from abc import abstractmethod
from typing import Protocol
from uuid import UUID


class GuidSource(Protocol):
    """Where guids come from."""

    @abstractmethod
    def new(self) -> UUID:
        """Return a guid that nobody has seen or can guess."""
