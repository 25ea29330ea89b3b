"""Who may generate, and who next: a waiting room that is bounded and fair."""

import asyncio
from collections import Counter
from typing import Final

from pixyproxy.domain.errors import GenerationNotStartedError, OverloadedError
from pixyproxy.domain.user import UserName

RETRY_AFTER: Final = 10.0


class Place:
    """A place in the waiting room, and then at work; made by `Admission.enter`, given back by `leave`."""

    def __init__(self, admission: "Admission", author: UserName | None) -> None:
        self.author = author
        self._admission = admission
        self._is_decided = asyncio.Event()
        self._reason: str | None = None

    async def turn(self) -> None:
        """Return when the work may begin; raise `GenerationNotStartedError` if the place is lost before."""
        await self._is_decided.wait()
        if self._reason is not None:
            raise GenerationNotStartedError(self._reason, maybe_billed=False, retry_after=RETRY_AFTER)

    def leave(self) -> None:
        """Give the place back; once more does no harm."""
        self._admission.leave(self)

    def begin(self) -> None:
        """Say that the work may begin."""
        self._is_decided.set()

    def lose(self, reason: str) -> None:
        """Say that it may not, and why."""
        self._reason = reason
        self._is_decided.set()


class Admission:
    """Lets at most `max_running` generations run and at most `max_waiting` more wait, and turns the rest away.

    No author can starve the others. Of those who wait, the next is of the author with the fewest running, and among
    these of the one who was not let in for the longest time. And when all places are taken, the author with the most
    gives up the latest of them for one who would even then have fewer (the rule of "longest queue drop" of network
    routers). All who are not logged in count as one author.
    """

    def __init__(self, *, max_running: int = 8, max_waiting: int = 64) -> None:
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._running: set[Place] = set()
        self._waiting: list[Place] = []
        self._is_closed = False
        self._let_in = 0
        self._last_let_in: dict[UserName | None, int] = {}

    def enter(self, author: UserName | None) -> Place:
        """Return a place; raise `OverloadedError` when there is none."""
        if self._is_closed:
            raise OverloadedError("PixyProxy is being stopped; nothing was bought.", retry_after=RETRY_AFTER)
        place = Place(self, author)
        if len(self._running) >= self._max_running and len(self._waiting) >= self._max_waiting:
            self._make_room_for(author)
        self._waiting.append(place)
        self._let_next_in()
        return place

    def leave(self, place: Place) -> None:
        """Take the place back and let the next in."""
        if place in self._waiting:
            self._waiting.remove(place)
        self._running.discard(place)
        if all(other.author != place.author for other in (*self._running, *self._waiting)):
            self._last_let_in.pop(place.author, None)
        self._let_next_in()

    def close(self) -> None:
        """Let nobody in any more: those who wait lose their places, and those who run go on."""
        self._is_closed = True
        for place in self._waiting:
            place.lose("PixyProxy was stopped before it was the image's turn.")
        self._waiting.clear()

    def _let_next_in(self) -> None:
        while self._waiting and len(self._running) < self._max_running:
            running = Counter(place.author for place in self._running)
            place = min(
                self._waiting, key=lambda place: (running[place.author], self._last_let_in.get(place.author, 0))
            )
            self._waiting.remove(place)
            self._running.add(place)
            self._let_in += 1
            self._last_let_in[place.author] = self._let_in
            place.begin()

    def _make_room_for(self, author: UserName | None) -> None:
        held = Counter(place.author for place in (*self._running, *self._waiting))
        latest_first = self._waiting[::-1]
        victim = max(latest_first, key=lambda place: held[place.author], default=None)
        if victim is None or held[author] + 1 >= held[victim.author]:
            raise OverloadedError(
                "As many images as may wait are waiting already; nothing was bought.", retry_after=RETRY_AFTER
            )
        self._waiting.remove(victim)
        victim.lose("The image made way for one of an author who had fewer.")
