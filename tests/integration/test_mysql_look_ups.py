"""Images that are looked up at once, on a real MySQL or MariaDB."""

import asyncio
from uuid import uuid4

import pytest

from pixyproxy.adapters.mysql import image_repository as image_repository_module
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.mysql.image_repository import MySQLImageRepository
from pixyproxy.adapters.mysql.schema import MySQLSchema
from pixyproxy.domain.errors import DamagedRecordError, DBConnectionError, RecordNotFoundError
from pixyproxy.domain.image import Image
from tests.doubles.mariadb import ThrowawayServer
from tests.factories import ImageFactory


async def statement_count(database: MySQLDatabase) -> int:
    async with database.autocommit() as cursor:
        await cursor.execute("SHOW SESSION STATUS LIKE 'Com_select'")
        _, count = await cursor.fetchone()
    return int(count)


async def test_many_images_are_looked_up_by_one_query(mysql_database: MySQLDatabase) -> None:
    images = MySQLImageRepository(database=mysql_database)
    added = [await images.add(image) for image in ImageFactory.batch(30)]
    before = await statement_count(mysql_database)
    assert await asyncio.gather(*(images.get(image.guid) for image in added)) == added
    assert await statement_count(mysql_database) == before + 1


async def test_a_damaged_record_is_the_trouble_of_who_asked_for_it_alone(mysql_database: MySQLDatabase) -> None:
    images = MySQLImageRepository(database=mysql_database)
    added = await asyncio.gather(*(images.add(image) for image in ImageFactory.batch(100)))
    damaged = {image.guid for image in added[::3]}
    async with mysql_database.autocommit() as cursor:
        await cursor.execute(
            "UPDATE images SET filename = '../passwd' WHERE guid IN %(guids)s",
            {"guids": [str(guid) for guid in damaged]},
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
        await MySQLSchema(database=database).upgrade()
        images = MySQLImageRepository(database=database)
        added = [await images.add(image) for image in ImageFactory.batch(3)]
        server.stop()
        results = await asyncio.gather(*(images.get(image.guid) for image in added), return_exceptions=True)
        assert [type(result) for result in results] == [DBConnectionError] * 3
        server.start()
        assert await asyncio.gather(*(images.get(image.guid) for image in added)) == added
        await database.close()


@pytest.mark.parametrize("count", [1, 2, 100])
async def test_however_many_are_looked_up_no_table_is_read_as_a_whole(
    mysql_database: MySQLDatabase, count: int
) -> None:
    images = MySQLImageRepository(database=mysql_database)
    added: list[Image] = [await images.add(image) for image in ImageFactory.batch(5)]
    guids = [str(image.guid) for image in added] + [str(uuid4()) for _ in range(95)]
    async with mysql_database.autocommit() as cursor:
        await cursor.execute(f"EXPLAIN FORMAT=TRADITIONAL {image_repository_module._GET}", {"guids": guids[:count]})
        names = [column[0] for column in cursor.description]
        plan = [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]
    assert [(step["table"], step["key"]) for step in plan] == [("images", "images_guid"), ("image_tags", "PRIMARY")]
