"""SQLite files: permissions, other processes, full disks, query plans, raw SQL."""

import asyncio
import os
import re
import sqlite3
import stat
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.memory.content_store import InMemoryContentStore
from pixyproxy.adapters.memory.image_generator import InMemoryImageGenerator
from pixyproxy.adapters.pictures.pillow.content_inspector import PillowContentInspector
from pixyproxy.adapters.sql.schema_scripts import load_scripts
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.adapters.sqlite.dialect import SQLITE
from pixyproxy.adapters.sqlite.errors import translated_errors
from pixyproxy.adapters.sqlite.schema import SQLiteSchema
from pixyproxy.application import RecoverImages
from pixyproxy.application.lease_watch import LeaseWatch
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.errors import DamagedRecordError, DBConnectionError, SchemaOutdatedError
from pixyproxy.domain.idempotency import IdempotencyKey
from pixyproxy.domain.image import ImageStatus, Visibility
from pixyproxy.domain.listing import ChangePosition, ImageFilter, ImageOrder, ImagePosition
from pixyproxy.domain.ports import DamagedRecord
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import UserName
from tests import real_parts
from tests.chaos.world import RealDisk, disk_at
from tests.doubles.processes import run_at_once
from tests.factories import ImageFactory, PendingImageFactory, UserFactory
from tests.images import held

INSERT = "INSERT INTO images (guid, filename, prompt) VALUES ('c0ffee00-0000-4000-8000-000000000000', 'a', 'b')"

EARLY, LATE = datetime(2026, 1, 1, 0, 10, tzinfo=UTC), datetime(2026, 1, 1, 0, 40, tzinfo=UTC)

# Each index scan of a list, and its index.
PUBLIC = ImageFilter(visibility=Visibility.PUBLIC)
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

IMPORTS = """
import asyncio
from pathlib import Path
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.adapters.sqlite.dialect import SQLITE
from tests.factories import ImageFactory
"""

ADD = """
async def main(path):
    database = SQLiteDatabase(path)
    try:
        await database.open()
        await database.schema.upgrade()
        images = database.images
        for _ in range(10):
            await asyncio.gather(*(images.add(ImageFactory.build(tags=("a", "b"))) for _ in range(5)))
    finally:
        await database.close()

asyncio.run(main(Path(sys.argv[1])))
"""


async def scalar(database: SQLiteDatabase, sql: str) -> object:
    ((value,),) = await database.fetch_all(sql)
    return value


class TestFile:
    """The file and its folder."""

    async def test_the_folder_is_made_and_only_the_owner_may_read_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "one" / "two" / "pixyproxy.db"
        umask = os.umask(0)
        database = SQLiteDatabase(path)
        await database.open()
        try:
            await database.schema.upgrade()
            files = sorted(path.parent.iterdir())
            assert [file.name for file in files] == ["pixyproxy.db", "pixyproxy.db-shm", "pixyproxy.db-wal"]
            assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        finally:
            await database.close()
            os.umask(umask)

    async def test_the_rights_of_a_file_that_is_there_stay(self, tmp_path: Path) -> None:
        path = tmp_path / "pixyproxy.db"
        path.touch()
        path.chmod(0o640)
        database = SQLiteDatabase(path)
        await database.open()
        await database.close()
        assert stat.S_IMODE(path.stat().st_mode) == 0o640

    async def test_the_file_is_kept_as_a_write_ahead_log(self, sqlite_database: SQLiteDatabase) -> None:
        assert await scalar(sqlite_database, "PRAGMA journal_mode") == "wal"
        assert await scalar(sqlite_database, "PRAGMA synchronous") == 2
        assert await scalar(sqlite_database, "PRAGMA foreign_keys") == 1
        assert await scalar(sqlite_database, "PRAGMA busy_timeout") == 5000

    async def test_stored_records_are_there_when_the_file_is_opened_again(self, tmp_path: Path) -> None:
        database = SQLiteDatabase(tmp_path / "pixyproxy.db")
        await database.open()
        await database.schema.upgrade()
        image = await database.images.add(ImageFactory.build())
        await database.close()
        await database.open()
        assert await database.images.get(image.guid) == image
        await database.close()


