"""Connections to an SQLite file."""

import asyncio
import os
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import BinaryIO, Final, Self, TypeVar

import aiosqlite

from pixyproxy.adapters.disk.folders import make_data_folder
from pixyproxy.adapters.sql.database import Fetch, Parameters, Rows, SQLDatabase, Transaction
from pixyproxy.adapters.sql.dialect import Dialect
from pixyproxy.adapters.sql.search_turns import SearchTurns
from pixyproxy.adapters.sqlite.dialect import SQLITE
from pixyproxy.adapters.sqlite.errors import is_busy, is_full, is_interrupted, translated_errors
from pixyproxy.domain.errors import DBConnectionError

# Seconds that a write waits for another process.
_BUSY_SECONDS: Final = 5.0

# Attempts of a write that does not get the lock in that time.
_ATTEMPTS: Final = 3

# The reserve for deletions on a full disk. A checkpoint grows the file by at most the size of the write-ahead log,
# which is about 4 MiB (1,000 pages) with SQLite's automatic checkpoints.
_RESERVE_SIZE: Final = 5 << 20

# SQLite checks a search's time limit after this many of its instructions.
_STEPS: Final = 1_000

T = TypeVar("T")


class SQLiteConnections(SQLDatabase):
    """Connections to a file, each for one task: reads see committed data only, and searches delay nothing else.

    One writes, one reads records, one reads lists, and `max_searches` search for words, each for `search_timeout`
    seconds.

    Takes the `path` of the file, which several processes may share. A missing file and its folder are created; since it
    holds password hashes, only its owner may read it. While it is open, an unnamed file reserves 5 MiB of the disk,
    which a deletion may use when the disk is full. Errors are translated by `pixyproxy.adapters.sqlite.errors`.
    """

    def __init__(self, path: Path, *, max_searches: int = 2, search_timeout: float = 10.0) -> None:
        self._path = path
        self._reserve: BinaryIO | None = None
        self._max_searches = max_searches
        self._turns = SearchTurns(max_running=max_searches, seconds=search_timeout)
        self._write_lock = asyncio.Lock()
        self._reader: aiosqlite.Connection | None = None
        self._lister: aiosqlite.Connection | None = None
        self._writer: aiosqlite.Connection | None = None
        self._searchers: list[_Searcher] = []
        self._idle_searchers: list[_Searcher] = []

    @property
    def dialect(self) -> Dialect:
        return SQLITE

    async def open(self) -> None:
        """Open or create the file; raise `DBConnectionError` if that fails."""
        self._write_lock = asyncio.Lock()
        try:
            await self._open()
        except DBConnectionError as exc:
            # Notes are for the operator, the detail for clients.
            exc.add_note(f"{self._path.absolute()}: {getattr(exc.__cause__, 'strerror', None) or exc.__cause__}")
            raise

    async def _open(self) -> None:
        with translated_errors():
            await asyncio.to_thread(self._make_file)
            try:
                self._writer = await self._connect()
                self._reader = await self._connect()
                self._lister = await self._connect()
                for _ in range(self._max_searches):
                    self._searchers.append(await _Searcher.on(await self._connect()))
                self._idle_searchers = self._searchers.copy()
            except BaseException:
                await self.close()
                raise

    async def close(self) -> None:
        """Close the connections when their statements are done."""
        async with self._write_lock:
            for searcher in self._searchers:
                searcher.ends_at = 0.0
            searching = [searcher.connection for searcher in self._searchers]
            for connection in (self._reader, self._lister, self._writer, *searching):
                if connection is not None:
                    await connection.close()
            if self._reserve is not None:
                self._reserve.close()
            self._reserve = None
            self._reader = self._lister = self._writer = None
            self._searchers, self._idle_searchers = [], []

    async def fetch_all(self, sql: str, parameters: Parameters | None = None) -> Rows:
        with translated_errors():
            return await _fetch(_opened(self._reader), sql, parameters)

    async def fetch_list(self, sql: str, parameters: Parameters) -> Rows:
        with translated_errors():
            return await _fetch(_opened(self._lister), sql, parameters)

    @asynccontextmanager
    async def search(self) -> AsyncIterator[Fetch]:
        async with self._turns.turn() as ends_at:
            if not self._idle_searchers:
                raise _closed()
            searcher = self._idle_searchers.pop()
            searcher.ends_at = ends_at
            try:
                with translated_errors():
                    yield searcher.fetch_all
            except DBConnectionError as exc:
                if is_interrupted(exc.__cause__) and self._searchers:
                    raise self._turns.too_slow() from exc
                raise
            finally:
                # A query of a cancelled request runs on, and ends here.
                searcher.ends_at = 0.0
                if self._searchers:
                    self._idle_searchers.append(searcher)

    async def write(self, work: Callable[[Transaction], Awaitable[T]], *, makes_room: bool = False) -> T:
        """Run `work` as one transaction and return its result, as `SQLDatabase` describes.

        Retried while another process keeps the file locked (SQLITE_BUSY). Even a deletion needs space, for the
        write-ahead log; with `makes_room` it may use the reserve.
        """

        async def transact() -> T:
            async with self.transaction() as connection:
                result = await work(_SQLiteTransaction(connection))
            if makes_room and self._reserve is None:
                await asyncio.to_thread(self._make_reserve)
            return result

        for _ in range(1, _ATTEMPTS):
            try:
                return await transact()
            except DBConnectionError as exc:
                if makes_room and is_full(exc.__cause__):
                    await self._give_up_reserve()
                elif not is_busy(exc.__cause__):
                    raise
        return await transact()

    async def execute(self, sql: str, parameters: Parameters | None = None, *, makes_room: bool = False) -> int:
        return await self.write(lambda transaction: transaction.execute(sql, parameters), makes_room=makes_room)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        """Yield a connection whose statements take effect together at the end of the block, or not at all if it raises.

        Nothing is retried: use `write` for that.
        """
        async with self._write_lock:
            connection = _opened(self._writer)
            with translated_errors():
                try:
                    # After a plain BEGIN, two processes could both read and then deadlock.
                    await connection.execute("BEGIN IMMEDIATE")
                    yield connection
                    await connection.commit()
                except BaseException:
                    # The connection runs its statements in order: this one follows a cancelled one, even
                    # if it is cancelled itself.
                    await connection.rollback()
                    raise

    def _make_file(self) -> None:
        make_data_folder(self._path.parent)
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._make_reserve()

    def _make_reserve(self) -> None:
        """Create the reserve, if there is space for it."""
        with suppress(OSError), ExitStack() as stack:
            file = stack.enter_context(tempfile.TemporaryFile(dir=self._path.parent, buffering=0))
            os.posix_fallocate(file.fileno(), 0, _RESERVE_SIZE)
            stack.pop_all()
            self._reserve = file

    async def _give_up_reserve(self) -> None:
        """Release the reserve, and make space in the write-ahead log."""
        async with self._write_lock:
            reserve, self._reserve = self._reserve, None
            if reserve is None:
                return
            reserve.close()
            # Checkpointed pages need not stay in the log.
            with suppress(sqlite3.Error):
                await _opened(self._writer).execute("PRAGMA wal_checkpoint(PASSIVE)")

    async def _connect(self) -> aiosqlite.Connection:
        connection = await aiosqlite.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            # The driver's own error for a text that is not UTF-8 would leave the connection in its read transaction: it
            # would see no later change.
            connection.text_factory = partial(str, encoding="utf-8", errors="replace")
            await _switch_to_write_ahead_log(connection)
            await connection.execute("PRAGMA synchronous = FULL")
            await connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            await connection.close()
            raise
        return connection


