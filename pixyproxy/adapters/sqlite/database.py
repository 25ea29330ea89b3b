"""An SQLite database."""

from functools import cached_property

from pixyproxy.adapters.sql.repositories import SQLRepositories
from pixyproxy.adapters.sqlite.connections import SQLiteConnections
from pixyproxy.adapters.sqlite.schema import SQLiteSchema


class SQLiteDatabase(SQLiteConnections, SQLRepositories):
    """Connections to a file, its schema and its repositories; takes what `SQLiteConnections` takes."""

    @cached_property
    def schema(self) -> SQLiteSchema:
        """The schema's scripts."""
        return SQLiteSchema(database=self)
