"""Changes by plain SQL, with any client, are true at once in everything that is read; see docs/operations.md."""

import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pymysql
import pytest

from pixyproxy.adapters.memory.clock import InMemoryClock
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.mysql.url import parse_url
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.application import ChangeImage, RebuildIndexes
from pixyproxy.application.rebuild_indexes import Reindexed
from pixyproxy.domain.content import MediaType
from pixyproxy.domain.errors import DamagedRecordError, OperationNotAllowedError, RecordNotFoundError
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.generation_result import GenerationResult
from pixyproxy.domain.image import Image, ImageChanges, ImageStatus, Visibility
from pixyproxy.domain.listing import ChangePosition, ImageFilter, ImagePosition, TagCount, TagFilter
from pixyproxy.domain.ports import DamagedRecord, ImagePorts
from pixyproxy.domain.reference import Reference, Upload
from pixyproxy.domain.search import Search
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import Principal, UserName
from tests.factories import ContentInfoFactory, ImageFactory

ANN, BOB = UserName("ann"), UserName("bob")
PUBLIC = ImageFilter(visibility=Visibility.PUBLIC)
SEA = Tag("sea")

# For each column of images another value, and the changed image.
CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "filename": ("'b.jpg'", {"filename": "b.jpg"}),
    "prompt": ("'Another prompt'", {"request": GenerationRequest(prompt="Another prompt")}),
    "author": ("'bob'", {"author": BOB}),
    "visibility": ("'private'", {"visibility": Visibility.PRIVATE}),
    "model": ("'another'", {"model": "another"}),
    "generator_usage": ("'{\"a\": 1}'", {"usage": {"a": 1}}),
    "generator_request_id": ("'req'", {"generator_request_id": "req"}),
    "version": ("7", {"version": 7}),
    "request": ('\'{"size":"64x64"}\'', {"request": GenerationRequest(prompt="A lighthouse at sea", size="64x64")}),
    "result": ('\'{"model":"another"}\'', {"result": GenerationResult(model="another")}),
}


class Database(msgspec.Struct, frozen=True):
    """A repository that has one image, and the `run` of a client that is set up as it comes."""

    images: ImagePorts
    run: Callable[[str], Sequence[Sequence[Any]]]
    keeps_updated_at: str


@pytest.fixture
def sqlite_client(sqlite_images: ImagePorts, sqlite_database: SQLiteDatabase) -> Database:
    def run(sql: str) -> Sequence[Sequence[Any]]:
        connection = sqlite3.connect(sqlite_database._path, isolation_level=None)
        try:
            # Nothing is done about foreign keys, which are off by default.
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    return Database(sqlite_images, run, "")


@pytest.fixture
def mysql_client(mysql_images: ImagePorts, mysql_database: MySQLDatabase, mysql_url: str) -> Database:
    def run(sql: str) -> Sequence[Sequence[Any]]:
        options = parse_url(mysql_url)
        options["database"] = options.pop("db")
        connection = pymysql.connect(**options, charset="utf8mb4", autocommit=True)
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            rows: Sequence[Sequence[Any]] = cursor.fetchall()
            return rows

    return Database(mysql_images, run, ", updated_at = updated_at")


@pytest.fixture(params=["sqlite", "mysql"])
def database(request: pytest.FixtureRequest) -> Database:
    database: Database = request.getfixturevalue(f"{request.param}_client")
    return database


async def add(database: Database, **fields: Any) -> Image:
    """Store an image, and have it read, so that it is remembered where anything is."""
    defaults = {"author": ANN, "tags": (SEA, Tag("sky")), "prompt": "A lighthouse at sea", "usage": None}
    image = await database.images.add(ImageFactory.build(**(defaults | fields)))
    assert await database.images.get(image.guid) == image
    return image


