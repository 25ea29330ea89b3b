"""Searches for words take their turns and come to an end, on every database, and nothing else waits for them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.domain.errors import OverloadedError
from pixyproxy.domain.image import Visibility
from pixyproxy.domain.listing import ImageFilter
from pixyproxy.domain.ports import ImagePorts
from pixyproxy.domain.search import Search
from tests.factories import ImageFactory

PUBLIC = ImageFilter(visibility=Visibility.PUBLIC)
WITH_WORDS = ImageFilter(visibility=Visibility.PUBLIC, search=Search.parse("fox"))

ENDLESS = {
    SQLiteDatabase: (
        "SELECT COUNT(*) FROM ("
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers) SELECT n FROM numbers)"
    ),
    MySQLDatabase: (
        "SELECT COUNT(*) FROM information_schema.columns AS a, information_schema.columns AS b,"
        " information_schema.columns AS c, information_schema.columns AS d"
        " WHERE a.ordinal_position + b.ordinal_position + c.ordinal_position + d.ordinal_position = 0"
    ),
}

Database = SQLiteDatabase | MySQLDatabase


# On each, one search runs at once, for half a second.
BOUNDS: dict[str, Any] = {"max_searches": 1, "search_timeout": 0.5}


@pytest.fixture
async def sqlite_searches(tmp_path: Path) -> AsyncIterator[Database]:
    database = SQLiteDatabase(tmp_path / "pixyproxy.db", **BOUNDS)
    await database.open()
    await database.schema.upgrade()
    yield database
    await database.close()


@pytest.fixture
async def mysql_searches(mysql_url: str) -> AsyncIterator[Database]:
    database = MySQLDatabase(mysql_url, **BOUNDS)
    await database.open()
    yield database
    await database.close()


@pytest.fixture(params=["sqlite", "mysql"])
def database(request: pytest.FixtureRequest) -> Database:
    database: Database = request.getfixturevalue(f"{request.param}_searches")
    return database


@pytest.fixture
def images(database: Database) -> ImagePorts:
    if isinstance(database, MySQLDatabase):
        return database.images
    return database.images


async def search_for_ever(database: Database, started: asyncio.Event | None = None) -> None:
    async with database.search() as fetch_all:
        if started:
            started.set()
        await fetch_all(ENDLESS[type(database)], {})


@pytest.mark.filterwarnings("ignore:.*PROCESSLIST.*deprecated")
async def test_a_search_that_takes_too_long_is_ended_and_the_next_one_works(
    database: Database, images: ImagePorts
) -> None:
    image = await images.add(ImageFactory.build(prompt="a fox", visibility=Visibility.PUBLIC))
    for _ in range(2):
        with pytest.raises(OverloadedError, match="takes too long") as caught:
            await search_for_ever(database)
        assert caught.value.retry_after == 0.5
        assert await images.list(WITH_WORDS, limit=10) == [image]
        assert await images.count_listed(WITH_WORDS) == 1
    if isinstance(database, MySQLDatabase):
        # The server looks at the time only now and then.
        async with asyncio.timeout(10), database.autocommit() as cursor:
            while True:
                await cursor.execute("SHOW FULL PROCESSLIST")
                if not [row for row in await cursor.fetchall() if "ordinal_position" in str(row[7])]:
                    break
                await asyncio.sleep(0.05)


async def test_nothing_else_waits_for_a_search(database: Database, images: ImagePorts) -> None:
    image = await images.add(ImageFactory.build(prompt="a fox", visibility=Visibility.PUBLIC))
    started = asyncio.Event()
    search = asyncio.create_task(search_for_ever(database, started))
    await started.wait()
    assert await images.list(PUBLIC, limit=10) == [image]
    assert await images.count_listed(PUBLIC) == 1
    assert await images.get(image.guid) == image
    await images.add(ImageFactory.build())
    assert not search.done()
    with pytest.raises(OverloadedError):
        await search


async def test_a_limited_number_of_searches_wait_for_their_turn(database: Database, images: ImagePorts) -> None:
    image = await images.add(ImageFactory.build(prompt="a fox", visibility=Visibility.PUBLIC))
    async with database.search():
        waiting = [asyncio.create_task(images.list(WITH_WORDS, limit=10)) for _ in range(8)]
        await asyncio.sleep(0.05)
        for search in (images.list(WITH_WORDS, limit=10), images.count_listed(WITH_WORDS)):
            with pytest.raises(OverloadedError, match="Too many searches") as caught:
                await search
            assert caught.value.retry_after == 0.5
    assert await asyncio.gather(*waiting) == [[image]] * 8


async def test_a_search_waits_no_longer_than_it_may_run(database: Database, images: ImagePorts) -> None:
    async with database.search():
        with pytest.raises(OverloadedError, match="Too many searches"):
            await images.list(WITH_WORDS, limit=10)


async def test_a_search_that_is_cancelled_leaves_its_turn_to_the_next(database: Database, images: ImagePorts) -> None:
    image = await images.add(ImageFactory.build(prompt="a fox", visibility=Visibility.PUBLIC))
    started = asyncio.Event()
    search = asyncio.create_task(search_for_ever(database, started))
    await started.wait()
    waiting = asyncio.create_task(images.list(WITH_WORDS, limit=10))
    await asyncio.sleep(0.05)
    search.cancel()
    assert await waiting == [image]
    with pytest.raises(asyncio.CancelledError):
        await search


@pytest.mark.parametrize("text", [" ".join(f"{letter}*" for letter in "abcdefghijklmnopqrstuvwxyz"), "f*", "p* fo*"])
async def test_short_prefixes_find_what_they_should(images: ImagePorts, text: str) -> None:
    alphabet = " ".join(letter * 3 for letter in "abcdefghijklmnopqrstuvwxyz")
    added = [
        await images.add(ImageFactory.build(prompt=prompt, author="ann", visibility=Visibility.PUBLIC))
        for prompt in ("a pale fox", alphabet, "nothing")
    ]
    wanted = ImageFilter(visibility=Visibility.PUBLIC, search=Search.parse(text))
    expected = {image.guid for image in added if wanted.fits(image)}
    assert expected
    assert {image.guid for image in await images.list(wanted, limit=10)} == expected
    assert await images.count_listed(wanted) == len(expected)