class _SQLiteTransaction(Transaction):
    """The statements of a transaction, on its connection."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def execute(self, sql: str, parameters: Parameters | None = None) -> int:
        return (await self._connection.execute(_native(sql), parameters)).rowcount

    async def execute_many(self, sql: str, parameters: Sequence[Parameters]) -> None:
        await self._connection.executemany(_native(sql), parameters)

    async def insert(self, sql: str, parameters: Parameters) -> int:
        return (await self._connection.execute(_native(sql), parameters)).lastrowid or 0

    async def fetch_all(self, sql: str, parameters: Parameters | None = None) -> Rows:
        return await _fetch(self._connection, sql, parameters)


class _Searcher:
    """A connection on which no query runs past `ends_at`."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self.connection = connection
        self.ends_at = 0.0

    @classmethod
    async def on(cls, connection: aiosqlite.Connection) -> Self:
        """Return the searcher on a new connection."""
        searcher = cls(connection)
        await connection.set_progress_handler(searcher._is_over, _STEPS)
        return searcher

    async def fetch_all(self, sql: str, parameters: Parameters) -> Rows:
        """Return all rows of a query."""
        return await _fetch(self.connection, sql, parameters)

    def _is_over(self) -> bool:
        return time.monotonic() > self.ends_at


@lru_cache(maxsize=1_024)
def _native(sql: str) -> str:
    return SQLITE.sql(sql)


async def _fetch(connection: aiosqlite.Connection, sql: str, parameters: Parameters | None) -> Rows:
    return list(await connection.execute_fetchall(_native(sql), parameters))


async def _switch_to_write_ahead_log(connection: aiosqlite.Connection) -> None:
    # When several processes switch a new file at once, SQLite rejects some without waiting.
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            await connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.01)
        else:
            return


def _opened(connection: aiosqlite.Connection | None) -> aiosqlite.Connection:
    if connection is None:
        raise _closed()
    return connection


def _closed() -> DBConnectionError:
    return DBConnectionError("The database is closed.")