def change(database: Database, assignments: str, image: Image | None = None) -> None:
    """Change one image, or all, without a trace in `updated_at`."""
    where = "" if image is None else f" WHERE guid = '{image.guid}'"
    database.run(f"UPDATE images SET {assignments}{database.keeps_updated_at}{where}")  # noqa: S608


async def found(database: Database, **wanted: Any) -> list[Image]:
    """Return what a list has; see that it is counted, and that the number of the tag agrees."""
    filter_ = ImageFilter(**wanted)
    images = list(await database.images.list(filter_, limit=10))
    assert await database.images.count_listed(filter_) == len(images)
    if filter_.tags == (SEA,):
        tags = TagFilter(visibility=filter_.visibility, author=filter_.author)
        counts = [each for each in await database.images.list_tags(tags, limit=10) if each.tag == SEA]
        assert counts == ([TagCount(SEA, len(images))] if images else [])
    return images


@pytest.mark.parametrize("column", CHANGES)
async def test_each_column_is_true_at_once(database: Database, column: str) -> None:
    value, fields = CHANGES[column]
    image = await add(database)
    change(database, f"{column} = {value}")
    changed = msgspec.structs.replace(image, **fields)
    assert await database.images.get(image.guid) == changed
    visibility = changed.visibility
    assert await found(database, visibility=visibility) == [changed]
    assert await found(database, visibility=visibility, tags=(SEA,)) == [changed]
    assert await found(database, author=changed.author, tags=(SEA,)) == [changed]


async def test_a_content_is_true_at_once(database: Database) -> None:
    image = await add(database)
    change(database, "media_type = 'image/webp', byte_size = 9, width = 8, height = 7")
    changed = await database.images.get(image.guid)
    assert changed.content
    assert (changed.content.media_type, changed.content.byte_size) == (MediaType.WEBP, 9)
    assert (changed.content.width, changed.content.height) == (8, 7)
    assert await found(database, visibility=image.visibility, media_type=MediaType.WEBP) == [changed]


async def test_a_status_is_true_at_once(database: Database) -> None:
    image = await add(database)
    change(database, "status = 'failed', media_type = NULL, failure = 'no'")
    assert (await database.images.get(image.guid)).status is ImageStatus.FAILED
    for wanted in ({"visibility": image.visibility}, {"author": ANN}):
        assert await found(database, **wanted, tags=(SEA,)) == []


async def test_a_private_image_is_no_longer_visible_to_its_old_author(database: Database) -> None:
    image = await add(database, visibility=Visibility.PRIVATE)
    change(database, "author = 'bob'")
    for wanted in ({}, {"tags": (SEA,)}, {"tags": (SEA, Tag("sky"))}, {"search": Search.parse("lighthouse")}):
        assert await found(database, author=ANN, **wanted) == []
        assert await found(database, author=BOB, **wanted) == [await database.images.get(image.guid)]


@pytest.mark.parametrize("visibility", Visibility)
async def test_an_author_may_be_taken_away_and_given(database: Database, visibility: Visibility) -> None:
    await add(database, visibility=visibility)
    change(database, "author = NULL")
    assert await found(database, author=ANN, tags=(SEA,)) == []
    assert len(await found(database, visibility=visibility, tags=(SEA,))) == 1
    change(database, "author = 'bob'")
    assert await found(database, author=ANN, tags=(SEA,)) == []
    assert len(await found(database, author=BOB, tags=(SEA,))) == 1


