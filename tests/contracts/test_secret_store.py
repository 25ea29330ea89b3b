"""The contract of `SecretStore`."""

import asyncio

import pytest

from pixyproxy.adapters.memory.secret_store import InMemorySecretStore
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sql.secret_store import SQLSecretStore
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.ports import SecretStore


@pytest.fixture
def memory_secrets() -> list[SecretStore]:
    return [InMemorySecretStore()] * 2


@pytest.fixture
def sqlite_secrets(sqlite_database: SQLiteDatabase) -> list[SecretStore]:
    return [SQLSecretStore(database=sqlite_database) for _ in range(2)]


@pytest.fixture
def mysql_secrets(mysql_database: MySQLDatabase) -> list[SecretStore]:
    return [SQLSecretStore(database=mysql_database) for _ in range(2)]


@pytest.fixture(params=["memory", "sqlite", "mysql"])
def secrets(request: pytest.FixtureRequest) -> list[SecretStore]:
    """Two stores over one database, as two processes have them."""
    stores: list[SecretStore] = request.getfixturevalue(f"{request.param}_secrets")
    return stores


async def test_a_secret_has_32_bytes_and_stays_what_it_is(secrets: list[SecretStore]) -> None:
    first = await secrets[0].get("cursors")
    assert len(first) == 32
    assert len(set(first)) > 8
    for store in secrets:
        assert await store.get("cursors") == first


async def test_each_name_has_a_secret_of_its_own(secrets: list[SecretStore]) -> None:
    names = ["cursors", "Cursors", "cursor", "x" * 64]
    values = [await secrets[0].get(name) for name in names]
    assert len(set(values)) == len(names)
    assert [await secrets[1].get(name) for name in names] == values


async def test_all_who_ask_first_at_once_get_the_same(secrets: list[SecretStore]) -> None:
    for name in map(str, range(10)):
        values = await asyncio.gather(*(store.get(name) for store in secrets * 5))
        assert len(set(values)) == 1


async def test_no_two_databases_have_the_same(secrets: list[SecretStore]) -> None:
    assert await secrets[0].get("cursors") != await InMemorySecretStore().get("cursors")


async def test_at_first_the_key_alone_is_accepted(secrets: list[SecretStore]) -> None:
    accepted = await secrets[0].accepted("links")
    assert accepted == [await secrets[1].get("links")]
    assert accepted == await secrets[1].accepted("links")


async def test_a_rotated_key_is_another_and_the_one_before_is_accepted_after_it(secrets: list[SecretStore]) -> None:
    first = await secrets[0].get("links")
    await secrets[0].rotate("links")
    second = await secrets[1].get("links")
    assert len(second) == 32
    assert second != first
    assert await secrets[1].accepted("links") == [second, first]
    await secrets[1].rotate("links")
    assert await secrets[0].accepted("links") == [await secrets[0].get("links"), second]


async def test_a_key_that_was_never_used_can_be_rotated(secrets: list[SecretStore]) -> None:
    await secrets[0].rotate("links")
    assert await secrets[1].accepted("links") == [await secrets[0].get("links")]


async def test_a_revoking_rotation_keeps_no_key_before(secrets: list[SecretStore]) -> None:
    await secrets[0].get("links")
    await secrets[0].rotate("links")
    await secrets[0].rotate("links", revoke=True)
    assert await secrets[1].accepted("links") == [await secrets[1].get("links")]


async def test_a_rotation_touches_no_other_key(secrets: list[SecretStore]) -> None:
    cursors = await secrets[0].get("cursors")
    await secrets[0].rotate("links")
    await secrets[0].rotate("links", revoke=True)
    assert await secrets[0].accepted("cursors") == [cursors]


async def test_of_many_rotations_at_once_each_keeps_the_key_before(secrets: list[SecretStore]) -> None:
    await secrets[0].get("links")
    await asyncio.gather(*(store.rotate("links") for store in secrets * 4))
    accepted = await secrets[1].accepted("links")
    assert len(set(accepted)) == 2
    assert accepted[0] == await secrets[0].get("links")