class TestAbsence:
    """Files that can't be used."""

    @pytest.mark.parametrize("name", ["a-file/pixyproxy.db", "a-folder", "/proc/pixyproxy/pixyproxy.db"])
    async def test_a_path_that_can_not_be_opened_is_a_connection_error(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "a-file").touch()
        (tmp_path / "a-folder").mkdir()
        with pytest.raises(DBConnectionError, match="can't be opened") as caught:
            await SQLiteDatabase(tmp_path / name).open()
        assert str(tmp_path) not in caught.value.detail

    async def test_a_file_that_is_no_database_is_a_connection_error_and_stays(self, tmp_path: Path) -> None:
        path = tmp_path / "letter.txt"
        path.write_text("Dear Ann, " * 1000)
        with pytest.raises(DBConnectionError, match="not an SQLite database"):
            await SQLiteDatabase(path).open()
        assert path.read_text() == "Dear Ann, " * 1000

    async def test_a_full_disk_is_a_connection_error_and_leaves_nothing(self, sqlite_database: SQLiteDatabase) -> None:
        images = sqlite_database.images
        assert sqlite_database._writer
        pages = await scalar(sqlite_database, "PRAGMA page_count")
        await sqlite_database._writer.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(DBConnectionError, match="no space left"):
            await images.add(ImageFactory.build(prompt="😀" * 32_000))
        assert await images.list(PUBLIC, limit=10) == []
        await sqlite_database._writer.execute("PRAGMA max_page_count = 1000000")
        image = await images.add(ImageFactory.build(prompt="😀" * 32_000))
        assert await images.list(PUBLIC, limit=10) == [image]

    async def test_a_damaged_file_is_a_connection_error(self, tmp_path: Path) -> None:
        path = tmp_path / "pixyproxy.db"
        database = SQLiteDatabase(path)
        await database.open()
        await database.schema.upgrade()
        await database.close()
        content = path.read_bytes()
        path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))

        async def use() -> None:
            await database.open()
            await database.images.get(uuid4())

        with pytest.raises(DBConnectionError, match="damaged"):
            await use()
        await database.close()

    async def test_a_closed_database_is_a_connection_error(self, sqlite_database: SQLiteDatabase) -> None:
        await sqlite_database.close()
        await sqlite_database.close()
        with pytest.raises(DBConnectionError, match="closed"):
            await sqlite_database.images.check()
        with pytest.raises(DBConnectionError, match="closed"):
            await sqlite_database.users.add(UserFactory.build())

    async def test_a_missing_schema_is_reported(self, tmp_path: Path) -> None:
        database = SQLiteDatabase(tmp_path / "pixyproxy.db")
        await database.open()
        for operation in (
            database.images.check(),
            database.users.add(UserFactory.build()),
        ):
            with pytest.raises(SchemaOutdatedError, match="pixyproxy db upgrade"):
                await operation
        await database.close()

    def test_an_unknown_error_is_raised_as_it_is(self) -> None:
        error = sqlite3.OperationalError('near "TABEL": syntax error')
        with pytest.raises(sqlite3.OperationalError) as caught, translated_errors():
            raise error
        assert caught.value is error