class TestWithoutAuthor:
    """An image without an author."""

    async def test_it_may_be_made_private(self, database: Database) -> None:
        image = await add(database, author=None, visibility=Visibility.PUBLIC)
        change(database, "visibility = 'private'")
        assert (await database.images.get(image.guid)).visibility is Visibility.PRIVATE
        assert await found(database, visibility=Visibility.PUBLIC, tags=(SEA,)) == []
        assert len(await found(database, visibility=Visibility.PRIVATE, tags=(SEA,))) == 1

    async def test_it_may_be_deleted(self, database: Database) -> None:
        image = await add(database, author=None)
        database.run("DELETE FROM images")
        with pytest.raises(RecordNotFoundError):
            await database.images.get(image.guid)
        for table in ("image_tags", "image_words"):
            assert [tuple(row) for row in database.run(f"SELECT COUNT(*) FROM {table}")] == [(0,)]  # noqa: S608

    async def test_it_may_be_given_an_author(self, database: Database) -> None:
        image = await add(database, author=None, visibility=Visibility.PRIVATE)
        change(database, "author = 'ann'")
        assert await found(database, author=ANN, tags=(SEA,)) == [await database.images.get(image.guid)]
        change_image = ChangeImage(images=database.images, clock=InMemoryClock(image.updated_at))
        changed = await change_image(image.guid, Principal(name=ANN), ImageChanges(tags=["sea", "new"]))
        assert await found(database, author=ANN, tags=(SEA,)) == [changed]


async def test_a_time_moves_an_image_in_every_list(database: Database) -> None:
    first, last = await add(database, visibility=Visibility.PUBLIC), await add(database, visibility=Visibility.PUBLIC)
    time = max(first.created_at, last.created_at) + timedelta(days=1)
    change(database, f"created_at = '{time:%Y-%m-%d %H:%M:%S.%f}'", first)
    for wanted in (PUBLIC, ImageFilter(author=ANN, tags=(SEA,)), msgspec.structs.replace(PUBLIC, tags=(SEA,))):
        images = await database.images.list(wanted, limit=10)
        assert [image.guid for image in images] == [first.guid, last.guid]
        (second,) = await database.images.list(wanted, limit=10, after=ImagePosition.of(images[0]))
        assert second.guid == last.guid


async def test_another_guid_is_true_at_once(database: Database) -> None:
    image, another = await add(database, visibility=Visibility.PUBLIC), ImageFactory.build().guid
    change(database, f"guid = '{another}'")
    with pytest.raises(RecordNotFoundError):
        await database.images.get(image.guid)
    changed = msgspec.structs.replace(image, guid=another)
    assert await database.images.get(another) == changed
    assert await found(database, visibility=Visibility.PUBLIC, tags=(SEA,)) == [changed]
    positions = database.run("SELECT guid FROM image_tags")
    assert [tuple(row) for row in positions] == [(str(another),)] * 2


