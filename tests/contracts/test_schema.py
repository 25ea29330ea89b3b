"""What every `Schema` promises, and what all that keep their scripts in `sql/` have in common."""

import asyncio
import re
from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Protocol
from uuid import UUID

import pytest

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.mysql.image_repository import MySQLImageRepository
from pixyproxy.adapters.mysql.schema import MySQLSchema
from pixyproxy.adapters.schema_scripts import SchemaScript, load_scripts
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.adapters.sqlite.image_repository import SQLiteImageRepository
from pixyproxy.adapters.sqlite.schema import SQLiteSchema
from pixyproxy.domain.errors import SchemaOutdatedError
from pixyproxy.domain.image import ContentInfo, Failure, Image, ImageId, ImageStatus, MediaType, Prompt, Tag, Visibility
from pixyproxy.domain.ports import ImageRepository, Schema
from pixyproxy.domain.user import UserName
from tests.doubles.processes import run_at_once

TABLES = {"images", "image_tags", "users", "idempotency_keys", "schema_migrations"}

IMPORTS = """
import asyncio
from pathlib import Path
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.mysql.schema import MySQLSchema
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.adapters.sqlite.schema import SQLiteSchema
"""

UPGRADE = """
async def main(address):
    is_mysql = address.startswith("mysql:")
    database = MySQLDatabase(address) if is_mysql else SQLiteDatabase(Path(address))
    schema = MySQLSchema(database=database) if is_mysql else SQLiteSchema(database=database)
    try:
        await database.open()
        print(len(await schema.upgrade()))
    finally:
        await database.close()

asyncio.run(main(sys.argv[1]))
"""


class Target(Protocol):
    """An empty database, with a way to look behind the port."""

    dialect: str
    address: str

    @abstractmethod
    def schema(self, scripts: Sequence[SchemaScript] | None = None) -> Schema:
        """Return the schema that has these scripts, or those of this version."""

    @abstractmethod
    def images(self) -> ImageRepository:
        """Return the image records, once the schema is there."""

    @abstractmethod
    async def run(self, sql: str) -> Sequence[Sequence[Any]]:
        """Run one statement and return its rows."""

    @abstractmethod
    async def tables(self) -> set[str]:
        """Return the names of all tables."""


class MySQLTarget(Target):
    """An empty database on MySQL."""

    dialect = "mysql"

    def __init__(self, database: MySQLDatabase, address: str) -> None:
        self.database = database
        self.address = address

    def schema(self, scripts: Sequence[SchemaScript] | None = None) -> Schema:
        return MySQLSchema(database=self.database, scripts=load_scripts("mysql") if scripts is None else scripts)

    def images(self) -> ImageRepository:
        return MySQLImageRepository(database=self.database)

    async def run(self, sql: str) -> Sequence[Sequence[Any]]:
        async with self.database.autocommit() as cursor:
            await cursor.execute(sql)
            rows: Sequence[Sequence[Any]] = await cursor.fetchall()
            return rows

    async def tables(self) -> set[str]:
        return {name for (name,) in await self.run("SHOW TABLES")}


