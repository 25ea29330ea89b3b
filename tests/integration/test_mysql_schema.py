"""The schema on a real MySQL or MariaDB server: crashes, locks, permissions, query plans, raw SQL."""

import asyncio
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiomysql
import pytest
from msgspec.structs import replace

from pixyproxy.adapters.mysql import schema as schema_module
from pixyproxy.adapters.mysql import schema_lock
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.mysql.schema import MySQLSchema
from pixyproxy.adapters.mysql.schema_lock import SchemaLock
from pixyproxy.adapters.sql.schema_scripts import SchemaScript, load_scripts
from pixyproxy.domain.batch import BatchPlace
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.errors import DBConnectionError, GenerationRefusedError
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.idempotency import IdempotencyKey
from pixyproxy.domain.image import ImageStatus, Visibility
from pixyproxy.domain.listing import ChangePosition, ImageFilter, ImageOrder, ImagePosition
from pixyproxy.domain.reference import Reference
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import UserName
from tests import real_parts
from tests.doubles.mariadb import CLIENT_REMEDY, MySQLServer, ThrowawayServer
from tests.factories import GeneratingImageFactory, ImageFactory, PendingImageFactory, UserFactory
from tests.images import held

RUNNING_FACTORIES = [PendingImageFactory, GeneratingImageFactory]

EARLY, LATE = datetime(2026, 1, 1, 0, 10, tzinfo=UTC), datetime(2026, 1, 1, 0, 40, tzinfo=UTC)

# Each index scan of a list, and its index.
PUBLIC = ImageFilter(visibility=Visibility.PUBLIC)
BATCH, PARENT = uuid4(), uuid4()
OWN = ImageFilter(author=UserName("author 3"))
SCANS = [
    pytest.param(wanted, key, id=name)
    for name, wanted, key in (
        ("public", PUBLIC, "images_public"),
        ("own", OWN, "images_author"),
        ("of an author", replace(OWN, visibility=Visibility.PUBLIC), "images_author_visibility"),
        ("own private", replace(OWN, visibility=Visibility.PRIVATE), "images_author_visibility"),
        ("model", replace(PUBLIC, model="model 2"), "images_model"),
        ("media type", replace(PUBLIC, media_type=MediaType.JPEG), "images_media_type"),
        ("tag", replace(PUBLIC, tags=(Tag("sea"),)), "image_tags_public"),
        ("rarer tag", replace(PUBLIC, tags=(Tag("sky"),)), "image_tags_public"),
        ("own tag", replace(OWN, tags=(Tag("sea"),)), "image_tags_author"),
        ("range", replace(PUBLIC, created_after=EARLY, created_before=LATE), "images_public"),
        ("own range", replace(OWN, created_after=EARLY, created_before=LATE), "images_author"),
        ("tag in range", replace(PUBLIC, tags=(Tag("sea"),), created_after=EARLY), "image_tags_public"),
    )
]

CREATE_DATABASE = Path("sql/create_database.sql").read_text()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[MySQLDatabase]:
    database = MySQLDatabase(url)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


async def always() -> bool:
    """Want the lock for as long as it takes."""
    return True


@pytest.fixture
async def empty_database(empty_mysql_url: str) -> AsyncIterator[MySQLDatabase]:
    async with opened(empty_mysql_url) as database:
        yield database


async def run(database: MySQLDatabase, sql: str) -> Sequence[Sequence[Any]]:
    async with database.autocommit() as cursor:
        await cursor.execute(sql)
        rows: Sequence[Sequence[Any]] = await cursor.fetchall()
        return rows