class TestTags:
    """`images.tags` is the truth, and `image_tags` its index."""

    LAKE = (Tag("lake"), Tag("sky"))

    async def test_they_are_shown_at_once_and_found_once_they_are_indexed(self, database: Database) -> None:
        image = await add(database, visibility=Visibility.PUBLIC)
        change(database, """tags = '["lake", "sky"]'""")
        changed = msgspec.structs.replace(image, tags=self.LAKE)
        assert await database.images.get(image.guid) == changed
        assert await found(database, visibility=Visibility.PUBLIC) == [changed]
        assert await found(database, visibility=Visibility.PUBLIC, tags=(SEA,)) == [changed]
        assert await found(database, visibility=Visibility.PUBLIC, tags=(Tag("lake"),)) == []
        reindex = RebuildIndexes(index=database.images)
        assert await reindex() == Reindexed(tags=1, words=0)
        assert await found(database, visibility=Visibility.PUBLIC, tags=(SEA,)) == []
        assert await found(database, author=ANN, tags=self.LAKE) == [changed]
        assert await database.images.get(image.guid) == changed
        assert await reindex() == Reindexed(tags=0, words=0)

    async def test_the_database_makes_the_array(self, database: Database) -> None:
        image = await add(database, visibility=Visibility.PUBLIC)
        change(database, "tags = JSON_ARRAY('q\"uo', '\N{FOX FACE}', 'it''s')")
        changed = msgspec.structs.replace(image, tags=(Tag('q"uo'), Tag("\N{FOX FACE}"), Tag("it's")))
        assert await database.images.get(image.guid) == changed
        assert await found(database, visibility=Visibility.PUBLIC) == [changed]

    async def test_no_change_brings_old_ones_back(self, database: Database) -> None:
        image = await add(database, visibility=Visibility.PUBLIC)
        change(database, """tags = '["lake", "sky"]'""")
        change_image = ChangeImage(images=database.images, clock=InMemoryClock(image.updated_at))
        changed = await change_image(image.guid, Principal(name=ANN), ImageChanges(filename="b.png"))
        assert changed.tags == (await database.images.get(image.guid)).tags == self.LAKE
        assert await found(database, visibility=Visibility.PUBLIC, tags=self.LAKE) == [changed]

    @pytest.mark.parametrize("sql", ["DELETE FROM image_tags", "UPDATE image_tags SET tag = 'lake' WHERE position = 0"])
    async def test_a_reindex_undoes_changes_of_the_index(self, database: Database, sql: str) -> None:
        image = await add(database, visibility=Visibility.PUBLIC)
        database.run(sql)
        assert await database.images.get(image.guid) == image
        assert await found(database, visibility=Visibility.PUBLIC) == [image]
        assert await RebuildIndexes(index=database.images)() == Reindexed(tags=1, words=0)
        assert await found(database, visibility=Visibility.PUBLIC, tags=(SEA,)) == [image]

    async def test_those_that_an_older_version_indexed_only_are_shown_and_then_stored(self, database: Database) -> None:
        images = [await add(database, visibility=Visibility.PUBLIC, tags=tags) for tags in ((SEA, *self.LAKE), ())]
        change(database, "tags = NULL")
        for image in images:
            assert await database.images.get(image.guid) == image
        in_order = sorted(images, key=ImagePosition.of, reverse=True)
        assert await found(database, visibility=Visibility.PUBLIC) == in_order
        assert list(await database.images.scan(limit=10)) == sorted(images, key=lambda image: str(image.guid))
        assert await RebuildIndexes(index=database.images)() == Reindexed(tags=2, words=0)
        stored = [json.loads(tags) for (tags,) in database.run("SELECT tags FROM images ORDER BY id")]
        assert stored == [["sea", "lake", "sky"], []]
        assert await found(database, visibility=Visibility.PUBLIC) == in_order

    @pytest.mark.parametrize("tags", ["", "sea", "sea, dusk", "null", "{}", '"sea"', '["sea"', '["sea",]'])
    async def test_the_database_takes_nothing_but_an_array(self, database: Database, tags: str) -> None:
        image = await add(database)
        with pytest.raises((pymysql.MySQLError, sqlite3.IntegrityError)):
            change(database, f"tags = '{tags}'", image)
        assert await database.images.get(image.guid) == image

    @pytest.mark.parametrize("tags", ["[1]", '["sea", "sea"]', '[" sea"]'])
    async def test_damaged_ones_are_refused_and_keep_their_index(self, database: Database, tags: str) -> None:
        image, other = await add(database), await add(database)
        change(database, f"tags = '{tags}'", image)
        change(database, """tags = '["lake", "sky"]'""", other)
        with pytest.raises(DamagedRecordError, match=str(image.guid)):
            await database.images.get(image.guid)
        assert DamagedRecord(guid=str(image.guid)) in await database.images.scan(limit=10)
        assert await RebuildIndexes(index=database.images)() == Reindexed(tags=1, words=0)
        assert len(database.run(f"SELECT tag FROM image_tags WHERE guid = '{image.guid}'")) == 2  # noqa: S608