class SQLiteTarget(Target):
    """An empty SQLite file."""

    dialect = "sqlite"

    def __init__(self, database: SQLiteDatabase, address: str) -> None:
        self.database = database
        self.address = address

    def schema(self, scripts: Sequence[SchemaScript] | None = None) -> Schema:
        return SQLiteSchema(database=self.database, scripts=load_scripts("sqlite") if scripts is None else scripts)

    def images(self) -> ImageRepository:
        return SQLiteImageRepository(database=self.database)

    async def run(self, sql: str) -> Sequence[Sequence[Any]]:
        async with self.database.transaction() as connection:
            return list(await connection.execute_fetchall(sql))

    async def tables(self) -> set[str]:
        rows = await self.run("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        return {name for (name,) in rows}


@pytest.fixture
async def mysql_target(empty_mysql_url: str) -> AsyncIterator[Target]:
    database = MySQLDatabase(empty_mysql_url)
    await database.open()
    yield MySQLTarget(database, empty_mysql_url)
    await database.close()


@pytest.fixture
async def sqlite_target(tmp_path: Path) -> AsyncIterator[Target]:
    path = tmp_path / "pixyproxy.db"
    database = SQLiteDatabase(path)
    await database.open()
    yield SQLiteTarget(database, str(path))
    await database.close()


@pytest.fixture(params=["sqlite", "mysql"])
def target(request: pytest.FixtureRequest) -> Target:
    target: Target = request.getfixturevalue(f"{request.param}_target")
    return target


def script(version: int, sql: str, name: str = "try") -> SchemaScript:
    return SchemaScript(version=version, name=name, sql=sql)


CREATE_A = script(1, "CREATE TABLE a (id INTEGER)")
CREATE_B = script(2, "CREATE TABLE b (id INTEGER)")
BROKEN = script(2, "CREATE TABEL b (id INTEGER)")


async def test_the_status_of_an_empty_database_is_every_script_unapplied(target: Target) -> None:
    status = await target.schema().status()
    assert [migration.version for migration in status] == list(range(1, len(status) + 1))
    assert {migration.applied_at for migration in status} == {None}


async def test_status_changes_nothing(target: Target) -> None:
    await target.schema().status()
    assert await target.tables() == set()


async def test_upgrade_applies_every_script_in_order_and_returns_them(target: Target) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    applied = await target.schema().upgrade()
    assert await target.tables() == TABLES
    assert [(migration.version, migration.name) for migration in applied] == [
        (1, "create_images"),
        (2, "create_image_tags"),
        (3, "create_users"),
        (4, "life_cycle"),
        (5, "pending_images_may_be_bought"),
        (6, "idempotency_keys"),
    ]
    times = [migration.applied_at for migration in applied if migration.applied_at]
    assert len(times) == len(applied)
    assert times == sorted(times)
    assert before < times[0] <= times[-1] < datetime.now(UTC) + timedelta(seconds=2)
    assert await target.schema().status() == applied


async def test_a_second_upgrade_applies_nothing(target: Target) -> None:
    await target.schema().upgrade()
    status = await target.schema().status()
    assert await target.schema().upgrade() == []
    assert await target.schema().status() == status


async def test_upgrade_applies_only_what_is_missing(target: Target) -> None:
    await target.schema([CREATE_A]).upgrade()
    schema = target.schema([CREATE_A, CREATE_B])
    assert [migration.applied_at is None for migration in await schema.status()] == [False, True]
    assert [migration.version for migration in await schema.upgrade()] == [2]
    assert await target.tables() == {"a", "b", "schema_migrations"}


async def test_processes_that_upgrade_at_once_apply_each_script_once(target: Target) -> None:
    printed = await run_at_once(IMPORTS, UPGRADE, target.address)
    assert sorted(map(int, printed)) == [0, 0, 0, len(load_scripts(target.dialect))]
    assert await target.schema().upgrade() == []


async def test_tasks_that_upgrade_at_once_apply_each_script_once(target: Target) -> None:
    results = await asyncio.gather(*(target.schema().upgrade() for _ in range(8)))
    assert sorted(len(applied) for applied in results) == [0] * 7 + [len(load_scripts(target.dialect))]


async def test_a_script_that_was_edited_after_it_was_applied_is_refused(target: Target) -> None:
    await target.schema([CREATE_A]).upgrade()
    edited = target.schema([script(1, "CREATE TABLE a (id INTEGER, more INTEGER)")])
    for operation in (edited.status, edited.upgrade):
        with pytest.raises(SchemaOutdatedError, match=r"script 1 \(try\) was edited after it was applied"):
            await operation()


async def test_a_database_that_a_newer_version_upgraded_is_refused(target: Target) -> None:
    await target.schema([CREATE_A, CREATE_B]).upgrade()
    older = target.schema([CREATE_A])
    for operation in (older.status, older.upgrade):
        with pytest.raises(SchemaOutdatedError, match=r"script 2 \(try\), which this version .* does not know"):
            await operation()


async def test_a_database_that_holds_another_table_of_the_same_name_is_refused_each_time(target: Target) -> None:
    await target.run("CREATE TABLE a (other INTEGER)")
    for _ in range(2):
        with pytest.raises(SchemaOutdatedError, match="already holds what a schema script"):
            await target.schema([CREATE_A]).upgrade()
        assert [migration.applied_at for migration in await target.schema([CREATE_A]).status()] == [None]


async def test_a_broken_script_is_not_recorded_and_can_be_mended(target: Target) -> None:
    with pytest.raises(Exception, match="TABEL"):
        await target.schema([CREATE_A, BROKEN]).upgrade()
    await target.schema([CREATE_A, CREATE_B]).upgrade()
    assert {"a", "b"} < await target.tables()


async def test_a_script_may_begin_with_comments_and_lack_its_last_semicolon(target: Target) -> None:
    await target.schema([script(1, "-- one; two\n-- three 100%s 'four'\nCREATE TABLE a (id INTEGER)\n")]).upgrade()
    assert "a" in await target.tables()


class TestLifeCycle:
    """A database of the first release, whose images were pending, ready or failed."""

    NUMBERS: ClassVar = {"pending": 1, "ready": 2, "failed": 3}

    @pytest.fixture
    async def images(self, target: Target) -> ImageRepository:
        await target.schema(load_scripts(target.dialect)[:3]).upgrade()
        for status, number in self.NUMBERS.items():
            content = f"'image/png', 3, '{'0' * 64}', 1, 2, '{{}}'" if status == "ready" else ", ".join(["NULL"] * 6)
            failure = "'The generator refused.'" if status == "failed" else "NULL"
            row = (
                f"{number}, '{UUID(int=number)}', 'a.png', 'A lighthouse', 'ann', 'private', '{status}', 'gpt-image-1',"
                f" {content}, {failure}, '2026-01-01 12:00:00.000001', '2026-01-01 12:00:30.000002'"
            )
            await target.run(f"INSERT INTO images VALUES ({row})")  # noqa: S608 -- the test's own
        await target.run("INSERT INTO image_tags SELECT id, 0, 'sea' FROM images")
        await target.schema().upgrade()
        return target.images()

    def an_image(self, old_status: str, **changes: Any) -> Image:
        fields: dict[str, Any] = {
            "id": ImageId(self.NUMBERS[old_status]),
            "guid": UUID(int=self.NUMBERS[old_status]),
            "filename": "a.png",
            "prompt": Prompt("A lighthouse"),
            "tags": (Tag("sea"),),
            "author": UserName("ann"),
            "visibility": Visibility.PRIVATE,
            "status": ImageStatus(old_status),
            "model": "gpt-image-1",
            "created_at": datetime(2026, 1, 1, 12, 0, 0, 1, UTC),
            "updated_at": datetime(2026, 1, 1, 12, 0, 30, 2, UTC),
        }
        return Image(**{**fields, **changes})

    async def test_a_pending_image_may_have_been_bought_and_is_abandoned(self, images: ImageRepository) -> None:
        expected = self.an_image("pending", status=ImageStatus.GENERATING)
        assert await images.get(UUID(int=1)) == expected
        assert await images.list_abandoned(limit=10) == [expected]

    async def test_a_ready_image_is_what_it_was(self, images: ImageRepository) -> None:
        content = ContentInfo(media_type=MediaType.PNG, byte_size=3, sha256="0" * 64, width=1, height=2)
        expected = self.an_image("ready", content=content, usage={})
        assert await images.get(UUID(int=2)) == expected
        assert await images.list_authored_by(UserName("ann"), limit=10) == [expected]

    async def test_a_failed_image_has_failed_for_some_reason_and_may_have_been_billed(
        self, images: ImageRepository
    ) -> None:
        failure = Failure(kind="GenerationFailedError", detail="The generator refused.", maybe_billed=True)
        assert await images.get(UUID(int=3)) == self.an_image("failed", failure=failure)

    async def test_no_image_is_lost_or_added(self, images: ImageRepository) -> None:
        assert [image.guid.int for image in await images.scan(limit=10)] == [1, 2, 3]


@pytest.mark.parametrize("dialect", ["mysql", "sqlite"])
def test_the_scripts_are_numbered_without_a_gap(dialect: str) -> None:
    scripts = load_scripts(dialect)
    assert [each.version for each in scripts] == list(range(1, len(scripts) + 1))
    assert len(list((Path("sql") / dialect).iterdir())) == len(scripts)


def test_both_dialects_have_the_same_scripts() -> None:
    mysql, sqlite = load_scripts("mysql"), load_scripts("sqlite")
    assert [(each.version, each.name) for each in mysql] == [(each.version, each.name) for each in sqlite]


def test_a_script_for_mysql_holds_one_statement() -> None:
    for each in load_scripts("mysql"):
        statements = re.sub(r"--.*", "", each.sql).strip()
        assert statements.endswith(";")
        assert statements.count(";") == 1
