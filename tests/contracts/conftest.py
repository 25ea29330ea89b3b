"""Every adapter of the port that most contracts are about."""

from pathlib import Path

import pytest

from pixyproxy.adapters.filesystem.content_store import FilesystemContentStore
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.mysql.image_repository import MySQLImageRepository
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.adapters.sqlite.image_repository import SQLiteImageRepository
from pixyproxy.domain.ports import ContentPorts, ImagePorts


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


@pytest.fixture(params=["memory", "filesystem"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> ContentPorts:
    """An empty content store of each kind."""
    is_memory = request.param == "memory"
    store: ContentPorts = InMemoryContentStore() if is_memory else FilesystemContentStore(tmp_path / "images")
    await store.prepare()
    return store