class TestTransactions:
    """All or nothing, also beside other tasks and processes."""

    async def test_an_exception_leaves_nothing(self, sqlite_database: SQLiteDatabase) -> None:
        async def fail() -> None:
            async with sqlite_database.transaction() as connection:
                await connection.execute(INSERT)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert await scalar(sqlite_database, "SELECT COUNT(*) FROM images") == 0

    async def test_a_cancelled_transaction_leaves_nothing_whenever_it_is_cancelled(
        self, sqlite_database: SQLiteDatabase
    ) -> None:
        async def insert() -> None:
            async with sqlite_database.transaction() as connection:
                await connection.execute(INSERT)
                await connection.execute("UPDATE images SET prompt = 'c'")
                await asyncio.sleep(10)

        for step in range(30):
            task = asyncio.create_task(insert())
            await asyncio.sleep(step / 10_000)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            assert await scalar(sqlite_database, "SELECT COUNT(*) FROM images") == 0
        async with sqlite_database.transaction() as connection:
            await connection.execute(INSERT)
        assert await scalar(sqlite_database, "SELECT COUNT(*) FROM images") == 1

    async def test_nothing_is_read_before_it_is_committed(self, sqlite_database: SQLiteDatabase) -> None:
        async with sqlite_database.transaction() as connection:
            await connection.execute(INSERT)
            assert await scalar(sqlite_database, "SELECT COUNT(*) FROM images") == 0
        assert await scalar(sqlite_database, "SELECT COUNT(*) FROM images") == 1

    async def test_several_processes_may_share_a_new_file(self, tmp_path: Path) -> None:
        path = tmp_path / "pixyproxy.db"
        await run_at_once(IMPORTS, ADD, str(path))
        database = SQLiteDatabase(path)
        await database.open()
        assert len(await database.images.list(PUBLIC, limit=1000)) == 200
        await database.close()

    @pytest.mark.parametrize("applied_before", [0, 1])
    async def test_many_may_open_and_upgrade_a_file_at_once(self, tmp_path: Path, applied_before: int) -> None:
        databases = [SQLiteDatabase(tmp_path / "pixyproxy.db") for _ in range(16)]
        scripts = load_scripts("sqlite")
        if applied_before:
            await databases[0].open()
            await SQLiteSchema(database=databases[0], scripts=scripts[:applied_before]).upgrade()
            await databases[0].close()

        async def upgrade(database: SQLiteDatabase) -> int:
            await database.open()
            return len(await database.schema.upgrade())

        applied = await asyncio.gather(*map(upgrade, databases))
        assert sorted(applied) == [0] * 15 + [len(scripts) - applied_before]
        for database in databases:
            await database.close()

    async def test_a_write_lock_that_another_process_keeps_is_a_connection_error(
        self, sqlite_database: SQLiteDatabase
    ) -> None:
        images = sqlite_database.images
        assert sqlite_database._writer
        await sqlite_database._writer.execute("PRAGMA busy_timeout = 100")
        other = sqlite3.connect(sqlite_database._path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DBConnectionError, match="busy"):
            await images.add(ImageFactory.build())
        assert await images.list(PUBLIC, limit=10) == []
        other.execute("ROLLBACK")
        other.close()
        await images.add(ImageFactory.build())

    async def test_a_write_lock_that_another_process_keeps_for_long_is_waited_for_again(
        self, sqlite_database: SQLiteDatabase
    ) -> None:
        other = sqlite3.connect(sqlite_database._path, isolation_level=None, check_same_thread=False)
        begun = 0

        def release(statement: str) -> None:
            nonlocal begun
            begun += statement == "BEGIN IMMEDIATE"
            if begun == 2 and other.in_transaction:
                other.execute("ROLLBACK")

        assert sqlite_database._writer
        await sqlite_database._writer.execute("PRAGMA busy_timeout = 10")
        await sqlite_database._writer.set_trace_callback(release)
        other.execute("BEGIN IMMEDIATE")
        images = sqlite_database.images
        image = await images.add(ImageFactory.build())
        other.close()
        assert begun == 2
        assert await images.get(image.guid) == image


