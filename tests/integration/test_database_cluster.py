"""A real Galera cluster: nodes that die, freeze, are cut off, or take no writes."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any

import pytest

from pixyproxy.adapters.mysql import cluster
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sql.database import Transaction
from pixyproxy.domain.errors import DBConnectionError
from tests.doubles.galera import GaleraCluster, GaleraNode, skewed

# One module, and no class: a parallel run starts the cluster once.

ADD_ONE = "UPDATE counted SET number = number + 1 WHERE name = :name"
NUMBER = "SELECT number FROM counted WHERE name = 'a'"


@asynccontextmanager
async def opened(url: str, **bounds: Any) -> AsyncIterator[MySQLDatabase]:
    database = MySQLDatabase(url, **bounds)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_LOOK_SECONDS", 0.5)


@pytest.fixture
def scheme() -> str:
    """The driver: aiomysql, where a test names no other."""
    return "mysql"


@pytest.fixture
def name(galera_cluster: GaleraCluster) -> str:
    """A database with a counter at 0."""
    name = galera_cluster.create_database()
    galera_cluster.nodes[0].execute_all(
        [
            "CREATE TABLE counted (name VARCHAR(9) PRIMARY KEY, number INT NOT NULL)",
            "INSERT INTO counted VALUES ('a', 0)",
        ],
        database=name,
    )
    return name


@pytest.fixture
async def database(galera_cluster: GaleraCluster, name: str, scheme: str) -> AsyncIterator[MySQLDatabase]:
    """The database on all nodes, in their order, with eight connections to the first."""
    async with opened(galera_cluster.url(name, scheme=scheme), pool_size=8) as database:
        await asyncio.gather(*(database.fetch_all("SELECT SLEEP(0.05)") for _ in range(8)))
        yield database


async def node_of(database: MySQLDatabase) -> str:
    ((node,),) = await database.fetch_all("SELECT @@wsrep_node_name")
    return str(node)


async def number(database: MySQLDatabase) -> int:
    ((found,),) = await database.fetch_all(NUMBER)
    return int(found)


async def add_one(database: MySQLDatabase) -> None:
    async def work(transaction: Transaction) -> None:
        await transaction.execute(ADD_ONE, {"name": "a"})

    await database.write(work)


async def until_on(database: MySQLDatabase, node: GaleraNode) -> None:
    async with asyncio.timeout(15):
        while await node_of(database) != node.name:  # noqa: ASYNC110 -- the pool looks back in its own time
            await asyncio.sleep(0.05)


async def test_a_node_that_was_killed_is_left_and_returned_to(
    galera_cluster: GaleraCluster, database: MySQLDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, _ = galera_cluster.nodes
    assert await node_of(database) == first.name
    reading = asyncio.create_task(database.fetch_all("SELECT SLEEP(0.5), @@wsrep_node_name"))
    writing = asyncio.create_task(database.execute("UPDATE counted SET number = number + 1 + SLEEP(0.5)"))
    await asyncio.sleep(0.1)
    first.kill()
    assert await asyncio.gather(*(number(database) for _ in range(8))) == [0] * 8
    ((_, node),) = await reading
    assert node == second.name
    # It may have taken effect.
    with pytest.raises(DBConnectionError):
        await writing
    await add_one(database)
    assert await number(database) == 1
    first.environment = skewed(20)
    first.launch()
    await until_on(database, first)
    assert await number(database) == 1
    ((now,),), ((later,),) = (node.execute("SELECT UNIX_TIMESTAMP()") for node in (second, first))
    assert 18 <= later - now <= 22
    first.environment = {}
    told = [record.getMessage() for record in caplog.records if record.name == "pixyproxy.database"]
    host = f"the database host 127.0.0.1:{first.port} is"
    assert len(told) == 2
    assert told[0].startswith(f"{host} out: ")
    assert told[1] == f"{host} back"


@pytest.mark.parametrize("scheme", ["mysql+asyncmy"])
async def test_a_frozen_node_costs_a_few_seconds(
    galera_cluster: GaleraCluster, database: MySQLDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, _ = galera_cluster.nodes
    first.freeze()
    started = time.monotonic()
    results = await asyncio.gather(*(number(database) for _ in range(7)), add_one(database))
    # The write was lost before its commit, and is repeated; reads may see it.
    assert set(results[:-1]) <= {0, 1}
    assert time.monotonic() - started < 9
    assert (await node_of(database), await number(database)) == (second.name, 1)
    # It calls itself ready for a moment, while it lacks what was written.
    monkeypatch.setattr(cluster, "_LOOK_SECONDS", 0.01)
    first.thaw()
    written, ends_at = 1, time.monotonic() + 3
    while time.monotonic() < ends_at or await node_of(database) != first.name:
        await add_one(database)
        written += 1
        assert await number(database) == written


async def test_a_node_that_is_cut_off_is_left_and_returned_to(
    galera_cluster: GaleraCluster, database: MySQLDatabase, name: str
) -> None:
    first, second, _ = galera_cluster.nodes
    async with opened(first.url(name)) as alone:
        assert await number(alone) == 0
        first.isolate()
        for work in (number, add_one):
            with pytest.raises(DBConnectionError, match="cluster is not ready"):
                await work(alone)
    await asyncio.gather(*(add_one(database) for _ in range(4)))
    assert (await node_of(database), await number(database)) == (second.name, 4)
    first.rejoin()
    await until_on(database, first)


async def test_writes_leave_a_node_that_is_read_only(galera_cluster: GaleraCluster, database: MySQLDatabase) -> None:
    first, second, third = galera_cluster.nodes
    first.set_read_only(True)
    assert await node_of(database) == first.name
    await asyncio.gather(add_one(database), database.execute(ADD_ONE, {"name": "a"}))
    assert (await node_of(database), await number(database)) == (second.name, 2)
    for node in (second, third):
        node.set_read_only(True)
    with pytest.raises(DBConnectionError, match="can't be written to"):
        await add_one(database)
    assert await number(database) == 2
    third.set_read_only(False)
    await add_one(database)
    assert await node_of(database) == third.name


@pytest.mark.parametrize("scheme", ["mysql", "mysql+asyncmy"])
async def test_conflicting_writes_through_two_nodes_all_succeed(
    galera_cluster: GaleraCluster, database: MySQLDatabase, name: str, scheme: str
) -> None:
    async with opened(galera_cluster.url(name, scheme=scheme, first=1)) as other:
        assert await node_of(database) != await node_of(other)
        await asyncio.gather(*(add_one(each) for each in (database, other) * 10))
        await asyncio.gather(*(each.execute(ADD_ONE, {"name": "a"}) for each in (database, other) * 10))
    assert await number(database) == 40


async def test_consistent_reads_see_what_another_node_has_written(galera_cluster: GaleraCluster, name: str) -> None:
    async with (
        opened(galera_cluster.url(name)) as writer,
        opened(galera_cluster.url(name, first=1), consistent_reads=True) as reader,
    ):
        for written in range(1, 51):
            await add_one(writer)
            assert await number(reader) == written
        assert await reader.fetch_all("SELECT @@wsrep_sync_wait") == ((7,),)


async def test_upgrades_on_all_nodes_at_once_apply_each_script_once(galera_cluster: GaleraCluster) -> None:
    name = galera_cluster.create_database()

    async def upgrade(node: GaleraNode) -> list[int]:
        async with opened(node.url(name), pool_size=2) as database:
            return [migration.version for migration in await database.schema.upgrade()]

    applied = await asyncio.gather(*(upgrade(node) for node in galera_cluster.nodes * 8))
    async with opened(galera_cluster.url(name)) as database:
        status = await database.schema.status()
    assert all(migration.applied_at for migration in status)
    assert sorted(chain(*applied)) == [migration.version for migration in status]
