"""Which idempotency keys are used, and for what."""

from abc import abstractmethod
from typing import Protocol
from uuid import UUID

from pixyproxy.domain.idempotency import ClaimedImage, IdempotencyKey
from pixyproxy.domain.user import UserName


class IdempotencyKeys(Protocol):
    """Which idempotency keys are used, and for which image or batch.

    `ImageRepository.add` and `ImageBatches.add_batch` claim them, and raise `ConstraintViolationError` for a key that
    is taken, and for one that is not that of the order to replace any more. They expire by the clock of the database,
    which all processes share.
    """

    @abstractmethod
    async def find_claim(self, author: UserName | None, key: IdempotencyKey) -> ClaimedImage | None:
        """Return what the author has used the key for, or None if the key is unused or expired."""

    @abstractmethod
    async def take_order(self, author: UserName | None, fingerprint: str, attempt: int) -> IdempotencyKey | None:
        """Return the key of the author's unexpired order with this fingerprint that the attempt takes, or None.

        That is, of the orders with lower attempts, one with the highest, and of those the oldest. Its attempt is
        `attempt` from then on; of several calls with the same number, each takes another order.
        """

    @abstractmethod
    async def forget_claim(self, author: UserName | None, key: IdempotencyKey, guid: UUID) -> None:
        """Remove the author's key, if it was used for the image or batch with this guid."""

    @abstractmethod
    async def forget_expired_claims(self) -> int:
        """Remove the expired keys and return their number."""
