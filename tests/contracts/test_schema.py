"""The contract of `Schema`, and the rules for all scripts in `sql/`."""

import asyncio
import re
from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Protocol
from uuid import UUID

import msgspec
import pytest

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.mysql.schema import MySQLSchema
from pixyproxy.adapters.sql.schema_scripts import SchemaScript, load_scripts
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.adapters.sqlite.schema import SQLiteSchema
from pixyproxy.application import IndexPrompts
from pixyproxy.domain.content import ContentInfo, MediaType
from pixyproxy.domain.errors import SchemaOutdatedError
from pixyproxy.domain.failure import Failure
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageChanges, ImageId, ImageStatus, Visibility
from pixyproxy.domain.listing import ImageFilter, TagFilter
from pixyproxy.domain.ports import ImagePorts, Schema
from pixyproxy.domain.search import Search
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import UserName
from tests.doubles.processes import run_at_once

TABLES = {
    "images",
    "image_tags",
    "image_words",
    "image_references",
    "uploads",
    "image_deletions",
    "users",
    "idempotency_keys",
    "api_keys",
    "sessions",
    "secrets",
    "rate_limits",
    "counters",
    "queue_turns",
    "data_upgrades",
    "schema_migrations",
}

# The scripts of the version before lists by tag and by words.
OLD = 6

IMPORTS = """
import asyncio
from pathlib import Path
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
"""

ANN = UserName("ann")

UPGRADE = """
async def main(address):
    is_mysql = address.startswith("mysql")
    database = MySQLDatabase(address) if is_mysql else SQLiteDatabase(Path(address))
    try:
        await database.open()
        print(len(await database.schema.upgrade()))
    finally:
        await database.close()

asyncio.run(main(sys.argv[1]))
"""


class Target(Protocol):
    """An empty database, with direct access to its tables."""

    dialect: str
    address: str

    @abstractmethod
    def schema(self, scripts: Sequence[SchemaScript] | None = None) -> Schema:
        """Return the schema that has these scripts, or those of this version."""

    @abstractmethod
    def images(self) -> ImagePorts:
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

    def images(self) -> ImagePorts:
        return self.database.images

    async def run(self, sql: str) -> Sequence[Sequence[Any]]:
        async with self.database.autocommit() as cursor:
            await cursor.execute(sql)
            rows: Sequence[Sequence[Any]] = await cursor.fetchall()
            return rows

    async def tables(self) -> set[str]:
        return {name for (name,) in await self.run("SHOW TABLES")} - {"schema_lock"}


