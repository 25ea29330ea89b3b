"""Where users live."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from pixyproxy.domain.user import PasswordHash, User, UserName


class UserRepository(Protocol):
    """Where users live; names are compared character by character."""

    @abstractmethod
    async def add(self, user: User) -> User:
        """Store a new user and return it with its id; raise `ConstraintViolationError` if the name is taken."""

    @abstractmethod
    async def get(self, name: UserName) -> User:
        """Return the user; raise `RecordNotFoundError` when there is none."""

    @abstractmethod
    async def set_password_hash(self, name: UserName, password_hash: PasswordHash) -> None:
        """Store a new password hash, and change nothing else; raise `RecordNotFoundError` for an unknown user."""

    @abstractmethod
    async def disable(self, name: UserName) -> None:
        """Disable a user, and change nothing else; raise `RecordNotFoundError` for an unknown user."""

    @abstractmethod
    async def enable(self, name: UserName) -> None:
        """Enable a user, and change nothing else; raise `RecordNotFoundError` for an unknown user."""

    @abstractmethod
    async def list(self) -> Sequence[User]:
        """Return all users, ordered by the code points of their names."""
