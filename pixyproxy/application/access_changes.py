"""Whether what this process remembers of logins, sessions, API keys and link keys still holds."""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final

from pixyproxy.domain.errors import DBConnectionError
from pixyproxy.domain.ports import AccessMark, AccessVersion

# A process asks for the version at most this often.
LOOK_SECONDS: Final = 2.0
# Nothing is trusted longer without the database.
TRUST_SECONDS: Final = 5.0
# A request waits no longer for the database while what is remembered may be trusted without it.
PATIENCE_SECONDS: Final = 0.5


class AccessChanges:
    """Counts the changes of users, sessions, API keys and link keys: of others within five seconds, its own at once.

    Take a `mark` before you read something to remember, and ask before each use whether it `holds`. `monotonic` is the
    clock in seconds.
    """

    def __init__(self, version: AccessVersion, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._versions = version
        self._monotonic = monotonic
        self._count = 0
        self._version: int | None = None
        self._confirmed_at = -math.inf
        self._looking: asyncio.Task[None] | None = None

    async def mark(self) -> AccessMark:
        """Return the mark of what is read from now on; raise `DBConnectionError`.

        It asks the database if the process has never done so.
        """
        if self._version is None:
            await asyncio.shield(self._look_once())
        return AccessMark(self._count, self._monotonic())

    def is_current(self, mark: AccessMark) -> bool:
        """Whether no change since the mark is known; it asks no database."""
        return mark.changes == self._count

    def is_older(self, mark: AccessMark, seconds: float) -> bool:
        """Whether the mark was taken longer ago than that."""
        return self._monotonic() - mark.at > seconds

    async def holds(self, mark: AccessMark) -> bool:
        """Whether what was read after the mark is the same by now; if not, read it again.

        After five seconds it is False whatever the version is, so that changes by SQL count, too. Raises
        `DBConnectionError` when the database has not answered for five seconds.
        """
        return self._monotonic() - mark.at < TRUST_SECONDS and not await self.has_changed_since(mark)

    async def has_changed_since(self, mark: AccessMark) -> bool:
        """Whether anything has changed since the mark, however old that is.

        Raises `DBConnectionError` when the database has not answered for five seconds.
        """
        if self.is_current(mark):
            await self._confirm()
        return not self.is_current(mark)

    def note_change(self) -> None:
        """Count a change of this process, whose transaction has ended."""
        self._count += 1

    async def _confirm(self) -> None:
        if self._age < LOOK_SECONDS:
            return
        look = self._look_once()
        if self._age < TRUST_SECONDS:
            await asyncio.wait([look], timeout=PATIENCE_SECONDS)
        if self._age >= TRUST_SECONDS:
            await asyncio.shield(look)

    @property
    def _age(self) -> float:
        return self._monotonic() - self._confirmed_at

    def _look_once(self) -> asyncio.Task[None]:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
            # asyncio complains of an error that is never retrieved.
            self._looking.add_done_callback(lambda look: look.cancelled() or look.exception())
        return self._looking

    async def _look(self) -> None:
        # What changes during the look may be missing in its answer.
        started_at = self._monotonic()
        try:
            async with asyncio.timeout(TRUST_SECONDS):
                version = await self._versions.current()
        except TimeoutError:
            raise DBConnectionError("The database does not answer.") from None
        if version != self._version:
            self._version = version
            self._count += 1
        self._confirmed_at = started_at
