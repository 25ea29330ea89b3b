"""Where API keys live."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from pixyproxy.domain.api_key import APIKey
from pixyproxy.domain.user import UserName


class APIKeyRepository(Protocol):
    """Where API keys live, without their secrets."""

    @abstractmethod
    async def add(self, key: APIKey) -> None:
        """Store a new key; raise `ConstraintViolationError` if its guid or its digest is stored."""

    @abstractmethod
    async def get(self, guid: UUID) -> APIKey:
        """Return the key; raise `RecordNotFoundError` when there is none."""

    @abstractmethod
    async def find(self, digest: str) -> APIKey | None:
        """Return the key whose secret has this digest, also a revoked one, or None."""

    @abstractmethod
    async def list(self, user: UserName | None = None) -> Sequence[APIKey]:
        """Return the keys of a user, or of all users, oldest first; revoked and expired ones, too."""

    @abstractmethod
    async def revoke(self, guid: UUID, at: datetime) -> None:
        """Revoke a key; one that is revoked already stays as it is.

        Raises `RecordNotFoundError` when there is none.
        """

    @abstractmethod
    async def note_use(self, guid: UUID, at: datetime) -> None:
        """Store that a key was used at `at`, unless it was used later; ignore an unknown key."""
