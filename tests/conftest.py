"""Fixtures that more than one folder of tests needs."""

import asyncio
import gc
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.mysql.url import parse_url
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from tests import real_parts
from tests.doubles.galera import GaleraCluster
from tests.doubles.mariadb import MySQLServer, ThrowawayServer
from tests.doubles.moto import Moto
from tests.doubles.seaweedfs import CREDENTIALS, SeaweedFS

_GUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def pytest_configure(config: pytest.Config) -> None:
    """Have all workers see sets in the same order: they must collect the same tests."""
    if getattr(config.option, "numprocesses", None):
        os.environ.setdefault("PYTHONHASHSEED", str(secrets.randbelow(1 << 32)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Use three workers for two cores: half of the time tests wait for a server, a process or a clock."""
    return max(1, len(os.sched_getaffinity(0)) * 3 // 2)


def pytest_collection_finish() -> None:
    """Have garbage collections pass over modules and collected tests, which stay: tests take a third less CPU."""
    gc.collect()
    gc.freeze()


def pytest_make_parametrize_id(val: object) -> str | None:
    """Leave random guids out of the names of tests, for the same reason."""
    return _GUID.sub("a-guid", str(val)) if isinstance(val, str | UUID) and _GUID.search(str(val)) else None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Say in the last lines which tests could not be run for lack of what, and how to change that."""
    yield
    reports = [report for kind in ("skipped", "failed", "error") for report in terminalreporter.stats.get(kind, [])]
    for line in real_parts.untested(reports):
        terminalreporter.write_line(line, red=True, bold=True)


@pytest.fixture(scope="session")
def mysql_server() -> Iterator[MySQLServer]:
    """A real server, shared by all tests: not to be stopped."""
    if url := os.environ.get("PIXYPROXY_TEST_MYSQL_URL"):
        yield MySQLServer(url)
    else:
        with ThrowawayServer() as server:
            yield server


@pytest.fixture
def throwaway_mysql_server() -> Iterator[ThrowawayServer]:
    """A real server of the test's own, which it may stop."""
    with ThrowawayServer() as server:
        yield server


@pytest.fixture(scope="session")
def _galera_cluster() -> Iterator[GaleraCluster]:
    with GaleraCluster() as cluster:
        yield cluster


@pytest.fixture
def galera_cluster(_galera_cluster: GaleraCluster) -> GaleraCluster:
    """Three nodes that run, shared by the tests of a session: a test may stop, freeze or isolate any of them.

    Keep its tests in one module and outside of classes: each worker of a parallel run starts a cluster of its own.
    """
    _galera_cluster.heal()
    return _galera_cluster


@pytest.fixture
def empty_mysql_url(mysql_server: MySQLServer) -> Iterator[str]:
    """The URL of an empty database on MySQL."""
    with mysql_server.new_database() as url:
        yield url


@pytest.fixture(scope="session")
def _migrated_mysql_url(mysql_server: MySQLServer) -> Iterator[str]:
    with mysql_server.new_database() as url:
        asyncio.run(_upgrade(url))
        yield url


async def _upgrade(url: str) -> None:
    database = MySQLDatabase(url)
    await database.open()
    await database.schema.upgrade()
    await database.close()


@pytest.fixture
def mysql_url(mysql_server: MySQLServer, _migrated_mysql_url: str) -> Iterator[str]:
    """The URL of a database on MySQL that has the schema and no records."""
    yield _migrated_mysql_url
    name = parse_url(_migrated_mysql_url)["db"]
    tables = (
        "images",
        "uploads",
        "image_deletions",
        "idempotency_keys",
        "users",
        "api_keys",
        "sessions",
        "secrets",
        "rate_limits",
        "queue_turns",
        "counters",
        "data_upgrades",
    )
    mysql_server.execute_all((f"DELETE FROM {table}" for table in tables), database=name)  # noqa: S608


@pytest.fixture
async def mysql_database(mysql_url: str) -> AsyncIterator[MySQLDatabase]:
    """An open database on MySQL that has the schema and no records."""
    database = MySQLDatabase(mysql_url)
    await database.open()
    yield database
    await database.close()


@pytest.fixture(scope="session")
def _migrated_sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    async def upgrade() -> None:
        database = SQLiteDatabase(path)
        await database.open()
        await database.schema.upgrade()
        await database.close()

    path = tmp_path_factory.mktemp("migrated") / "pixyproxy.db"
    asyncio.run(upgrade())
    return path


@pytest.fixture
async def sqlite_database(tmp_path: Path, _migrated_sqlite_file: Path) -> AsyncIterator[SQLiteDatabase]:
    """An open database in an SQLite file that has the schema and no records."""
    database = SQLiteDatabase(Path(shutil.copy(_migrated_sqlite_file, tmp_path)))
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def s3_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment has the credentials of the tests' S3 servers, and nothing else of AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def _seaweedfs() -> Iterator[SeaweedFS]:
    with SeaweedFS() as server:
        yield server


@pytest.fixture
def seaweedfs(_seaweedfs: SeaweedFS, s3_credentials: None) -> SeaweedFS:
    """A real S3 server, shared by all tests: not to be stopped. Each `url()` of it is a store of its own."""
    return _seaweedfs


@pytest.fixture(scope="session")
def _moto() -> Iterator[Moto]:
    with Moto() as server:
        yield server


@pytest.fixture
def moto(_moto: Moto, s3_credentials: None) -> Moto:
    """An S3 server that is not SeaweedFS, shared by all tests. Each `url()` of it is a store of its own."""
    return _moto
