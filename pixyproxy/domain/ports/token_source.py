"""Makes random tokens."""

from abc import abstractmethod
from typing import Protocol


class TokenSource(Protocol):
    """Makes random tokens for secrets."""

    @abstractmethod
    def new(self, size: int) -> bytes:
        """Return `size` random bytes that can't be guessed."""
