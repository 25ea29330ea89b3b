"""Use case: note that the answer to an order has reached its client."""

from dataclasses import dataclass

from pixyproxy.application.place_order import Order
from pixyproxy.domain.ports import IdempotencyKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmAnswer:
    """Note that the whole answer to an order has reached its client, so that no further attempt joins the order.

    A client's own idempotency key stays in use. Raises `DBConnectionError`.
    """

    idempotency_keys: IdempotencyKeys

    async def __call__(self, order: Order) -> None:
        if order.claim.is_order:
            await self.idempotency_keys.forget_claim(order.claim.author, order.claim.key, order.guid)
