"""Images that are looked up at once, on a real MySQL or MariaDB."""

import asyncio
from uuid import uuid4

import msgspec
import pytest

from pixyproxy.adapters.mysql import image_repository as image_repository_module
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.mysql.dialect import MYSQL
from pixyproxy.domain.errors import DamagedRecordError, DBConnectionError, RecordNotFoundError
from pixyproxy.domain.image import Image, Visibility
from tests.doubles.mariadb import ThrowawayServer
from tests.factories import ImageFactory


async def statement_count(database: MySQLDatabase) -> int:
    async with database.autocommit() as cursor:
        await cursor.execute("SHOW SESSION STATUS LIKE 'Com_select'")
        _, count = await cursor.fetchone()
    return int(count)


async def test_many_images_are_read_by_one_query(mysql_database: MySQLDatabase) -> None:
    images = mysql_database.images
    added = [await images.add(image) for image in ImageFactory.batch(30)]
    before = await statement_count(mysql_database)
    assert await asyncio.gather(*(images.get(image.guid) for image in added)) == added
    assert await statement_count(mysql_database) == before + 1


async def test_a_damaged_record_fails_only_its_own_request(mysql_database: MySQLDatabase) -> None:
    images = mysql_database.images
    added = await asyncio.gather(*(images.add(image) for image in ImageFactory.batch(100)))
    damaged = {image.guid for image in added[::3]}
    async with mysql_database.autocommit() as cursor:
        await cursor.execute(
            "UPDATE images SET filename = '../passwd' WHERE guid IN %(guids)s",
            {"guids": tuple(map(str, damaged))},
        )
    asked = [guid for image in added for guid in (image.guid, uuid4())]
    found = await asyncio.gather(*(images.get(guid) for guid in asked), return_exceptions=True)
    for image, answer, missing in zip(added, found[::2], found[1::2], strict=True):
        assert isinstance(missing, RecordNotFoundError)
        if image.guid in damaged:
            assert isinstance(answer, DamagedRecordError)
            assert str(image.guid) in answer.detail
        else:
            assert answer == image


async def test_a_server_that_went_away_is_a_connection_error_for_each(
    throwaway_mysql_server: ThrowawayServer,
) -> None:
    server = throwaway_mysql_server
    with server.new_database() as url:
        database = MySQLDatabase(url)
        await database.open()
        await database.schema.upgrade()
        images = database.images
        added = [await images.add(image) for image in ImageFactory.batch(3)]
        server.stop()
        results = await asyncio.gather(*(images.get(image.guid) for image in added), return_exceptions=True)
        assert [type(result) for result in results] == [DBConnectionError] * 3
        server.start()
        assert await asyncio.gather(*(images.get(image.guid) for image in added)) == added
        await database.close()


async def test_an_image_that_is_deleted_and_stored_anew_is_another_although_all_else_is_the_same(
    mysql_database: MySQLDatabase,
) -> None:
    images, others = (mysql_database.images for _ in range(2))
    image = ImageFactory.build(tags=("a",))
    for tags in (("b",), ("c", "d")):
        added = await others.add(msgspec.structs.replace(image, tags=tags))
        assert await images.get(image.guid) == added
        await others.delete(image.guid, expected_version=1, lease_seconds=60)
        with pytest.raises(RecordNotFoundError):
            await images.get(image.guid)
        await others.finish_deletion(image.guid)
        # One that has not been asked for in between.
        added = await others.add(image)
        assert await images.get(image.guid) == added
        await others.delete(image.guid, expected_version=1, lease_seconds=60)
        await others.finish_deletion(image.guid)


async def test_an_image_that_is_hidden_by_sql_is_hidden_at_once(mysql_database: MySQLDatabase) -> None:
    images = mysql_database.images
    image = await images.add(ImageFactory.build(author="ann", visibility=Visibility.PUBLIC))
    assert await images.get(image.guid) == image
    async with mysql_database.autocommit() as cursor:
        await cursor.execute("UPDATE images SET visibility = 'private'")
    assert (await images.get(image.guid)).visibility is Visibility.PRIVATE
    async with mysql_database.autocommit() as cursor:
        await cursor.execute("UPDATE images SET author = 'bob'")
    assert (await images.get(image.guid)).author == "bob"


@pytest.mark.parametrize("count", [1, 2, 100])
async def test_a_query_for_many_images_never_scans_a_table(mysql_database: MySQLDatabase, count: int) -> None:
    images = mysql_database.images
    added: list[Image] = [await images.add(image) for image in ImageFactory.batch(5)]
    guids = [str(image.guid) for image in added] + [str(uuid4()) for _ in range(95)]
    async with mysql_database.autocommit() as cursor:
        await cursor.execute(
            f"EXPLAIN FORMAT=TRADITIONAL {MYSQL.sql(image_repository_module._RECORDS)}", {"guids": tuple(guids[:count])}
        )
        names = [column[0] for column in cursor.description]
        plan = [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]
    assert [(step["table"], step["key"]) for step in plan] == [("images", "images_guid")]
