"""A MySQL or MariaDB database."""

from functools import cached_property

from pixyproxy.adapters.mysql.connections import MySQLConnections
from pixyproxy.adapters.mysql.image_repository import MySQLImageRepository
from pixyproxy.adapters.mysql.schema import MySQLSchema
from pixyproxy.adapters.sql.repositories import SQLRepositories


class MySQLDatabase(MySQLConnections, SQLRepositories):
    """Connections to a server, its schema and its repositories; takes what `MySQLConnections` takes."""

    @cached_property
    def schema(self) -> MySQLSchema:
        """The schema's scripts."""
        return MySQLSchema(database=self)

    @cached_property
    def images(self) -> MySQLImageRepository:
        """Where image records live."""
        return MySQLImageRepository(database=self)
