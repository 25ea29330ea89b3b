"""Connections to a MySQL or MariaDB server, or to a cluster of them."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from typing import Any, Final, TypeVar

from pixyproxy.adapters.mysql.cluster import Cluster
from pixyproxy.adapters.mysql.dialect import MYSQL
from pixyproxy.adapters.mysql.errors import (
    CONFLICTS,
    NO_ROOM,
    STATEMENT_TIMEOUTS,
    UNDONE,
    connection_errors,
    driver_errors,
    error_code,
    is_lost,
    translated_errors,
)
from pixyproxy.adapters.mysql.slow_work import SlowWork
from pixyproxy.adapters.sql.database import Fetch, Parameters, Rows, SQLDatabase, Transaction
from pixyproxy.adapters.sql.dialect import Dialect
from pixyproxy.adapters.sql.search_turns import SearchTurns
from pixyproxy.domain.errors import DBConnectionError

# Attempts to connect to a server that has too many connections.
_ROOM_SECONDS: Final = 0.1

# Attempts of a write that conflicts with others, and the first pause in seconds.
_ATTEMPTS: Final = 10
_PAUSE_SECONDS: Final = 0.01
_MAX_PAUSE_SECONDS: Final = 0.5

# Attempts on other connections, of work that a server has lost or refused.
_SPARE_ATTEMPTS: Final = 2

T = TypeVar("T")


class MySQLConnections(SQLDatabase):
    """A pool of connections, opened on demand and discarded when their state is in doubt.

    Takes the `url` (see `parse_url`), the maximum number of connections, and times in seconds: to wait for a connection
    and to open one (`connect_timeout` each), for work on one (`timeout`), and until an idle one is no longer trusted
    (`idle_timeout`), because firewalls drop idle connections silently. Then the number of concurrent searches for
    words, and the time of each, and whether reads wait for what other servers have written before (`consistent_reads`,
    for a cluster whose servers are used at the same time). Raises `ValueError` for a malformed url; other errors are
    translated by `pixyproxy.adapters.mysql.errors`.

    If the server has too many connections, the pool waits for one of its own.

    Of several hosts, `pixyproxy.adapters.mysql.cluster` chooses the one to connect to. Work stays on its connection.
    While an earlier host is out, the pool looks at it every few seconds; once that is usable, work that begins goes
    there, and connections to the later one are closed.

    A read whose connection is lost is repeated on another, and so is a transaction that is lost before its commit. A
    statement that a server refuses (because it is not ready, or read-only) goes to another one. A single statement that
    is lost, or a commit, is never repeated: it may have taken effect. A server that hangs is left after about four
    seconds (`SlowWork`).

    The driver's pool is not used: when the task that holds a connection is cancelled, the connection is closed and a
    waiting task is not woken.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 16,
        connect_timeout: float = 5.0,
        timeout: float = 30.0,
        idle_timeout: float = 60.0,
        max_searches: int = 2,
        search_timeout: float = 10.0,
        consistent_reads: bool = False,
    ) -> None:
        self._cluster = Cluster(url, connect_timeout=connect_timeout, consistent_reads=consistent_reads)
        self._slow_work = SlowWork(self._cluster.answers)
        self._look: asyncio.Task[None] | None = None
        self._turns = SearchTurns(max_running=max_searches, seconds=search_timeout)
        self._pool_size = pool_size
        self._connect_timeout = connect_timeout
        self._timeout = timeout
        self._idle_timeout = idle_timeout
        self._slots = asyncio.Semaphore(pool_size)
        self._idle: list[Any] = []
        self._given_back = asyncio.Event()
        self._waiting_for_room = asyncio.Lock()
        self._is_open = False

    @property
    def dialect(self) -> Dialect:
        return MYSQL

    async def open(self) -> None:
        """Allow connections; the server need not be reachable yet."""
        self._slots = asyncio.Semaphore(self._pool_size)
        self._given_back = asyncio.Event()
        self._waiting_for_room = asyncio.Lock()
        self._is_open = True

    async def close(self) -> None:
        """Close idle connections now, and the others when their work is done."""
        self._is_open = False
        if self._look is not None:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)
        await self._slow_work.close()
        while self._idle:
            await _quit(self._idle.pop())

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[Any]:
        """Yield a cursor on which each statement is a transaction of its own."""
        with translated_errors():
            async with self._lent() as connection, connection.cursor() as cursor:
                yield cursor

    async def fetch_all(self, sql: str, parameters: Parameters | None = None) -> Rows:
        return await self._fetch(_native(sql), parameters)

    async def fetch_list(self, sql: str, parameters: Parameters) -> Rows:
        return await self.fetch_all(sql, parameters)

    @asynccontextmanager
    async def search(self) -> AsyncIterator[Fetch]:
        async with self._turns.turn() as ends_at:

            async def fetch_all(sql: str, parameters: Parameters) -> Rows:
                return await self._fetch(_limited(_native(sql), ends_at - time.monotonic()), parameters)

            try:
                yield fetch_all
            except DBConnectionError as exc:
                if error_code(exc.__cause__) in STATEMENT_TIMEOUTS:
                    raise self._turns.too_slow() from exc
                raise

    async def execute(self, sql: str, parameters: Parameters | None = None, *, makes_room: bool = False) -> int:  # noqa: ARG002 -- nothing is reserved
        async def run() -> int:
            async with self.autocommit() as cursor:
                return int(await cursor.execute(_native(sql), parameters))

        return await self._retried(run, lambda failure: error_code(failure) in UNDONE)

    async def write(self, work: Callable[[Transaction], Awaitable[T]], *, makes_room: bool = False) -> T:  # noqa: ARG002 -- nothing is reserved
        """Run `work` as one transaction and return its result, as `SQLDatabase` describes.

        It is retried after a deadlock (1213, also at its commit: so Galera calls conflicts between nodes), a lock wait
        time-out (1205) or a record that has changed since the transaction's snapshot (1020, MariaDB's
        `innodb_snapshot_isolation`), no longer than a statement may take.
        """
        is_committing = False

        async def transact() -> T:
            nonlocal is_committing
            is_committing = False
            async with self.transaction() as cursor:
                result = await work(_MySQLTransaction(cursor))
                is_committing = True
            return result

        return await self._retried(
            transact, lambda failure: error_code(failure) in UNDONE or (is_lost(failure) and not is_committing)
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """Yield a cursor whose statements take effect together at the end of the block, or not at all if it raises.

        Nothing is retried: use `write` for that.
        """
        with translated_errors():
            async with self._lent() as connection, connection.cursor() as cursor:
                await connection.begin()
                yield cursor
                await connection.commit()

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[Any]:
        """Yield a cursor on its own connection, which may work for long and is closed after the block."""
        with translated_errors():
            connection = await self._connect()
            try:
                async with self._slow_work.watch(connection.place, None), connection.cursor() as cursor:
                    yield cursor
            finally:
                connection.close()

    async def _fetch(self, sql: str, parameters: Parameters | None) -> Rows:
        def has_no_effect(failure: BaseException | None) -> bool:
            return error_code(failure) in UNDONE or is_lost(failure)

        try:
            return await self._fetch_once(sql, parameters)
        except DBConnectionError as exc:
            if error_code(exc.__cause__) not in CONFLICTS and not has_no_effect(exc.__cause__):
                raise
        return await self._retried(lambda: self._fetch_once(sql, parameters), has_no_effect)

    async def _fetch_once(self, sql: str, parameters: Parameters | None) -> Rows:
        async with self.autocommit() as cursor:
            await cursor.execute(sql, parameters)
            rows: Rows = await cursor.fetchall()
        return rows

    async def _retried(
        self, work: Callable[[], Awaitable[T]], has_no_effect: Callable[[BaseException | None], bool]
    ) -> T:
        """Repeat work after conflicts, and a few times after other failures that have no effect."""
        spare_attempts = _SPARE_ATTEMPTS
        with translated_errors():
            async with asyncio.timeout(self._timeout):
                for attempt in range(1, _ATTEMPTS):
                    try:
                        return await work()
                    except DBConnectionError as exc:
                        if error_code(exc.__cause__) not in CONFLICTS:
                            if not (spare_attempts and has_no_effect(exc.__cause__)):
                                raise
                            spare_attempts -= 1
                    # Random, so that conflicting writers don't collide again.
                    pause = min(_PAUSE_SECONDS * 2**attempt, _MAX_PAUSE_SECONDS)
                    await asyncio.sleep(random.uniform(0, pause))  # noqa: S311
                return await work()

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[Any]:
        async with asyncio.timeout(self._connect_timeout):
            await self._slots.acquire()
        try:
            connection = await self._obtain()
            self._look_back()
            try:
                async with self._slow_work.watch(connection.place, self._timeout):
                    yield connection
            except BaseException as exc:
                await self._take_back(connection, exc)
                raise
            self._give_back(connection)
        finally:
            # Closed or not, the connection has freed its slot.
            self._given_back.set()
            self._slots.release()

    async def _take_back(self, connection: Any, failure: BaseException) -> None:
        if error_code(failure) in CONFLICTS:
            with suppress(*connection_errors()):
                await connection.rollback()
                self._give_back(connection)
                return
        if error_code(failure) in UNDONE:
            self._cluster.give_up(connection.place, f"error {error_code(failure)}")
        if error_code(failure) in UNDONE or is_lost(failure):
            self._close_idle(lambda idle: bool(idle.place == connection.place))
        # The server rolls back when the connection ends.
        await _quit(connection)

    def _look_back(self) -> None:
        """Go back to an earlier host, if it is usable again, while work goes on."""
        if self._cluster.is_to_look_back and (self._look is None or self._look.done()):
            self._look = asyncio.create_task(self._return())

    async def _return(self) -> None:
        connection = await self._cluster.look_back()
        if connection is not None:
            self._close_idle(lambda idle: not self._cluster.is_to_keep(idle))
            self._give_back(connection)

    def _close_idle(self, is_unwanted: Callable[[Any], bool]) -> None:
        unwanted = [connection for connection in self._idle if is_unwanted(connection)]
        self._idle = [connection for connection in self._idle if not is_unwanted(connection)]
        for connection in unwanted:
            connection.close()

    def _give_back(self, connection: Any) -> None:
        if self._is_open and connection.is_sound and self._cluster.is_to_keep(connection):
            self._idle.append(connection)
        else:
            connection.close()

    async def _obtain(self) -> Any:
        """Return an idle connection, or a new one; if the server has too many, wait for one."""
        if connection := self._take_idle():
            return connection
        try:
            return await self._connect()
        except driver_errors() as exc:
            if error_code(exc) not in NO_ROOM:
                raise
            with suppress(TimeoutError):
                async with asyncio.timeout(self._connect_timeout), self._waiting_for_room:
                    return await self._obtain_when_there_is_room()
            raise

    async def _obtain_when_there_is_room(self) -> Any:
        while True:
            self._given_back.clear()
            if connection := self._take_idle():
                return connection
            try:
                return await self._connect()
            except driver_errors() as exc:
                if error_code(exc) not in NO_ROOM:
                    raise
            with suppress(TimeoutError):
                async with asyncio.timeout(_ROOM_SECONDS):
                    await self._given_back.wait()

    def _take_idle(self) -> Any | None:
        while self._idle:
            # Last in, first out: with little load, the others expire and are closed.
            connection = self._idle.pop()
            is_fresh = connection.loop.time() - connection.last_usage < self._idle_timeout
            if is_fresh and connection.is_sound and self._cluster.is_to_keep(connection):
                return connection
            connection.close()
        return None

    async def _connect(self) -> Any:
        if not self._is_open:
            raise DBConnectionError("The database is closed.")
        return await self._cluster.connect()


class _MySQLTransaction(Transaction):
    """The statements of a transaction, on its cursor."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    async def execute(self, sql: str, parameters: Parameters | None = None) -> int:
        return int(await self._cursor.execute(_native(sql), parameters))

    async def execute_many(self, sql: str, parameters: Sequence[Parameters]) -> None:
        await self._cursor.executemany(_native(sql), parameters)

    async def insert(self, sql: str, parameters: Parameters) -> int:
        await self.execute(sql, parameters)
        return int(self._cursor.lastrowid)

    async def fetch_all(self, sql: str, parameters: Parameters | None = None) -> Rows:
        await self.execute(sql, parameters)
        rows: Rows = await self._cursor.fetchall()
        return rows


@lru_cache(maxsize=1_024)
def _native(sql: str) -> str:
    return MYSQL.sql(sql)


def _limited(sql: str, seconds: float) -> str:
    """Return a query that the server ends after `seconds`: it runs on after its client disconnects.

    Only MariaDB executes `/*M! */`, and only MySQL reads `/*+ */`.
    """
    seconds = max(seconds, 0.001)
    query = sql.lstrip().removeprefix("SELECT")
    return (
        f"/*M! SET STATEMENT max_statement_time = {seconds:.3f} FOR */"
        f" SELECT /*+ MAX_EXECUTION_TIME({int(seconds * 1_000)}) */{query}"
    )


async def _quit(connection: Any) -> None:
    try:
        with suppress(OSError):
            await connection.ensure_closed()
    finally:
        connection.close()