class TestReferences:
    """References in column `request`, and their index."""

    LION = Reference.to_image(UUID(int=1))
    SEA = Reference.to_image(UUID(int=2))
    UPLOAD = Upload(filename="a.png", content=ContentInfoFactory.build())

    async def add(self, database: Database) -> Image:
        await add(database, visibility=Visibility.PUBLIC)
        await database.images.hold(self.UPLOAD.content.sha256, seconds=60)
        upload = Reference.to_upload(self.UPLOAD)
        request = GenerationRequest(prompt="a lion", references=(self.LION, upload), mask=upload)
        return await database.images.add(ImageFactory.build(request=request, visibility=Visibility.PUBLIC))

    async def uses(self, database: Database) -> list[bool]:
        return [upload.is_used for upload in await database.images.scan_uploads(limit=10)]

    async def test_a_reindex_finds_nothing_to_do(self, database: Database) -> None:
        await self.add(database)
        assert await RebuildIndexes(index=database.images)() == Reindexed(tags=0, words=0, references=0)

    @pytest.mark.parametrize(
        "sql",
        [
            "DELETE FROM image_references",
            "DELETE FROM image_references WHERE position = 1",
            "UPDATE image_references SET guid = 'x', sha256 = NULL WHERE position = 0",
            "INSERT INTO image_references SELECT image_id, 3, 'x', NULL FROM image_references WHERE position = 0",
            "INSERT INTO image_references SELECT MIN(id), 0, 'x', NULL FROM images",
        ],
    )
    async def test_a_reindex_undoes_changes_of_the_index(self, database: Database, sql: str) -> None:
        image = await self.add(database)
        rows = database.run("SELECT * FROM image_references ORDER BY image_id, position")
        database.run(sql)
        assert await RebuildIndexes(index=database.images)() == Reindexed(tags=0, words=0, references=1)
        assert database.run("SELECT * FROM image_references ORDER BY image_id, position") == rows
        assert await found(database, visibility=Visibility.PUBLIC, derived_from=self.LION.guid) == [image]
        assert await self.uses(database) == [True]

    async def test_new_references_are_found_after_a_reindex_and_uploads_let_go(self, database: Database) -> None:
        image = await self.add(database)
        await database.images.release(self.UPLOAD.content.sha256)
        assert await database.images.claim_unused(limit=1, lease_seconds=60) == []
        change(database, f"""request = '{{"references":[{{"guid":"{self.SEA.guid}"}}]}}'""", image)
        request = GenerationRequest(prompt="a lion", references=(self.SEA,))
        changed = msgspec.structs.replace(image, request=request)
        assert await database.images.get(image.guid) == changed
        assert await RebuildIndexes(index=database.images)() == Reindexed(tags=0, words=0, references=1)
        assert await found(database, visibility=Visibility.PUBLIC, derived_from=self.SEA.guid) == [changed]
        assert await found(database, visibility=Visibility.PUBLIC, derived_from=self.LION.guid) == []
        assert await self.uses(database) == [False]
        assert await database.images.claim_unused(limit=1, lease_seconds=60) == [self.UPLOAD.content.sha256]

    @pytest.mark.parametrize("options", ["[]", "{", "{}}", "null", '{"size":"large"}', '{"references":[{}]}'])
    async def test_a_request_that_breaks_a_rule_keeps_its_index(self, database: Database, options: str) -> None:
        image = await self.add(database)
        change(database, f"request = '{options}'", image)
        assert await RebuildIndexes(index=database.images)() == Reindexed(tags=0, words=0, references=0)
        assert await self.uses(database) == [True]


async def test_a_list_refuses_values_of_another_type_and_names_the_record(database: Database) -> None:
    await add(database)
    image = await add(database)
    change(database, "media_type = 'image/nothing'", image)
    for read in (database.images.get(image.guid), database.images.list(ImageFilter(author=ANN), limit=10)):
        with pytest.raises(DamagedRecordError, match=str(image.guid)):
            await read


async def test_tags_that_no_response_can_have_are_damage(database: Database) -> None:
    image = await add(database)
    try:
        change(database, """tags = REPLACE('["/ud800"]', '/', CHAR(92))""", image)
    except pymysql.MySQLError:
        # MySQL and MariaDB refuse it.
        assert await database.images.get(image.guid) == image
        return
    for read in (database.images.get(image.guid), database.images.list(ImageFilter(author=ANN), limit=10)):
        with pytest.raises(DamagedRecordError, match=str(image.guid)):
            await read


