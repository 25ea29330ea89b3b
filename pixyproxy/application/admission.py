"""Bounded, fair admission of generations."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

from pixyproxy.domain.errors import DataValidationError, GenerationNotStartedError, OverloadedError
from pixyproxy.domain.user import UserName

RETRY_AFTER: Final = 10.0


class Slot:
    """One generation's slot, first in the queue and then at work: made by `Admission.reserve`, ended by `release`."""

    def __init__(self, admission: "Admission", author: UserName | None) -> None:
        self.author = author
        self._admission = admission
        self._is_decided = asyncio.Event()
        self._reason: str | None = None

    async def granted(self) -> None:
        """Return when the work may begin; raise `GenerationNotStartedError` if the slot is revoked before."""
        await self._is_decided.wait()
        if self._reason is not None:
            raise GenerationNotStartedError(self._reason, maybe_billed=False, retry_after=RETRY_AFTER)

    def release(self) -> None:
        """Free the slot; releasing it twice is harmless."""
        self._admission.release(self)

    def grant(self) -> None:
        """Let the work begin."""
        self._is_decided.set()

    def revoke(self, reason: str) -> None:
        """Refuse the work, with the reason that its author is told."""
        self._reason = reason
        self._is_decided.set()


class Admission:
    """Admits at most `max_running` generations at once, queues at most `max_waiting` more and refuses the rest.

    No author can starve the others. The next slot goes to the author with the fewest running generations, and among
    equals to the one who has waited longest since their last. When all slots are taken, the author with the most gives
    up the latest queued one for an author who would still have fewer (the "longest queue drop" of network routers).
    All anonymous users count as one author.
    """

    def __init__(self, *, max_running: int = 8, max_waiting: int = 64) -> None:
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._running: set[Slot] = set()
        self._waiting: list[Slot] = []
        self._is_closed = False
        self._grants = 0
        self._last_grants: dict[UserName | None, int] = {}

    def reserve(self, author: UserName | None) -> Slot:
        """Return a slot; raise `OverloadedError` when there is none."""
        (slot,) = self.reserve_all(author, 1)
        return slot

    def reserve_all(self, author: UserName | None, count: int) -> Sequence[Slot]:
        """Return `count` slots; raise `OverloadedError` and reserve none when there are not enough.

        Raises `DataValidationError` for more than there ever are.
        """
        self._ensure_open()
        limit = max(1, self._max_running + self._max_waiting)
        if count > limit:
            raise DataValidationError("n", f"must be at most {limit} here, as many images as are admitted at once")
        for victim in self._victims(author, count):
            self._waiting.remove(victim)
            victim.revoke("The image made way for one of an author who had fewer.")
        slots = [Slot(self, author) for _ in range(count)]
        self._waiting += slots
        self._grant_next()
        return slots

    def ensure_room(self, author: UserName | None) -> None:
        """Raise `OverloadedError` if `reserve` would; reserve nothing."""
        self._ensure_open()
        self._victims(author, 1)

    def release(self, slot: Slot) -> None:
        """Free the slot and grant the next."""
        if slot in self._waiting:
            self._waiting.remove(slot)
        self._running.discard(slot)
        if all(other.author != slot.author for other in (*self._running, *self._waiting)):
            self._last_grants.pop(slot.author, None)
        self._grant_next()

    def close(self) -> None:
        """Revoke all queued slots and reserve no more; running generations go on."""
        self._is_closed = True
        for slot in self._waiting:
            slot.revoke("PixyProxy was stopped before it was the image's turn.")
        self._waiting.clear()

    def _ensure_open(self) -> None:
        if self._is_closed:
            raise OverloadedError("PixyProxy is being stopped; nothing was bought.", retry_after=RETRY_AFTER)

    def _grant_next(self) -> None:
        while self._waiting and len(self._running) < self._max_running:
            running = Counter(slot.author for slot in self._running)
            slot = min(self._waiting, key=lambda slot: (running[slot.author], self._last_grants.get(slot.author, 0)))
            self._waiting.remove(slot)
            self._running.add(slot)
            self._grants += 1
            self._last_grants[slot.author] = self._grants
            slot.grant()

    def _victims(self, author: UserName | None, count: int) -> Sequence[Slot]:
        """Return the queued slots that make way for `count` more; raise `OverloadedError` if there are too few."""
        held = Counter(slot.author for slot in (*self._running, *self._waiting))
        latest_first = self._waiting[::-1]
        victims: list[Slot] = []
        while held.total() + count > self._max_running + self._max_waiting:
            victim = max(latest_first, key=lambda slot: held[slot.author], default=None)
            if victim is None or held[author] + count >= held[victim.author]:
                raise OverloadedError(
                    "As many images as may wait are waiting already; nothing was bought.", retry_after=RETRY_AFTER
                )
            latest_first.remove(victim)
            held[victim.author] -= 1
            victims.append(victim)
        return victims
