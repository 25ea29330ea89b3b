"""The schema of a MySQL or MariaDB database."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from pymysql.constants import ER

from pixyproxy.adapters.mysql.connections import MySQLConnections
from pixyproxy.adapters.mysql.errors import driver_errors, error_code
from pixyproxy.adapters.sql.schema_scripts import SchemaRecord, SchemaScript, compare, load_scripts, missing
from pixyproxy.domain.errors import DBConnectionError
from pixyproxy.domain.ports import Migration, Schema

_LOCK_SECONDS: Final = 60

# A lock's name is global to the server and has at most 64 characters.
_LOCK: Final = "SELECT GET_LOCK(CONCAT('pixyproxy-schema-', LEFT(SHA2(DATABASE(), 256), 40)), %(seconds)s)"

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

_ALREADY_DONE: Final = {ER.TABLE_EXISTS_ERROR, ER.DUP_FIELDNAME, ER.DUP_KEYNAME, ER.CANT_DROP_FIELD_OR_KEY}


@dataclass(frozen=True, slots=True, kw_only=True)
class MySQLSchema(Schema):
    """Applies `scripts`, those of `sql/mysql`, and records them in table `schema_migrations`.

    MySQL commits each DDL statement by itself, so a script has one statement and is recorded before it runs. A crash
    leaves at most one script whose outcome is unknown; it runs again, and it is no error if it had taken effect. A
    server lock, which ends with its holder's connection, keeps two upgrades apart.

    Raises `SchemaOutdatedError` as `compare` does, and if the database already has what a script would create.
    """

    database: MySQLConnections
    scripts: Sequence[SchemaScript] = field(default_factory=partial(load_scripts, "mysql"))

    async def status(self) -> Sequence[Migration]:
        async with self.database.autocommit() as cursor:
            return compare(self.scripts, await _records(cursor))

    async def upgrade(self) -> Sequence[Migration]:
        async with self.database.dedicated() as cursor:
            await cursor.execute(_LOCK, {"seconds": _LOCK_SECONDS})
            (is_locked,) = await cursor.fetchone()
            if not is_locked:
                raise DBConnectionError("Another process has been upgrading the database for too long.")
            records = await _records(cursor)
            started = {record.version for record in records}
            todo = {script.version: script for script in missing(self.scripts, records)}
            if todo:
                await cursor.execute(_CREATE)
            for script in todo.values():
                await _apply(cursor, script, was_started=script.version in started)
            status = compare(self.scripts, await _records(cursor))
        return [migration for migration in status if migration.version in todo]


async def _records(cursor: Any) -> Sequence[SchemaRecord]:
    await cursor.execute(_EXISTS)
    (exists,) = await cursor.fetchone()
    if not exists:
        return ()
    await cursor.execute(_SELECT)
    return [SchemaRecord(*row) for row in await cursor.fetchall()]


async def _apply(cursor: Any, script: SchemaScript, *, was_started: bool) -> None:
    record = {"version": script.version, "name": script.name, "checksum": script.checksum}
    if not was_started:
        await cursor.execute(_START, record)
    try:
        await cursor.execute(script.sql)
    except driver_errors() as exc:
        if not (was_started and error_code(exc) in _ALREADY_DONE):
            if not cursor.connection.closed:
                # The server refused the statement: an existing object is not this script's work.
                await cursor.execute(_FORGET, record)
            raise
    await cursor.execute(_FINISH, record)
