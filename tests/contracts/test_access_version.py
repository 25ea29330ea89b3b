"""The contract of `AccessVersion`: what makes it grow, and what does not."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from pixyproxy.adapters.memory.database import InMemoryDatabase
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.errors import RecordNotFoundError
from pixyproxy.domain.user import PasswordHash, UserName
from tests.factories import APIKeyFactory, SessionFactory, UserFactory

Database = InMemoryDatabase | SQLiteDatabase | MySQLDatabase

ANN = UserName("ann")
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
KEY = APIKeyFactory.build(user=ANN, revoked_at=None)
SESSION = SessionFactory.build(user=ANN, expires_at=NOON)


@pytest.fixture
def memory_database() -> InMemoryDatabase:
    return InMemoryDatabase()


@pytest.fixture(params=["memory", "sqlite", "mysql"])
def empty_database(request: pytest.FixtureRequest) -> Database:
    database: Database = request.getfixturevalue(f"{request.param}_database")
    return database


@pytest.fixture
async def database(empty_database: Database) -> Database:
    """A database with Ann, and a key and a session of hers."""
    await empty_database.users.add(UserFactory.build(name=ANN))
    await empty_database.api_keys.add(KEY)
    await empty_database.sessions.add(SESSION)
    return empty_database


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda database: database.users.disable(ANN), id="disable"),
        pytest.param(lambda database: database.users.enable(ANN), id="enable"),
        pytest.param(lambda database: database.users.set_password_hash(ANN, PasswordHash("$another")), id="password"),
        pytest.param(lambda database: database.api_keys.revoke(KEY.guid, NOON), id="revoke"),
        pytest.param(lambda database: database.secrets.rotate("link"), id="rotate"),
        pytest.param(lambda database: database.secrets.rotate("link", revoke=True), id="rotate and revoke"),
    ],
)
async def test_each_change_makes_it_grow(database: Database, change: Callable[[Database], Awaitable[None]]) -> None:
    versions = [await database.access_version.current()]
    for _ in range(3):
        await change(database)
        versions.append(await database.access_version.current())
    assert versions == sorted(set(versions))


@pytest.mark.parametrize("is_alone", [True, False])
async def test_the_end_of_a_session_makes_it_grow(database: Database, is_alone: bool) -> None:
    version = await database.access_version.current()
    await (database.sessions.end(SESSION.guid) if is_alone else database.sessions.end_all(ANN))
    assert await database.access_version.current() > version


async def test_what_processes_need_not_notice_leaves_it(database: Database) -> None:
    version = await database.access_version.current()
    await database.users.add(UserFactory.build(name="bob"))
    await database.api_keys.add(APIKeyFactory.build(user=ANN))
    await database.api_keys.note_use(KEY.guid, NOON)
    await database.sessions.add(SessionFactory.build(user=ANN))
    await database.sessions.note_seen(SESSION.guid, NOON)
    await database.sessions.forget_expired(NOON, NOON - timedelta(days=9_000))
    await database.secrets.get("cursor")
    await database.secrets.accepted("link")
    assert await database.access_version.current() == version


async def test_a_change_of_what_is_not_there_leaves_it(database: Database) -> None:
    version = await database.access_version.current()
    with pytest.raises(RecordNotFoundError):
        await database.users.disable(UserName("bob"))
    with pytest.raises(RecordNotFoundError):
        await database.api_keys.revoke(uuid4(), NOON)
    with pytest.raises(RecordNotFoundError):
        await database.sessions.end(uuid4())
    assert await database.sessions.end_all(UserName("bob")) == 0
    assert await database.access_version.current() == version


async def test_each_of_many_changes_at_once_makes_it_grow(database: Database) -> None:
    version = await database.access_version.current()
    await asyncio.gather(
        *(database.users.disable(ANN) for _ in range(10)), *(database.secrets.rotate("link") for _ in range(10))
    )
    assert await database.access_version.current() == version + 20


async def test_a_change_that_is_seen_has_made_it_grow(database: Database) -> None:
    """Both take effect in one moment: what was read under the old version never holds under the new one."""
    before = await database.access_version.current()
    change = asyncio.create_task(database.users.disable(ANN))
    seen: list[tuple[bool, bool]] = []
    is_over = False
    while not is_over:
        is_over = change.done()
        is_disabled = (await database.users.get(ANN)).is_disabled
        seen.append((is_disabled, await database.access_version.current() > before))
        await asyncio.sleep(0)
    await change
    assert (True, False) not in seen
    assert seen[-1] == (True, True)