class TestTables:
    """Statements of operators and other tools."""

    async def test_a_record_can_be_inserted_with_the_three_columns_that_have_no_default(
        self, sqlite_database: SQLiteDatabase
    ) -> None:
        before = datetime.now(UTC)
        async with sqlite_database.transaction() as connection:
            await connection.execute(INSERT)
        images = sqlite_database.images
        image = await images.get(UUID("c0ffee00-0000-4000-8000-000000000000"))
        assert (image.prompt, image.status, image.tags) == ("b", ImageStatus.PENDING, ())
        assert abs(image.created_at - before) < timedelta(minutes=1)
        assert await images.list(PUBLIC, limit=10) == []

    async def test_all_images_can_be_deleted_with_one_plain_statement(self, sqlite_database: SQLiteDatabase) -> None:
        await sqlite_database.images.add(ImageFactory.build(tags=("a", "b")))
        async with sqlite_database.transaction() as connection:
            await connection.execute("DELETE FROM images")
        for table in ("image_tags", "image_words"):
            assert await scalar(sqlite_database, f"SELECT COUNT(*) FROM {table}") == 0  # noqa: S608

    @pytest.mark.parametrize("order", ImageOrder)
    @pytest.mark.parametrize("has_position", [False, True])
    @pytest.mark.parametrize(("wanted", "key"), SCANS)
    async def test_a_list_is_a_range_of_an_index_without_sorting(
        self,
        *,
        sqlite_database: SQLiteDatabase,
        wanted: ImageFilter,
        key: str,
        has_position: bool,
        order: ImageOrder,
    ) -> None:
        images = sqlite_database.images
        after = ImagePosition(datetime(2026, 1, 1, tzinfo=UTC), uuid4()) if has_position else None
        plan = await plan_of(sqlite_database, images.list(wanted, limit=10, order=order, after=after))
        (scan,) = (step for step in plan if re.match(rf"SEARCH scan USING (COVERING )?INDEX {key} \(", step))
        if has_position:
            assert ("created_at<?" if order is ImageOrder.NEWEST_FIRST else "created_at>?") in scan
        assert not any(step.startswith(("SCAN image", "SCAN scan")) or "TEMP B-TREE" in step for step in plan)

    @pytest.mark.parametrize("order", ImageOrder)
    @pytest.mark.parametrize(
        ("wanted", "step"),
        [
            (replace(PUBLIC, batch=uuid4()), "SEARCH scan USING INDEX images_batch (batch=?)"),
            (
                replace(PUBLIC, derived_from=uuid4()),
                "SEARCH image_references USING COVERING INDEX image_references_guid (guid=?)",
            ),
            (replace(PUBLIC, derived_from=uuid4(), batch=uuid4()), "SEARCH scan USING INDEX images_batch (batch=?)"),
        ],
    )
    async def test_a_batch_and_the_images_drawn_from_another_are_found_by_their_index(
        self, sqlite_database: SQLiteDatabase, wanted: ImageFilter, step: str, order: ImageOrder
    ) -> None:
        plan = await plan_of(sqlite_database, sqlite_database.images.list(wanted, limit=10, order=order))
        assert step in plan
        assert not any(step.startswith(("SCAN image", "SCAN scan")) for step in plan)

    @pytest.mark.parametrize("order", ImageOrder)
    async def test_a_page_deep_inside_a_list_takes_no_more_steps_than_the_first(
        self, sqlite_database: SQLiteDatabase, order: ImageOrder
    ) -> None:
        images = sqlite_database.images
        await fill(sqlite_database)
        after = ImagePosition(datetime(2026, 1, 1, 0, 25, 0, 500_000, UTC), uuid4())
        for scan in SCANS:
            wanted = scan.values[0]
            assert isinstance(wanted, ImageFilter)
            first, deep = [
                await steps_of(sqlite_database, images.list(wanted, limit=10, order=order, after=position))
                for position in (None, after)
            ]
            assert deep < 1.5 * first, scan.id

    async def test_changes_of_an_author_are_a_range_of_an_index_without_sorting(
        self, sqlite_database: SQLiteDatabase
    ) -> None:
        after = ChangePosition(datetime(2026, 1, 1, tzinfo=UTC))
        changes = sqlite_database.images.list_changes(UserName("author 3"), after=after, limit=10)
        assert await plan_of(sqlite_database, changes) == [
            "SEARCH images USING INDEX images_author_updated (author=? AND updated_at>?)"
        ]

    async def test_leases_what_waits_for_too_long_a_page_of_all_and_a_key_are_found_by_an_index(
        self, sqlite_database: SQLiteDatabase
    ) -> None:
        images = sqlite_database.images
        leases = await plan_of(sqlite_database, images.list_leases(limit=10))
        assert leases.count("SEARCH images USING INDEX images_work (status=?)") == 2
        assert not any(step.startswith("SCAN") for step in leases)
        overdue = await plan_of(sqlite_database, images.list_overdue(before=datetime(2026, 1, 1, tzinfo=UTC), limit=10))
        assert overdue == ["SEARCH images USING INDEX images_work (status=?)"]
        page = await plan_of(sqlite_database, images.scan(after=str(uuid4()), limit=10))
        assert any(step.startswith("SEARCH images USING INDEX ") and step.endswith("(guid>?)") for step in page)
        assert not any("TEMP B-TREE" in step for step in page)
        (claim,) = await plan_of(sqlite_database, images.find_claim(None, IdempotencyKey("key")))
        assert claim == "SEARCH idempotency_keys USING PRIMARY KEY (author=? AND idempotency_key=?)"


