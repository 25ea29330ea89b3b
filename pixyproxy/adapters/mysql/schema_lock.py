"""The lock that upgrades of one database take, one after another."""

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from pixyproxy.adapters.sql.database import SQLDatabase
from pixyproxy.domain.errors import DBConnectionError

# A holder that has not renewed the lock for so long has ended.
_LEASE_SECONDS: Final = 15.0
_RENEWAL_SECONDS: Final = 3.0
_POLL_SECONDS: Final = 0.5

_EXISTS: Final = """
    SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'schema_lock'
"""

_CREATE: Final = """
    CREATE TABLE IF NOT EXISTS schema_lock (
        id INT NOT NULL PRIMARY KEY,
        owner VARCHAR(32) NOT NULL,
        renewals BIGINT NOT NULL
    ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
"""

_ADD: Final = "INSERT INTO schema_lock (id, owner, renewals) VALUES (1, '', 0) ON DUPLICATE KEY UPDATE id = id"

_SELECT: Final = "SELECT owner, renewals FROM schema_lock WHERE id = 1"

_TAKE: Final = """
    UPDATE schema_lock SET owner = :owner, renewals = renewals + 1
    WHERE id = 1 AND owner = :seen_owner AND renewals = :seen_renewals
"""

_RENEW: Final = "UPDATE schema_lock SET renewals = renewals + 1 WHERE id = 1 AND owner = :owner"

_RELEASE: Final = "UPDATE schema_lock SET owner = '' WHERE id = 1 AND owner = :owner"


class SchemaLockLostError(Exception):
    """Another process has taken the lock, because this one seemed to have ended."""


class SchemaLock:
    """A row that is taken by compare-and-set, and renewed while it is held.

    Not a lock of the server's: those are local to one node of a cluster. A process waits as long as it sees the holder
    renew the row, and takes it once the counter of renewals has not moved for 15 seconds of its own monotonic clock. So
    clocks are not compared, and a holder that was killed blocks nothing. One that was frozen finds out by `check`.
    """

    def __init__(self, database: SQLDatabase) -> None:
        self._database = database
        self._owner = secrets.token_hex(16)

    @asynccontextmanager
    async def held(self, is_needed: Callable[[], Awaitable[bool]]) -> AsyncIterator[bool]:
        """Wait for the lock and yield True, or yield False as soon as it `is_needed` no longer."""
        if not await self._acquire(is_needed):
            yield False
            return
        renewing = asyncio.create_task(self._renew())
        try:
            yield True
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            # Otherwise, the lock ends by itself.
            with suppress(DBConnectionError):
                await self._database.execute(_RELEASE, {"owner": self._owner})

    async def check(self) -> None:
        """Renew the lock; raise `SchemaLockLostError` if another process has taken it."""
        if not await self._database.execute(_RENEW, {"owner": self._owner}):
            raise SchemaLockLostError

    async def _acquire(self, is_needed: Callable[[], Awaitable[bool]]) -> bool:
        await self._prepare()
        seen: tuple[str, int] | None = None
        seen_at = 0.0
        while await is_needed():
            ((owner, renewals),) = await self._database.fetch_all(_SELECT)
            if owner == self._owner:
                # The answer to an earlier attempt was lost.
                return True
            if seen != (owner, renewals):
                seen, seen_at = (owner, renewals), time.monotonic()
            if not owner or time.monotonic() - seen_at >= _LEASE_SECONDS:
                taken = {"owner": self._owner, "seen_owner": owner, "seen_renewals": renewals}
                # Galera holds up all writes while a long script runs.
                with suppress(DBConnectionError):
                    if await self._database.execute(_TAKE, taken):
                        return True
            await asyncio.sleep(_POLL_SECONDS * random.uniform(0.5, 1))  # noqa: S311
        return False

    async def _prepare(self) -> None:
        ((exists,),) = await self._database.fetch_all(_EXISTS)
        if not exists:
            await self._database.execute(_CREATE)
        await self._database.execute(_ADD)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_RENEWAL_SECONDS)
            with suppress(DBConnectionError):
                await self._database.execute(_RENEW, {"owner": self._owner})