async def test_usage_that_is_nested_too_deeply_is_damage(database: Database) -> None:
    image = await add(database)
    change(database, f"""generator_usage = '{{"a": {"[" * 2_000}{"]" * 2_000}}}'""", image)
    for read in (database.images.get(image.guid), database.images.list(ImageFilter(author=ANN), limit=10)):
        with pytest.raises(DamagedRecordError, match=str(image.guid)):
            await read
    assert await database.images.scan(limit=10) == [DamagedRecord(guid=str(image.guid))]


async def test_a_record_that_breaks_another_rule_does_not_hold_up_lists(database: Database) -> None:
    image, other = await add(database), await add(database)
    change(database, "filename = '../x'", image)
    with pytest.raises(DamagedRecordError, match=str(image.guid)):
        await database.images.get(image.guid)
    assert DamagedRecord(guid=str(image.guid)) in await database.images.scan(limit=10)
    listed = await database.images.list(ImageFilter(author=ANN), limit=10)
    assert {each.guid for each in listed} == {image.guid, other.guid}


async def test_a_damaged_record_does_not_hold_up_changes(database: Database) -> None:
    image, other = await add(database), await add(database)
    change(database, "guid = 'no guid'", image)
    changes = await database.images.list_changes(ANN, after=ChangePosition(datetime(2000, 1, 1, tzinfo=UTC)), limit=10)
    assert [each.guid for each in changes] == [other.guid]


async def test_old_words_are_not_found_and_new_ones_once_they_are_indexed(database: Database) -> None:
    image = await add(database, visibility=Visibility.PUBLIC, prompt="A black cat")
    other = await add(database, visibility=Visibility.PUBLIC, prompt="A white cat")
    change(database, "prompt = 'A grey fox'", image)
    image = await database.images.get(image.guid)
    assert image.prompt == "A grey fox"
    for text, numbers in (("black", 0), ("cat", 1), ('"a black cat"', 0), ("bla*", 0), ("white", 1)):
        images = await found(database, visibility=Visibility.PUBLIC, search=Search.parse(text))
        assert images == [other] * numbers
    assert await database.images.make_searchable(limit=10) == [image.id]
    assert await database.images.make_searchable(limit=10) == []
    assert await found(database, visibility=Visibility.PUBLIC, search=Search.parse("fox")) == [image]
    assert await found(database, visibility=Visibility.PUBLIC, search=Search.parse("black")) == []
    change(database, "prompt = 'A black cat'", image)
    assert await found(database, visibility=Visibility.PUBLIC, search=Search.parse("fox")) == []


async def test_an_image_that_another_author_has_by_now_is_not_changed(database: Database) -> None:
    image = await add(database)
    change(database, "author = 'bob'")
    change_image = ChangeImage(images=database.images, clock=InMemoryClock(image.updated_at))
    with pytest.raises((RecordNotFoundError, OperationNotAllowedError)):
        await change_image(image.guid, Principal(name=ANN), ImageChanges(tags=["new"]))


@pytest.fixture(autouse=True)
async def _copies_are_true(database: Database) -> AsyncIterator[None]:
    """Check after each test that the rows of tags agree with their images."""
    yield
    copied = ("author", "visibility", "status", "created_at", "guid")
    untrue = " OR ".join(f"COALESCE(images.{column}, '') <> COALESCE(image_tags.{column}, '')" for column in copied)
    rows = database.run(
        f"SELECT COUNT(*) FROM image_tags LEFT JOIN images ON images.id = image_id WHERE images.id IS NULL OR {untrue}"  # noqa: S608
    )
    assert [tuple(row) for row in rows] == [(0,)]