async def fill(database: SQLiteDatabase) -> None:
    """Store 3,000 images of all kinds, a second apart."""
    async with database.transaction() as connection:
        await connection.executemany(
            "INSERT INTO images (guid, filename, prompt, author, visibility, status, model, media_type, created_at)"
            " VALUES (:guid, 'a', 'b', :author, :visibility, :status, :model, :media_type, :time)",
            [
                {
                    "guid": str(uuid4()),
                    "author": f"author {number % 7}",
                    "visibility": "private" if number % 5 == 0 else "public",
                    "status": "failed" if number % 11 == 0 else "ready",
                    "model": f"model {number % 3}",
                    "media_type": list(MediaType)[number % 2],
                    "time": f"2026-01-01 00:{number // 60 % 60:02}:{number % 60:02}.500000",
                }
                for number in range(3_000)
            ],
        )
        for tag, every in (("sea", 1), ("sky", 3)):
            await connection.execute(
                "INSERT INTO image_tags (image_id, position, tag, author, visibility, status, created_at, guid)"
                " SELECT id, :every, :tag, author, visibility, status, created_at, guid FROM images"
                " WHERE id % :every = 0",
                {"tag": tag, "every": every},
            )


async def query_of(operation: Coroutine[Any, Any, object]) -> tuple[str, Mapping[str, object]]:
    """Return the one query that `operation` makes, which finds nothing."""
    statements: list[tuple[str, Mapping[str, object]]] = []

    async def record(_: SQLiteDatabase, sql: str, parameters: Mapping[str, object]) -> Sequence[Sequence[Any]]:
        statements.append((SQLITE.sql(sql), parameters))
        return [(0, None)] if "COUNT(*)" in sql else []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SQLiteDatabase, "fetch_all", record)
        patch.setattr(SQLiteDatabase, "fetch_list", record)
        await operation
    (statement,) = statements
    return statement


async def plan_of(database: SQLiteDatabase, operation: Coroutine[Any, Any, object]) -> Sequence[str]:
    """Return the steps of the plan for the one query that `operation` makes."""
    sql, parameters = await query_of(operation)
    return [row[3] for row in await database.fetch_all(f"EXPLAIN QUERY PLAN {sql}", parameters)]


async def steps_of(database: SQLiteDatabase, operation: Coroutine[Any, Any, object]) -> int:
    """Return how many instructions SQLite needs for the one query that `operation` makes, to find ten rows."""
    sql, parameters = await query_of(operation)
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection = sqlite3.connect(database._path)
    try:
        connection.set_progress_handler(count, 1)
        ((found, _),) = connection.execute(sql, parameters)
        assert found == 10
    finally:
        connection.close()
    return steps


async def test_a_text_that_is_not_utf_8_hides_no_later_change(sqlite_database: SQLiteDatabase) -> None:
    images = sqlite_database.images
    image = await images.add(ImageFactory.build())
    with sqlite3.connect(sqlite_database._path) as connection:
        connection.execute("UPDATE images SET prompt = CAST(x'41ff' AS TEXT)")
    assert (await images.get(image.guid)).prompt == "A\ufffd"
    assert [each.prompt for each in await images.list(PUBLIC, limit=10)] == ["A\ufffd"]
    with sqlite3.connect(sqlite_database._path) as connection:
        connection.execute("UPDATE images SET prompt = ?", [image.prompt])
    assert await images.get(image.guid) == image
    assert list(await images.list(PUBLIC, limit=10)) == [image]


