"""Which idempotency keys are used, and for which image."""

from abc import abstractmethod
from typing import Protocol
from uuid import UUID

from pixyproxy.domain.idempotency import ClaimedImage, IdempotencyKey
from pixyproxy.domain.user import UserName


class IdempotencyKeys(Protocol):
    """Which idempotency keys are used, and for which image; `ImageRepository.add` claims them.

    Keys expire by the clock of the database, which all processes share.
    """

    @abstractmethod
    async def find_claim(self, author: UserName | None, key: IdempotencyKey) -> ClaimedImage | None:
        """Return the image that the author has used the key for, or None if the key is unused or expired."""

    @abstractmethod
    async def forget_claim(self, author: UserName | None, key: IdempotencyKey, guid: UUID) -> None:
        """Remove the author's key, if it was used for the image with this guid."""

    @abstractmethod
    async def forget_expired_claims(self) -> int:
        """Remove the expired keys and return their number."""
