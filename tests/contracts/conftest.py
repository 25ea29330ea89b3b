"""Every adapter of the port that most contracts are about."""

import pytest

from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.mysql.image_repository import MySQLImageRepository
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.adapters.sqlite.image_repository import SQLiteImageRepository
from pixyproxy.domain.ports import ImagePorts


@pytest.fixture
def memory_images() -> ImagePorts:
    return InMemoryImageRepository()


@pytest.fixture
def sqlite_images(sqlite_database: SQLiteDatabase) -> ImagePorts:
    return SQLiteImageRepository(database=sqlite_database)


@pytest.fixture
def mysql_images(mysql_database: MySQLDatabase) -> ImagePorts:
    return MySQLImageRepository(database=mysql_database)


@pytest.fixture(params=["memory", "sqlite", "mysql"])
def images(request: pytest.FixtureRequest) -> ImagePorts:
    """An empty repository of each kind."""
    repository: ImagePorts = request.getfixturevalue(f"{request.param}_images")
    return repository