class TestUpgrade:
    """Scripts that did not finish, and processes that wait for each other."""

    @pytest.mark.parametrize("took_effect", [True, False])
    async def test_a_script_that_a_crash_interrupted_is_finished(
        self, empty_database: MySQLDatabase, *, took_effect: bool
    ) -> None:
        first, *others = load_scripts("mysql")
        await MySQLSchema(database=empty_database, scripts=[first]).upgrade()
        await run(empty_database, "UPDATE schema_migrations SET applied_at = NULL")
        if not took_effect:
            await run(empty_database, "DROP TABLE images")
        schema = empty_database.schema
        assert {migration.applied_at for migration in await schema.status()} == {None}
        assert [migration.version for migration in await schema.upgrade()] == [
            each.version for each in (first, *others)
        ]
        await empty_database.images.check()

    @pytest.mark.parametrize(
        "statement",
        [
            "ALTER TABLE a ADD COLUMN more INTEGER",
            "CREATE INDEX a_id ON a (id)",
            "ALTER TABLE a ADD INDEX a_id (id)",
            "ALTER TABLE a DROP COLUMN surplus",
        ],
    )
    async def test_any_kind_of_script_can_be_finished_after_a_crash(
        self, empty_database: MySQLDatabase, statement: str
    ) -> None:
        scripts = [
            SchemaScript(version=1, name="a", sql="CREATE TABLE a (id INTEGER, surplus INTEGER)"),
            SchemaScript(version=2, name="b", sql=statement),
        ]
        schema = MySQLSchema(database=empty_database, scripts=scripts)
        await schema.upgrade()
        await run(empty_database, "UPDATE schema_migrations SET applied_at = NULL WHERE version = 2")
        assert [migration.version for migration in await schema.upgrade()] == [2]

    async def test_an_upgrade_waits_for_the_one_that_runs(
        self, empty_database: MySQLDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(schema_lock, "_LEASE_SECONDS", 0.3)
        monkeypatch.setattr(schema_lock, "_RENEWAL_SECONDS", 0.1)
        schema = empty_database.schema
        async with SchemaLock(empty_database).held(always) as is_held:
            assert is_held
            upgrading = asyncio.create_task(schema.upgrade())
            await asyncio.sleep(1)
            assert not upgrading.done()
        assert len(await upgrading) == len(schema.scripts)

    async def test_an_upgrade_takes_the_lock_of_one_that_has_died(
        self, empty_database: MySQLDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(schema_lock, "_LEASE_SECONDS", 0.3)
        schema = empty_database.schema
        async with SchemaLock(empty_database).held(always):
            await run(empty_database, "UPDATE schema_lock SET owner = 'one that has died'")
            started = time.monotonic()
            assert len(await schema.upgrade()) == len(schema.scripts)
            assert time.monotonic() - started > 0.3
        assert await run(empty_database, "SELECT owner FROM schema_lock") == (("",),)

    async def test_an_upgrade_that_was_thought_dead_leaves_the_rest_to_the_other(
        self, empty_database: MySQLDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The second finishes the first's script while the first is frozen in it, and goes on."""
        monkeypatch.setattr(schema_lock, "_LEASE_SECONDS", 0.5)
        scripts = [
            SchemaScript(version=number, name=name, sql=f"CREATE TABLE {name} (id INTEGER)")
            for number, name in enumerate("abcd", start=1)
        ]
        first, second = (MySQLSchema(database=empty_database, scripts=scripts) for _ in range(2))
        is_frozen, execute = asyncio.Event(), schema_module._execute

        async def execute_slowly(cursor: Any, sql: str, parameters: Mapping[str, object] | None = None) -> None:
            if sql == scripts[1].sql and not is_frozen.is_set():
                is_frozen.set()
                assert [migration.version for migration in await second.upgrade()] == [2, 3, 4]
            await execute(cursor, sql, parameters)

        monkeypatch.setattr(schema_module, "_execute", execute_slowly)
        assert [migration.version for migration in await first.upgrade()] == [1]
        assert all(migration.applied_at for migration in await first.status())

    async def test_upgrades_of_two_databases_do_not_wait_for_each_other(
        self, empty_database: MySQLDatabase, mysql_database: MySQLDatabase
    ) -> None:
        async with SchemaLock(mysql_database).held(always), asyncio.timeout(10):
            await empty_database.schema.upgrade()


class TestTables:
    """Statements of operators and other tools."""

    async def test_a_record_can_be_inserted_with_the_three_columns_that_have_no_default(
        self, mysql_database: MySQLDatabase
    ) -> None:
        guid = UUID("c0ffee00-0000-4000-8000-000000000000")
        before = datetime.now(UTC)
        await run(
            mysql_database,
            "INSERT INTO images (guid, filename, prompt) VALUES ('c0ffee00-0000-4000-8000-000000000000', 'a', 'b')",
        )
        images = mysql_database.images
        image = await images.get(guid)
        assert (image.prompt, image.status, image.tags) == ("b", ImageStatus.PENDING, ())
        assert abs(image.created_at - before) < timedelta(minutes=1)
        assert await images.list(ImageFilter(visibility=Visibility.PUBLIC), limit=10) == []

    async def test_all_images_can_be_deleted_with_one_plain_statement(self, mysql_database: MySQLDatabase) -> None:
        await mysql_database.images.add(ImageFactory.build(tags=("a", "b")))
        await run(mysql_database, "DELETE FROM images")
        for table in ("image_tags", "image_words"):
            assert await run(mysql_database, f"SELECT COUNT(*) FROM {table}") == ((0,),)  # noqa: S608

    async def test_the_specified_columns_are_there(self, mysql_database: MySQLDatabase) -> None:
        rows = await run(
            mysql_database,
            "SELECT column_name, data_type, is_nullable, character_maximum_length FROM information_schema.columns"
            " WHERE table_schema = DATABASE() AND table_name = 'images'",
        )
        columns = {name: (type_, nullable, length) for name, type_, nullable, length in rows}
        assert columns["id"][:2] == ("int", "NO")
        assert columns["guid"] == ("varchar", "NO", 36)
        assert columns["filename"] == ("varchar", "NO", 255)
        assert columns["prompt"][:2] == ("mediumtext", "NO")
        assert columns["created_at"][:2] == columns["updated_at"][:2] == ("timestamp", "NO")


@pytest.fixture(scope="module")
def filled_mysql_url(mysql_server: MySQLServer) -> Iterator[str]:
    with mysql_server.new_database() as url:
        asyncio.run(fill(url))
        yield url


async def fill(url: str) -> None:
    """Add 3,000 images with tags to an empty database."""
    async with opened(url) as database:
        await database.schema.upgrade()
        async with database.transaction() as cursor:
            await cursor.executemany(
                "INSERT INTO images"
                " (guid, filename, prompt, author, visibility, status, model, media_type, created_at, tags) VALUES"
                " (%(guid)s, 'a', 'b', %(author)s, %(visibility)s, %(status)s, %(model)s, %(media_type)s, %(time)s,"
                " '[\"sea\"]')",
                [
                    {
                        "guid": str(uuid4()),
                        "author": f"author {number % 7}",
                        "visibility": "private" if number % 5 == 0 else "public",
                        "status": "failed" if number % 11 == 0 else "ready",
                        "model": f"model {number % 3}",
                        "media_type": list(MediaType)[number % 2],
                        "time": f"2026-01-01 00:{number // 60 % 60:02}:{number % 60:02}.5",
                    }
                    for number in range(3_000)
                ],
            )
            for tag, every in (("sea", 1), ("sky", 3)):
                await cursor.execute(
                    "INSERT INTO image_tags (image_id, position, tag, author, visibility, status, created_at, guid)"
                    " SELECT id, %(every)s, %(tag)s, author, visibility, status, created_at, guid FROM images"
                    " WHERE id MOD %(every)s = 0",
                    {"tag": tag, "every": every},
                )
        await run(database, "ANALYZE TABLE images, image_tags")


class TestPlans:
    """Lists cost as much as they return, however many images there are."""

    @pytest.fixture
    async def filled(self, filled_mysql_url: str) -> AsyncIterator[MySQLDatabase]:
        async with opened(filled_mysql_url) as database:
            # Each new connection begins with statements of its own.
            await run(database, "SELECT 1")
            yield database
            await run(database, "DELETE FROM images WHERE filename <> 'a'")

    @pytest.mark.parametrize("order", ImageOrder)
    @pytest.mark.parametrize("has_position", [False, True])
    @pytest.mark.parametrize(("wanted", "key"), SCANS)
    async def test_a_list_walks_an_index_and_reads_little_more_than_it_returns(
        self,
        *,
        filled: MySQLDatabase,
        wanted: ImageFilter,
        key: str,
        has_position: bool,
        order: ImageOrder,
    ) -> None:
        after = ImagePosition(datetime(2026, 1, 1, 0, 25, 0, 500_000, UTC), uuid4()) if has_position else None
        async with recorded_statements() as statements:
            found = await filled.images.list(wanted, limit=10, order=order, after=after)
        assert len(found) == 10
        plan, read = await cost(filled, statements, table="scan")
        assert plan["key"] == key
        assert "filesort" not in (plan["Extra"] or "")
        # Ten images, for each of them its place in the index, and the places where the range begins and ends.
        assert read < 60

    @pytest.mark.parametrize("order", ImageOrder)
    @pytest.mark.parametrize(
        ("wanted", "table", "key"),
        [
            (replace(PUBLIC, batch=BATCH), "scan", "images_batch"),
            (replace(PUBLIC, derived_from=PARENT), "image_references", "image_references_guid"),
            (replace(PUBLIC, derived_from=PARENT, tags=(Tag("sea"),)), "image_references", "image_references_guid"),
            (replace(PUBLIC, derived_from=PARENT, batch=BATCH), "scan", "images_batch"),
        ],
    )
    async def test_a_batch_and_the_images_drawn_from_another_are_found_by_their_index(
        self, *, filled: MySQLDatabase, wanted: ImageFilter, table: str, key: str, order: ImageOrder
    ) -> None:
        request = GenerationRequest(prompt="a", references=(Reference.to_image(PARENT),) * 2)
        for position in range(10):
            place = BatchPlace(guid=BATCH, position=position, size=10)
            await filled.images.add(ImageFactory.build(request=request, batch=place, tags=("sea",)))
        async with recorded_statements() as statements:
            found = await filled.images.list(wanted, limit=10, order=order)
        assert len(found) == 10
        plan, read = await cost(filled, statements, table=table)
        assert plan["key"] == key
        # The ten images, their references, and each of them again in its place.
        assert read < 120

    async def test_changes_of_an_author_are_read_in_the_order_of_an_index(self, filled: MySQLDatabase) -> None:
        after = ChangePosition(datetime(2026, 1, 1, tzinfo=UTC))
        for _ in range(2):
            async with recorded_statements() as statements:
                changes = await filled.images.list_changes(UserName("author 3"), after=after, limit=10)
            assert len(changes) == 10
            plan, read = await cost(filled, statements)
            assert plan["key"] == "images_author_updated"
            assert "filesort" not in (plan["Extra"] or "")
            assert read < 60
            after = changes[-1].position

    async def test_leases_are_found_without_reading_the_images_that_are_final(self, filled: MySQLDatabase) -> None:
        leased = [await held(filled.images, factory.build()) for factory in RUNNING_FACTORIES for _ in range(5)]
        waiting = [await filled.images.add(PendingImageFactory.build()) for _ in range(2)]
        async with recorded_statements() as statements:
            found = await filled.images.list_leases(limit=10)
        oldest_first = sorted(leased, key=lambda image: (image.created_at, str(image.guid)))
        assert [lease.guid for lease in found] == [image.guid for image in oldest_first]
        plan, read = await cost(filled, statements)
        assert plan["key"] == "images_work"
        assert read < 4 * (len(leased) + len(waiting))

    async def test_the_next_and_the_numbers_are_found_without_reading_the_images_that_are_final(
        self, filled: MySQLDatabase
    ) -> None:
        leased = [await held(filled.images, factory.build()) for factory in RUNNING_FACTORIES for _ in range(5)]
        waiting = [await filled.images.add(PendingImageFactory.build()) for _ in range(5)]
        for find in (
            filled.images.count_unfinished(),
            filled.images.list_next(since=datetime(1970, 1, 2, tzinfo=UTC), limit=10),
            filled.images.list_overdue(before=datetime(2100, 1, 1, tzinfo=UTC), limit=10),
        ):
            async with recorded_statements() as statements:
                await find
            _, read = await cost(filled, statements)
            assert read < 20 * (len(leased) + len(waiting)), statements

    async def test_a_lease_is_renewed_and_a_state_stored_without_reading_other_images(
        self, filled: MySQLDatabase
    ) -> None:
        image = await held(filled.images, GeneratingImageFactory.build(), "one")
        async with recorded_statements() as statements:
            await filled.images.renew(image.guid, "one")
            error = GenerationRefusedError("refused", maybe_billed=False)
            await filled.images.update(image.failed(error, at=image.updated_at), expected=ImageStatus.GENERATING)
        updates = [statement for statement in statements if "UPDATE" in statement]
        assert len(updates) == 2
        for statement in updates:
            plan, _ = await cost(filled, [statement])
            assert plan["key"] == "images_guid"

    async def test_a_scan_reads_a_page_in_order(self, filled: MySQLDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pixyproxy.adapters.sql.image_repository.scanned_record", lambda guid, _: guid)
        async with recorded_statements() as statements:
            found = await filled.images.scan(after=str(UUID(int=1 << 127)), limit=10)
        assert len(found) == 10
        plan, read = await cost(filled, statements)
        assert plan["key"] == "images_guid"
        assert "filesort" not in (plan["Extra"] or "")
        assert read < 40

    async def test_a_key_is_found_by_the_primary_key_and_an_expired_one_by_its_time(
        self, mysql_database: MySQLDatabase
    ) -> None:
        images = mysql_database.images
        async with mysql_database.transaction() as cursor:
            await cursor.executemany(
                "INSERT INTO idempotency_keys (author, idempotency_key, guid, fingerprint, expires_at)"
                " VALUES (%(author)s, %(key)s, %(guid)s, '', CURRENT_TIMESTAMP(6) + INTERVAL 1 HOUR)",
                [
                    {"author": f"author {number % 7}", "key": f"key-{number}", "guid": str(uuid4())}
                    for number in range(3_000)
                ],
            )
        await run(mysql_database, "ANALYZE TABLE idempotency_keys")
        async with recorded_statements() as statements:
            assert await images.find_claim(UserName("author 3"), IdempotencyKey("key-3"))
        plan, read = await cost(mysql_database, statements, table="idempotency_keys")
        assert plan["key"] == "PRIMARY"
        assert read < 5
        async with recorded_statements() as statements:
            assert await images.forget_expired_claims() == 0
        plan, read = await cost(mysql_database, statements, table="idempotency_keys")
        assert plan["key"] == "idempotency_keys_expiry"
        assert read < 5
        await run(mysql_database, "DELETE FROM idempotency_keys")


@asynccontextmanager
async def recorded_statements() -> AsyncIterator[list[str]]:
    """Give a list of the statements that are run meanwhile, with their parameters filled in."""
    statements: list[str] = []
    execute = aiomysql.Cursor.execute

    async def record(self: Any, query: str, args: Any = None) -> Any:
        statements.append(self.mogrify(query, args))
        return await execute(self, query, args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aiomysql.Cursor, "execute", record)
        yield statements


async def cost(
    database: MySQLDatabase, statements: Sequence[str], *, table: str = "images"
) -> tuple[Mapping[str, Any], int]:
    """Return the plan that the server has for the one statement and `table`, and how many rows it then reads."""
    (statement,) = statements
    async with database.autocommit() as cursor:
        await cursor.execute(f"EXPLAIN FORMAT=TRADITIONAL {statement}")
        names = [column[0] for column in cursor.description]
        plans = [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]
        # The scan comes before the lookups for each of its rows.
        plan = next(each for each in plans if each["table"] == table)
        read_before = await rows_read(cursor)
        await cursor.execute(statement)
        return plan, await rows_read(cursor) - read_before


async def rows_read(cursor: aiomysql.Cursor) -> int:
    await cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
    return sum(int(value) for _, value in await cursor.fetchall())


class TestRights:
    """`sql/create_database.sql`, run as its first lines say."""

    async def test_the_user_it_creates_can_log_in_once_it_has_a_password_and_do_no_more_than_it_must(
        self, throwaway_mysql_server: ThrowawayServer
    ) -> None:
        server = throwaway_mysql_server
        client = shutil.which("mysql") or shutil.which("mariadb")
        if client is None:
            real_parts.lack("the client `mysql` or `mariadb`", CLIENT_REMEDY)
        for _ in range(2):
            await asyncio.to_thread(
                subprocess.run,
                [client, "--no-defaults", f"--socket={server.socket}", "--user=root"],
                input=CREATE_DATABASE.encode(),
                check=True,
            )
        for password in ("", "pixyproxy"):
            database = MySQLDatabase(server.tcp_url("pixyproxy", "pixyproxy", password))
            await database.open()
            with pytest.raises(DBConnectionError, match="refuses PixyProxy's login"):
                await run(database, "SELECT 1")
            await database.close()

        server.execute("ALTER USER 'pixyproxy'@'%' IDENTIFIED BY 'a secret' ACCOUNT UNLOCK")
        database = MySQLDatabase(server.tcp_url("pixyproxy", "pixyproxy", "a secret"))
        await database.open()
        await database.schema.upgrade()
        for forbidden in ("DROP TABLE users", "CREATE DATABASE another", "SELECT * FROM mysql.user", "TRUNCATE users"):
            with pytest.raises(DBConnectionError, match="does not grant it enough"):
                await run(database, forbidden)
        await database.close()

        server.execute("REVOKE CREATE, ALTER, INDEX, REFERENCES ON pixyproxy.* FROM 'pixyproxy'@'%'")
        await database.open()
        assert await database.schema.upgrade() == []
        images, users = database.images, database.users
        image = await images.add(PendingImageFactory.build(tags=("a",)))
        error = GenerationRefusedError("refused", maybe_billed=False)
        await images.update(image.failed(error, at=image.updated_at), expected=ImageStatus.PENDING)
        assert await images.forget_expired_claims() == 0
        user = await users.add(UserFactory.build())
        await users.disable(user.name)
        await run(database, "DELETE FROM images")
        await database.close()

    def test_the_script_holds_no_password(self) -> None:
        statements = [line for line in CREATE_DATABASE.splitlines() if not line.startswith("--")]
        assert "IDENTIFIED" not in "".join(statements)
