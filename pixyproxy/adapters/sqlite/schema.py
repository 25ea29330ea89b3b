"""The schema of an SQLite file."""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from pixyproxy.adapters.sql.database import SQLDatabase, Transaction
from pixyproxy.adapters.sql.schema_scripts import SchemaRecord, SchemaScript, compare, load_scripts, missing
from pixyproxy.domain.ports import Migration, Schema

_CREATE: Final = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        version INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        checksum TEXT NOT NULL,
        started_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now')),
        applied_at TEXT
    )
"""

_EXISTS: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_migrations'"

_SELECT: Final = "SELECT version, name, checksum, applied_at FROM schema_migrations ORDER BY version"

_RECORD: Final = """
    INSERT INTO schema_migrations (version, name, checksum, applied_at)
    VALUES (:version, :name, :checksum, {now})
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SQLiteSchema(Schema):
    """Applies `scripts`, those of `sql/sqlite`, and records them in table `schema_migrations`.

    Runs all missing scripts and their records in one transaction, which keeps other processes from upgrading meanwhile.
    Raises `SchemaOutdatedError` as `compare` does, and if the database already has what a script would create.
    """

    database: SQLDatabase
    scripts: Sequence[SchemaScript] = field(default_factory=partial(load_scripts, "sqlite"))

    async def status(self) -> Sequence[Migration]:
        rows = await self.database.fetch_all(_SELECT) if await self.database.fetch_all(_EXISTS) else ()
        return compare(self.scripts, [SchemaRecord(*row) for row in rows])

    async def upgrade(self) -> Sequence[Migration]:
        async def apply(transaction: Transaction) -> Collection[int]:
            await transaction.execute(_CREATE)
            records = [SchemaRecord(*row) for row in await transaction.fetch_all(_SELECT)]
            todo = {script.version: script for script in missing(self.scripts, records)}
            for script in todo.values():
                for statement in _statements(script.sql):
                    await transaction.execute(statement)
                await transaction.execute(
                    _RECORD, {"version": script.version, "name": script.name, "checksum": script.checksum}
                )
            return todo.keys()

        applied = await self.database.write(apply)
        return [migration for migration in await self.status() if migration.version in applied]


def _statements(sql: str) -> Iterator[str]:
    # SQLite's own executescript would commit first.
    statement = ""
    *pieces, rest = sql.split(";")
    for piece in pieces:
        statement += f"{piece};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    yield statement + rest
