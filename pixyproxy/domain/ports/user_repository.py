"""Where users live."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from pixyproxy.domain.user import PasswordHash, User, UserName


class UserRepository(Protocol):
    """Where users live; names are compared exactly, character by character."""

    @abstractmethod
    async def add(self, user: User) -> User:
        """Store a new user and return it with its id; raise `ConstraintViolationError` if the name is taken."""

    @abstractmethod
    async def get(self, name: UserName) -> User:
        """Return the user; raise `RecordNotFoundError` when there is none."""

    @abstractmethod
    async def set_password_hash(self, name: UserName, password_hash: PasswordHash) -> None:
        """Store another password hash of a user and nothing else; raise `RecordNotFoundError` when there is none."""

    @abstractmethod
    async def disable(self, name: UserName) -> None:
        """Store that a user is disabled and nothing else; raise `RecordNotFoundError` when there is none."""

    @abstractmethod
    async def list(self) -> Sequence[User]:
        """Return all users, ordered by name (by code point)."""