async def test_a_damaged_record_holds_up_the_recovery_of_no_other(sqlite_database: SQLiteDatabase) -> None:
    images = sqlite_database.images
    damaged, fine = [await held(images, PendingImageFactory.build()) for _ in range(2)]
    async with sqlite_database.transaction() as connection:
        await connection.execute("UPDATE images SET filename = '../x' WHERE guid = ?", (str(damaged.guid),))
    contents = InMemoryContentStore()
    recover_images = RecoverImages(
        images=images,
        leases=images,
        queue=images,
        contents=contents,
        quarantine=contents,
        inspector=PillowContentInspector(),
        generator=InMemoryImageGenerator(),
        clock=InMemoryClock(fine.created_at),
        lease_watch=LeaseWatch(seconds=0),
    )
    assert await recover_images() == 1
    assert [lease.guid for lease in await images.list_leases(limit=10)] == [damaged.guid]
    assert (await images.get(fine.guid)).status is ImageStatus.PENDING
    with pytest.raises(DamagedRecordError):
        await images.get(damaged.guid)
    assert DamagedRecord(guid=str(damaged.guid)) in await images.scan(limit=10)


class TestReserve:
    """A deletion needs room for the write-ahead log, and on a full disk it is what makes room."""

    @pytest.fixture
    async def database(self, tmp_path: Path) -> AsyncIterator[SQLiteDatabase]:
        database = SQLiteDatabase(tmp_path / "pixyproxy.db")
        await database.open()
        await database.schema.upgrade()
        yield database
        await database.close()

    async def test_a_deletion_takes_it_and_makes_it_again(self, database: SQLiteDatabase, tmp_path: Path) -> None:
        kept: list[int] = []

        async def delete(_: object) -> str:
            kept.append(kept_without_a_name(tmp_path))
            if len(kept) == 1:
                raise full()
            return "deleted"

        assert await database.write(delete, makes_room=True) == "deleted"
        assert kept == [5 << 20, 0]
        assert kept_without_a_name(tmp_path) == 5 << 20

    async def test_nothing_else_takes_it(self, database: SQLiteDatabase, tmp_path: Path) -> None:
        async def add(_: object) -> None:
            raise full()

        with pytest.raises(DBConnectionError, match="no space"):
            await database.write(add)
        assert kept_without_a_name(tmp_path) == 5 << 20

    async def test_it_ends_with_the_connections(self, database: SQLiteDatabase, tmp_path: Path) -> None:
        await database.close()
        assert kept_without_a_name(tmp_path) == 0

    async def test_where_it_is_not_enough_the_deletion_fails(self, database: SQLiteDatabase) -> None:
        async def delete(_: object) -> None:
            raise full()

        with pytest.raises(DBConnectionError, match="no space"):
            await database.write(delete, makes_room=True)

    async def test_a_full_disk_lets_all_images_be_deleted(self, tmp_path: Path) -> None:
        with disk_at(tmp_path / "disk") as disk:
            if not isinstance(disk, RealDisk):
                real_parts.lack("right to mount a file system", "run the tests as root", may_lack=True)
            database = SQLiteDatabase(disk.folder / "pixyproxy.db")
            await database.open()
            try:
                await database.schema.upgrade()
                images = database.images
                stored = [await images.add(ImageFactory.build()) for _ in range(30)]
                disk.fill([])
                with pytest.raises(DBConnectionError, match="no space"):
                    await images.add(ImageFactory.build())
                for image in stored:
                    await images.delete(image.guid, expected_version=image.version, lease_seconds=-1)
                deleted = await images.claim_deletions(limit=100, lease_seconds=60)
                assert set(deleted) == {image.guid for image in stored}
                for guid in deleted:
                    await images.finish_deletion(guid)
                disk.free([])
                await images.add(ImageFactory.build())
            finally:
                await database.close()


def kept_without_a_name(folder: Path) -> int:
    """Return how many bytes of the disk this process keeps with files in `folder` that have no name."""
    kept = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            name = str(descriptor.readlink())
            if name.startswith(str(folder)) and name.endswith("(deleted)"):
                kept += 512 * descriptor.stat().st_blocks
    return kept


def full() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error
