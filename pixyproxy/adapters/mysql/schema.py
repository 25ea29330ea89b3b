"""The schema of a MySQL or MariaDB database."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from pymysql.constants import ER

from pixyproxy.adapters.mysql.connections import MySQLConnections
from pixyproxy.adapters.mysql.errors import CONFLICTS, driver_errors, error_code
from pixyproxy.adapters.mysql.schema_lock import SchemaLock, SchemaLockLostError
from pixyproxy.adapters.sql.schema_scripts import SchemaRecord, SchemaScript, compare, load_scripts, missing
from pixyproxy.domain.ports import Migration, Schema

_CREATE: Final = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        version INT NOT NULL PRIMARY KEY,
        name VARCHAR(255) NOT NULL,
        checksum CHAR(64) NOT NULL,
        started_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
        applied_at TIMESTAMP(6) NULL DEFAULT NULL
    ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
"""

_EXISTS: Final = """
    SELECT COUNT(*) FROM information_schema.tables
    WHERE table_schema = DATABASE() AND table_name = 'schema_migrations'
"""

_SELECT: Final = "SELECT version, name, checksum, applied_at FROM schema_migrations ORDER BY version"

_START: Final = """
    INSERT INTO schema_migrations (version, name, checksum) VALUES (%(version)s, %(name)s, %(checksum)s)
"""

_FINISH: Final = """
    UPDATE schema_migrations
    SET name = %(name)s, checksum = %(checksum)s, applied_at = CURRENT_TIMESTAMP(6)
    WHERE version = %(version)s
"""

_FORGET: Final = "DELETE FROM schema_migrations WHERE version = %(version)s"

# Galera ends a statement that another node's script gets in the way of.
_ATTEMPTS: Final = 10
_PAUSE_SECONDS: Final = 0.2

_ALREADY_DONE: Final = {ER.TABLE_EXISTS_ERROR, ER.DUP_FIELDNAME, ER.DUP_KEYNAME, ER.CANT_DROP_FIELD_OR_KEY}


@dataclass(frozen=True, slots=True, kw_only=True)
class MySQLSchema(Schema):
    """Applies `scripts`, those of `sql/mysql`, and records them in table `schema_migrations`.

    MySQL commits each DDL statement by itself, so a script has one statement and is recorded before it runs. A crash
    leaves at most one script whose outcome is unknown; it runs again, and it is no error if it had taken effect. A
    `SchemaLock` keeps two upgrades apart, also on two nodes of a cluster.

    Raises `SchemaOutdatedError` as `compare` does, and if the database already has what a script would create.
    """

    database: MySQLConnections
    scripts: Sequence[SchemaScript] = field(default_factory=partial(load_scripts, "mysql"))

    async def status(self) -> Sequence[Migration]:
        return compare(self.scripts, await self._records())

    async def upgrade(self) -> Sequence[Migration]:
        lock = SchemaLock(self.database)
        applied: set[int] = set()
        while await self._is_outdated():
            async with lock.held(self._is_outdated) as is_held:
                if is_held:
                    with suppress(SchemaLockLostError):
                        await self._apply_missing(lock, applied)
        return [migration for migration in await self.status() if migration.version in applied]

    async def _records(self) -> Sequence[SchemaRecord]:
        ((exists,),) = await self.database.fetch_all(_EXISTS)
        return [SchemaRecord(*row) for row in await self.database.fetch_all(_SELECT)] if exists else ()

    async def _is_outdated(self) -> bool:
        return bool(missing(self.scripts, await self._records()))

    async def _apply_missing(self, lock: SchemaLock, applied: set[int]) -> None:
        records = await self._records()
        started = {record.version for record in records}
        async with self.database.dedicated() as cursor:
            await _execute(cursor, _CREATE)
            for script in missing(self.scripts, records):
                await lock.check()
                await _apply(cursor, script, lock, was_started=script.version in started)
                applied.add(script.version)


async def _apply(cursor: Any, script: SchemaScript, lock: SchemaLock, *, was_started: bool) -> None:
    record = {"version": script.version, "name": script.name, "checksum": script.checksum}
    if not was_started:
        await _execute(cursor, _START, record)
    try:
        await _execute(cursor, script.sql)
    except driver_errors() as exc:
        if not (was_started and error_code(exc) in _ALREADY_DONE):
            if not cursor.connection.closed:
                # Not if another process goes on with the script.
                await lock.check()
                # The server refused the statement: an existing object is not this script's work.
                await _execute(cursor, _FORGET, record)
            raise
    await _execute(cursor, _FINISH, record)


async def _execute(cursor: Any, sql: str, parameters: Mapping[str, object] | None = None) -> None:
    for _ in range(1, _ATTEMPTS):
        try:
            await cursor.execute(sql, parameters)
        except driver_errors() as exc:
            if error_code(exc) not in CONFLICTS:
                raise
        else:
            return
        await asyncio.sleep(_PAUSE_SECONDS)
    await cursor.execute(sql, parameters)
