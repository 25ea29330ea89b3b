"""Every adapter of the port that most contracts are about."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from pixyproxy.adapters.filesystem.content_store import FilesystemContentStore
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_repository import InMemoryImageRepository
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.s3 import client
from pixyproxy.adapters.s3.content_store import S3ContentStore
from pixyproxy.adapters.s3.url import parse_s3_url
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.ports import ContentPorts, ContentStore, ImagePorts
from tests.contents import keys_in, keys_of_variants_in
from tests.documents import load_example
from tests.doubles.moto import Moto
from tests.doubles.seaweedfs import SeaweedFS
from tests.images import HostImages


@pytest.fixture
def memory_images() -> ImagePorts:
    return InMemoryImageRepository()


@pytest.fixture
def sqlite_images(sqlite_database: SQLiteDatabase) -> ImagePorts:
    return sqlite_database.images


@pytest.fixture
def mysql_images(mysql_database: MySQLDatabase) -> ImagePorts:
    return mysql_database.images


@pytest.fixture(params=["memory", "sqlite", "mysql"])
def images(request: pytest.FixtureRequest) -> ImagePorts:
    """An empty repository of each kind."""
    repository: ImagePorts = request.getfixturevalue(f"{request.param}_images")
    return repository


@pytest.fixture
def memory_store() -> ContentPorts:
    return InMemoryContentStore()


@pytest.fixture
async def filesystem_store(tmp_path: Path) -> ContentPorts:
    store = FilesystemContentStore(tmp_path / "images")
    await store.prepare()
    return store


@pytest.fixture
async def area_store(tmp_path: Path) -> AsyncIterator[ContentPorts]:
    """An area in the folder of another store, which never sees what is in it."""
    outer = FilesystemContentStore(tmp_path / "images")
    await outer.prepare()
    area = FilesystemContentStore(tmp_path / "images" / "partials")
    await area.prepare()
    yield area
    assert await keys_in(outer) == await keys_of_variants_in(outer) == []
    assert await outer.list_quarantine() == []
    assert await outer.list_orphans(older_than=timedelta(0)) == []
    await outer.check()


@pytest.fixture
async def seaweedfs_store(seaweedfs: SeaweedFS) -> AsyncIterator[ContentPorts]:
    async with opened(S3ContentStore(parse_s3_url(seaweedfs.url()))) as store:
        yield store


@pytest.fixture
async def moto_store(moto: Moto) -> AsyncIterator[ContentPorts]:
    async with opened(S3ContentStore(parse_s3_url(moto.url()))) as store:
        yield store


@asynccontextmanager
async def opened(store: ContentPorts) -> AsyncIterator[ContentPorts]:
    await store.prepare()
    try:
        yield store
    finally:
        with pytest.MonkeyPatch.context() as patch:
            # The interpreter does not end yet.
            patch.setattr(client, "REST_SECONDS", 0.0)
            await store.close()


@pytest.fixture(params=["memory", "filesystem", "area", "seaweedfs", "moto"])
def store(request: pytest.FixtureRequest) -> ContentPorts:
    """An empty content store of each kind."""
    store: ContentPorts = request.getfixturevalue(f"{request.param}_store")
    return store


@pytest.fixture
def host_database() -> Iterator[sqlite3.Connection]:
    """The database of the host application in docs/embedding.md."""
    database = sqlite3.connect(":memory:")
    yield database
    database.close()


@pytest.fixture
def host_store(host_database: sqlite3.Connection) -> ContentStore:
    store: ContentStore = load_example("docs/embedding.md", "own_adapters").HostContents(host_database)
    return store


@pytest.fixture
def host_images(host_database: sqlite3.Connection) -> HostImages:
    images: HostImages = load_example("docs/embedding.md", "own_adapters").HostImages(host_database)
    return images
