"""What every `Schema` promises, and what all that are kept in `sql/` have in common."""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pixyproxy.adapters import schema_scripts
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.mysql.schema import MySQLSchema
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.adapters.sqlite.schema import SQLiteSchema
from pixyproxy.domain.errors import SchemaOutdatedError
from pixyproxy.domain.ports import Schema

TABLES = ["image_tags", "images", "schema_migrations", "users"]

UPGRADE = """
import asyncio, sys
from pathlib import Path
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.mysql.schema import MySQLSchema
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.adapters.sqlite.schema import SQLiteSchema

async def main(dialect, address):
    database = MySQLDatabase(address) if dialect == "mysql" else SQLiteDatabase(Path(address))
    schema = MySQLSchema(database=database) if dialect == "mysql" else SQLiteSchema(database=database)
    sys.stdin.read()
    await database.open()
    applied = await schema.upgrade()
    await database.close()
    print(len(applied))

asyncio.run(main(*sys.argv[1:]))
"""


class Target:
    """A database without a schema, and what a test must know of it to look behind the port."""

    def __init__(self, dialect: str, address: str, folder: Path) -> None:
        self.dialect = dialect
        self.address = address
        self.folder = folder
        self.mysql = MySQLDatabase(address) if dialect == "mysql" else None
        self.sqlite = SQLiteDatabase(Path(address)) if dialect == "sqlite" else None

    @property
    def schema(self) -> Schema:
        if self.mysql:
            return MySQLSchema(database=self.mysql)
        assert self.sqlite
        return SQLiteSchema(database=self.sqlite)

    async def open(self) -> None:
        database = self.mysql or self.sqlite
        assert database
        await database.open()

    async def close(self) -> None:
        database = self.mysql or self.sqlite
        assert database
        await database.close()

    async def execute(self, sql: str) -> Sequence[Sequence[Any]]:
        if self.mysql:
            async with self.mysql.autocommit() as cursor:
                await cursor.execute(sql)
                rows: Sequence[Sequence[Any]] = await cursor.fetchall()
                return rows
        assert self.sqlite
        async with self.sqlite.transaction() as connection:
            return list(await connection.execute_fetchall(sql))