class SQLiteTarget(Target):
    """An empty SQLite file."""

    dialect = "sqlite"

    def __init__(self, database: SQLiteDatabase, address: str) -> None:
        self.database = database
        self.address = address

    def schema(self, scripts: Sequence[SchemaScript] | None = None) -> Schema:
        return SQLiteSchema(database=self.database, scripts=load_scripts("sqlite") if scripts is None else scripts)

    def images(self) -> ImagePorts:
        return self.database.images

    async def run(self, sql: str) -> Sequence[Sequence[Any]]:
        async with self.database.transaction() as connection:
            return list(await connection.execute_fetchall(sql))

    async def tables(self) -> set[str]:
        rows = await self.run("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        # A virtual table keeps its data in tables with its name as a prefix.
        return {name for (name,) in rows if not name.startswith("image_words_")}


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
    scripts = load_scripts(target.dialect)
    assert [(migration.version, migration.name) for migration in applied] == [
        (each.version, each.name) for each in scripts
    ]
    assert [migration.name for migration in applied[:OLD]] == [
        "create_images",
        "create_image_tags",
        "create_users",
        "life_cycle",
        "pending_images_may_be_bought",
        "idempotency_keys",
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
    async def images(self, target: Target) -> ImagePorts:
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
            "request": GenerationRequest(prompt="A lighthouse"),
            "tags": (Tag("sea"),),
            "author": UserName("ann"),
            "visibility": Visibility.PRIVATE,
            "status": ImageStatus(old_status),
            "model": "gpt-image-1",
            "created_at": datetime(2026, 1, 1, 12, 0, 0, 1, UTC),
            "updated_at": datetime(2026, 1, 1, 12, 0, 30, 2, UTC),
        }
        return Image(**{**fields, **changes})

    async def test_a_pending_image_may_have_been_bought_and_is_abandoned(self, images: ImagePorts) -> None:
        expected = self.an_image("pending", status=ImageStatus.GENERATING)
        assert await images.get(UUID(int=1)) == expected
        (lease,) = await images.list_leases(limit=10)
        assert (lease.guid, lease.owner) == (UUID(int=1), None)

    async def test_a_ready_image_is_what_it_was(self, images: ImagePorts) -> None:
        content = ContentInfo(media_type=MediaType.PNG, byte_size=3, sha256="0" * 64, width=1, height=2)
        expected = self.an_image("ready", content=content, usage={})
        assert await images.get(UUID(int=2)) == expected
        for wanted in (ImageFilter(author=ANN), ImageFilter(author=ANN, tags=(Tag("sea"),))):
            assert await images.list(wanted, limit=10) == [expected]

    async def test_a_failed_image_has_failed_for_some_reason_and_may_have_been_billed(self, images: ImagePorts) -> None:
        failure = Failure(kind="GenerationFailedError", detail="The generator refused.", maybe_billed=True)
        assert await images.get(UUID(int=3)) == self.an_image("failed", failure=failure)

    async def test_no_image_is_lost_or_added(self, images: ImagePorts) -> None:
        assert [image.guid for image in await images.scan(limit=10)] == [UUID(int=number) for number in (1, 2, 3)]


class TestLibrary:
    """A database of the version before lists by tag and by words, which holds some images."""

    IMAGES: ClassVar = [
        (1, "A black cat", "ann", "public", "ready", ("cat", "night")),
        (2, "A lighthouse at sea", "ann", "private", "ready", ("sea", "night", "Cat")),
        (3, "A cat at sea", None, "public", "ready", ("sea", "cat")),
        (4, "A cat that failed", "ann", "public", "failed", ("cat",)),
        (5, "黒猫", "bob", "public", "ready", ()),
        (6, "A cat that is being made", "bob", "public", "generating", ("cat", "night")),
    ]

    COLUMNS: ClassVar = (
        "id, guid, filename, prompt, author, visibility, status, model, media_type, byte_size, sha256, width, height,"
        " failure, failure_kind, maybe_billed, created_at, updated_at"
    )

    async def fill(self, target: Target) -> None:
        """Store the images as the old version did, with their tags."""
        await self.fill_images(target)
        for number, _, _, _, _, tags in self.IMAGES:
            for position, tag in enumerate(tags):
                row = f"{number}, {position}, '{tag}'"
                await target.run(f"INSERT INTO image_tags VALUES ({row})")  # noqa: S608 -- the test's own

    async def fill_images(self, target: Target) -> None:
        """Store the images alone."""
        for number, prompt, author, visibility, status, _ in self.IMAGES:
            content = f"'image/png', 3, '{'0' * 64}', 1, 2" if status == "ready" else "NULL, NULL, NULL, NULL, NULL"
            failure = "'no', 'GenerationRefusedError', 0" if status == "failed" else "NULL, NULL, NULL"
            time = f"2026-01-01 12:00:0{number}.000001"
            row = (
                f"{number}, '{UUID(int=number)}', 'a.png', '{prompt}', {repr(author) if author else 'NULL'},"
                f" '{visibility}', '{status}', 'gpt-image-2', {content}, {failure}, '{time}', '{time}'"
            )
            await target.run(f"INSERT INTO images ({self.COLUMNS}) VALUES ({row})")  # noqa: S608 -- the test's own

    async def check(self, images: ImagePorts) -> None:
        """Check that the images are unchanged, and in every list."""
        for number, prompt, author, visibility, status, tags in self.IMAGES:
            image = await images.get(UUID(int=number))
            found = (image.prompt, image.author, image.visibility, image.status, image.tags)
            assert found == (prompt, author, visibility, status, tags)
            assert image.version == 1
            assert image.created_at == datetime(2026, 1, 1, 12, 0, number, 1, UTC)
            assert image.updated_at == image.created_at
        public, own = ImageFilter(visibility=Visibility.PUBLIC), ImageFilter(author=ANN)
        expected: list[tuple[ImageFilter, list[int]]] = [
            (public, [5, 3, 1]),
            (own, [2, 1]),
            (msgspec.structs.replace(public, tags=(Tag("cat"),)), [3, 1]),
            (msgspec.structs.replace(public, tags=(Tag("cat"), Tag("sea"))), [3]),
            (msgspec.structs.replace(own, tags=(Tag("night"),)), [2, 1]),
            (msgspec.structs.replace(own, tags=(Tag("Cat"),)), [2]),
            (msgspec.structs.replace(public, search=Search.parse("cat")), [3, 1]),
            (msgspec.structs.replace(public, search=Search.parse("猫")), [5]),
            (msgspec.structs.replace(own, search=Search.parse('"at sea"')), [2]),
            (msgspec.structs.replace(public, model="gpt-image-2"), [5, 3, 1]),
            (msgspec.structs.replace(public, media_type=MediaType.PNG), [5, 3, 1]),
        ]
        for wanted, numbers in expected:
            assert [image.guid.int for image in await images.list(wanted, limit=10)] == numbers
            assert await images.count_listed(wanted) == len(numbers)
        counts = await images.list_tags(TagFilter(visibility=Visibility.PUBLIC), limit=10)
        assert [(each.tag, each.images) for each in counts] == [("cat", 2), ("night", 1), ("sea", 1)]

    async def test_the_images_of_an_older_version_are_in_every_list(self, target: Target) -> None:
        await target.schema(load_scripts(target.dialect)[:OLD]).upgrade()
        await self.fill(target)
        images = target.images()
        told: list[int] = []
        applied = await target.schema().upgrade()
        index_prompts = IndexPrompts(index=images, batch=4)
        assert await index_prompts(on_progress=told.append) == 6
        assert [each.version for each in applied] == [each.version for each in load_scripts(target.dialect)[OLD:]]
        assert told == [4, 2]
        await self.check(images)
        assert await target.schema().upgrade() == []
        assert await index_prompts() == 0

    @pytest.mark.parametrize("took_effect", [True, False])
    @pytest.mark.parametrize("number", range(OLD + 1, len(load_scripts("mysql")) + 1))
    async def test_an_upgrade_that_a_crash_interrupted_is_finished(
        self, mysql_target: Target, number: int, *, took_effect: bool
    ) -> None:
        scripts = load_scripts("mysql")
        await mysql_target.schema(scripts[:OLD]).upgrade()
        await self.fill(mysql_target)
        await mysql_target.schema(scripts[: number if took_effect else number - 1]).upgrade()
        if took_effect:
            await mysql_target.run(f"UPDATE schema_migrations SET applied_at = NULL WHERE version = {number}")  # noqa: S608
        else:
            row = f"{number}, '', ''"
            await mysql_target.run(f"INSERT INTO schema_migrations (version, name, checksum) VALUES ({row})")  # noqa: S608
        applied = await mysql_target.schema().upgrade()
        await IndexPrompts(index=mysql_target.images())()
        assert [each.version for each in applied] == list(range(number, len(scripts) + 1))
        await self.check(mysql_target.images())
        assert await mysql_target.schema().upgrade() == []

    async def test_several_may_upgrade_at_once(self, target: Target) -> None:
        await target.schema(load_scripts(target.dialect)[:OLD]).upgrade()
        await self.fill(target)
        applied = await asyncio.gather(*(target.schema().upgrade() for _ in range(4)))
        index_prompts = IndexPrompts(index=target.images(), batch=2)
        await asyncio.gather(*(index_prompts() for _ in range(4)))
        assert sorted(map(len, applied)) == [0, 0, 0, len(load_scripts(target.dialect)) - OLD]
        await self.check(target.images())

    async def test_images_of_an_older_version_can_be_changed_and_deleted(self, target: Target) -> None:
        await target.schema(load_scripts(target.dialect)[:OLD]).upgrade()
        await self.fill(target)
        images = target.images()
        await target.schema().upgrade()
        await IndexPrompts(index=images)()
        image = await images.get(UUID(int=2))
        changed = image.changed(
            ImageChanges(tags=["sea"], visibility=Visibility.PUBLIC), at=datetime(2026, 1, 2, tzinfo=UTC)
        )
        await images.change(changed, expected_version=1)
        await images.delete(UUID(int=3), expected_version=1, lease_seconds=60.0)
        for wanted in (
            ImageFilter(visibility=Visibility.PUBLIC, tags=(Tag("sea"),)),
            ImageFilter(visibility=Visibility.PUBLIC, search=Search.parse("sea")),
        ):
            assert await images.list(wanted, limit=10) == [changed]


class TestCopies:
    """A database of version 0.1.0, in which plain SQL has changed images without the copies in their tags."""

    RELEASED: ClassVar = {"mysql": 13, "sqlite": 7}

    async def fill(self, target: Target) -> None:
        await target.schema(load_scripts(target.dialect)[: self.RELEASED[target.dialect]]).upgrade()
        library = TestLibrary()
        await library.fill_images(target)
        await target.run(
            "INSERT INTO image_tags (image_id, position, tag, author, visibility, status, created_at, guid)"
            " SELECT id, 0, 'sea', author, visibility, status, created_at, guid FROM images"
        )
        key = "image_id" if target.dialect == "mysql" else "rowid"
        await target.run(f"INSERT INTO image_words ({key}, words) SELECT id, ' zzcat ' FROM images")  # noqa: S608

    async def test_an_upgrade_makes_copies_true_that_were_not(self, target: Target) -> None:
        await self.fill(target)
        await target.run("UPDATE image_tags SET author = 'eve', guid = 'x', created_at = '2020-01-01 00:00:00.000000'")
        await target.schema().upgrade()
        images = target.images()
        for author, numbers in (("ann", [2, 1]), ("bob", [5]), ("eve", [])):
            wanted = ImageFilter(author=UserName(author), tags=(Tag("sea"),))
            assert [image.guid.int for image in await images.list(wanted, limit=10)] == numbers
        public = ImageFilter(visibility=Visibility.PUBLIC, tags=(Tag("sea"),))
        assert [image.guid.int for image in await images.list(public, limit=10)] == [5, 3, 1]
        await target.run("UPDATE images SET author = 'zoe'")
        own = ImageFilter(author=UserName("zoe"), tags=(Tag("sea"),))
        assert [image.guid.int for image in await images.list(own, limit=10)] == [5, 3, 2, 1]

    async def test_an_upgrade_makes_words_true_that_may_not_be(self, mysql_target: Target) -> None:
        await self.fill(mysql_target)
        await mysql_target.schema().upgrade()
        images = mysql_target.images()
        lighthouse = ImageFilter(author=ANN, search=Search.parse("lighthouse"))
        assert await images.list(lighthouse, limit=10) == []
        assert await IndexPrompts(index=images)() == 6
        assert [image.guid.int for image in await images.list(lighthouse, limit=10)] == [2]
        assert await IndexPrompts(index=images)() == 0


@pytest.mark.parametrize("dialect", ["mysql", "sqlite"])
def test_the_scripts_are_numbered_without_a_gap(dialect: str) -> None:
    scripts = load_scripts(dialect)
    assert [each.version for each in scripts] == list(range(1, len(scripts) + 1))
    assert len(list((Path("sql") / dialect).iterdir())) == len(scripts)


def test_both_dialects_had_the_same_scripts_before_lists_by_tag() -> None:
    mysql, sqlite = load_scripts("mysql")[:OLD], load_scripts("sqlite")[:OLD]
    assert [(each.version, each.name) for each in mysql] == [(each.version, each.name) for each in sqlite]


def test_a_script_for_mysql_holds_one_statement() -> None:
    for each in load_scripts("mysql"):
        statements = re.sub(r"--.*", "", each.sql).strip()
        assert statements.endswith(";")
        assert statements.count(";") == 1
